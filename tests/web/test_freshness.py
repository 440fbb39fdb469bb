"""A page that a browser has counts as long as every word on it does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.web.freshness import LONGEST_SECS, current_tag, tag_of
from angos_trio.web.words import Now, moment
from tests.api.serving import ServedRegistry, serving
from tests.web.content import Filler

YEARS = 40 * 365 * 86_400


@given(ago=st.integers(-1000, YEARS), later=st.floats(0, 1))
def test_words_for_a_time_stay_until_the_second_that_is_noted(ago: int, later: float) -> None:
    now = Now(2_000_000_000)
    at = now - ago
    said = moment(at, now)
    between = now + int((now.until - 1 - now) * later)

    assert now.until > now
    assert moment(at, between) == said
    assert moment(at, now.until) != said


@given(
    mark=st.text(max_size=20),
    other=st.text(max_size=20),
    ago=st.integers(0, YEARS),
    later=st.integers(0, 1000),
)
def test_tag_counts_for_its_own_page_until_then(
    mark: str, other: str, ago: int, later: int
) -> None:
    now = Now(2_000_000_000)
    now.note(now - ago)
    tag = tag_of(mark, now)

    is_current = later < min(now.until - now, LONGEST_SECS)
    for sent in (tag, f'"other", {tag}'):
        assert current_tag(sent, mark, now + later) == (tag if is_current else None)
    assert current_tag(tag, other, now) == (tag if mark == other else None)


@given(sent=st.text() | st.none())
def test_no_other_header_is_a_tag_of_a_page(sent: str | None) -> None:
    assert current_tag(sent, "mark", 0) is None


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedRegistry]:
    with serving(tmp_path) as served:
        yield served


@pytest.fixture
def filler(served: ServedRegistry) -> Iterator[Filler]:
    with Filler(served.url) as filler:
        filler.image("team/app", "v1")
        age(served)
        yield filler


def age(served: ServedRegistry) -> None:
    """Let everything that was pushed be of an hour and a half ago."""
    served.server.call(_age, served)


async def _age(served: ServedRegistry) -> None:
    def step(transaction: object) -> None:
        rows = transaction.rows  # type: ignore[attr-defined]
        rows.execute("UPDATE tags SET updated_at = updated_at - 5400")
        rows.execute("UPDATE manifests SET pushed_at = pushed_at - 5400")
        rows.execute("UPDATE namespaces SET last_pushed_at = last_pushed_at - 5400")

    await served.core.storage.write(step)


def again(filler: Filler, path: str, tag: str, **headers: str) -> int:
    answer = filler.get(path, headers={"If-None-Match": tag, **headers})
    assert (answer.status_code == 304) == (not answer.content)
    assert "Content-Security-Policy" in answer.headers
    return answer.status_code


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/team/app", "/team/app?view=tree", "/team/app?q=v&n=25"])
def test_page_of_a_namespace_is_not_sent_twice(filler: Filler, path: str) -> None:
    first = filler.get(path)
    tag = first.headers["ETag"]

    assert first.headers["Cache-Control"] == "private, no-cache"
    assert again(filler, path, tag) == 304
    assert filler.get(path, headers={"If-None-Match": tag}).headers["ETag"] == tag


@pytest.mark.slow
def test_page_is_sent_anew_when_something_on_it_is_otherwise(
    filler: Filler, served: ServedRegistry
) -> None:
    def tag() -> str:
        return filler.get("/team/app").headers["ETag"]

    assert again(filler, "/team/app", tag(), Cookie="theme=dark") == 200
    assert again(filler, "/team/app?n=25", tag()) == 200
    assert again(filler, "/team/app", tag(), Host="127.0.0.1") == 200
    before = tag()
    filler.image("team/app", "v2")
    assert again(filler, "/team/app", before) == 200
    before = tag()
    filler.image("team/app/below", "v1")
    assert again(filler, "/team/app", before) == 200
    age(served)
    before = tag()
    assert again(filler, "/team/app", before) == 304
    served.reload(ui={"name": "other"})
    assert again(filler, "/team/app", before) == 200


@pytest.mark.slow
def test_page_that_says_just_now_does_not_stay(filler: Filler) -> None:
    filler.image("team/app", "v2")
    tag = filler.get("/team/app").headers["ETag"]

    assert int(tag.rstrip('"').rpartition(".")[2]) <= time.time() + 5


@pytest.mark.slow
def test_page_with_an_upload_has_no_tag(filler: Filler) -> None:
    filler.open_upload("team/app")

    assert "ETag" not in filler.get("/team/app").headers


@pytest.mark.slow
def test_page_that_stays_costs_less(filler: Filler, served: ServedRegistry) -> None:
    filler.tag_often("team/app", 500)
    age(served)

    def median_ms(**headers: str) -> float:
        took = []
        for _ in range(15):
            begun_at = time.perf_counter()
            filler.get("/team/app", headers=headers)
            took.append((time.perf_counter() - begun_at) * 1000)
        return statistics.median(took)

    whole = median_ms()
    kept = median_ms(**{"If-None-Match": filler.get("/team/app").headers["ETag"]})
    print(f"a page of 100 tags: {whole:.1f} ms, kept: {kept:.1f} ms")
    assert kept < whole * 0.8
