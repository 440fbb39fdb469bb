"""The tab of a manifest's page that tells who pulled it lately, and how often each day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.passwords import hash_password
from angos_trio.clock import DAY_SECS
from angos_trio.identity import Origin
from angos_trio.limits.storage import PULL_DAYS
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.web.pulls import HEIGHT_UNITS, bars_of, said_of
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_name
from tests.oci.strategies import QUICK
from tests.web.content import HOSTILE, Filler
from tests.web.pages import Element, page_of

PASSWORD = "correct horse"
BYTES_MAX = 80_000
ELEMENTS_MAX = 2_500
FIRST_DAY = 20_000 * DAY_SECS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    with serving(tmp_path_factory.mktemp("pulled")) as served:
        yield served


@pytest.fixture
def filler(served: ServedRegistry) -> Iterator[Filler]:
    with Filler(served.url) as filler:
        yield filler


def shown(served: ServedRegistry, filler: Filler, name: str, reference: str = ":v1") -> Element:
    """The tab, once what was pulled is written."""
    served.server.call(served.doors.pull_times.flush)
    return page_of(filler.get(f"/{name}{reference}?tab=pulls"))


def cells(page: Element) -> list[list[str]]:
    """What the rows of the last pulls say."""
    table = page.one("section", **{"aria-labelledby": "lines"}).one("tbody")
    return [[cell.text for cell in row.all("th") + row.all("td")] for row in table.all("tr")]


def test_last_pulls_say_when_who_what_and_how(served: ServedRegistry, filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1")
    filler.pull(name, "v1")
    filler.pull(name, image.digest, b"docker/24.0.7 go/go1.20.10")

    page = shown(served, filler, name)
    by_digest, by_tag = cells(page)
    assert by_digest[1:] == ["anonymous", "its digest", "docker/24.0.7 go/go1.20.10", "127.0.0.1"]
    assert by_tag[1:] == ["anonymous", "v1", "skopeo/1.9", "127.0.0.1"]
    assert "newest 100 pulls" in page.text
    assert "90 days" in page.text
    assert cells(shown(served, filler, name, f"@{image.digest}")) == [by_digest, by_tag]


def test_chart_has_its_days_as_a_table_too(served: ServedRegistry, filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1")
    for _ in range(3):
        filler.pull(name, "v1")

    part = shown(served, filler, name).one("section", **{"aria-labelledby": "days"})
    assert "3 pulls in the last 30 days" in part.text
    chart = part.one("svg")
    assert chart.one("title", id=chart.attributes["aria-labelledby"]).text.startswith("3 pulls")
    assert len(chart.all("rect", class_="own")) == PULL_DAYS
    assert all("style" not in each.attributes for each in part.walk())
    table = part.one("details").one("tbody")
    counts = [int(row.one("td").text) for row in table.all("tr")]
    assert (len(counts), sum(counts)) == (PULL_DAYS, 3)


def test_what_nobody_pulled_says_so(served: ServedRegistry, filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1")
    page = shown(served, filler, name)
    assert "Nobody has pulled this manifest yet." in page.text
    assert page.all("section", **{"aria-labelledby": "lines"}) == []


def test_what_a_client_calls_itself_is_shown_as_it_is(
    served: ServedRegistry, filler: Filler
) -> None:
    name = make_name()
    filler.image(name, "v1")
    program = f"{HOSTILE[:-4]} ".encode("latin-1", "ignore") + b"\xad" + b"\"'<b>" + b"x" * 4000
    filler.pull(name, "v1", program)
    page = shown(served, filler, name)
    (row,) = cells(page)
    assert '<script>alert("x")</script>' in row[3]
    assert "\\u00ad" in row[3], "a soft hyphen shows nothing by itself"
    assert len(row[3]) < 100
    assert page.one("td", class_="c-client").all("script") == []


@pytest.mark.slow
def test_page_is_small_however_often_something_is_pulled(
    served: ServedRegistry, filler: Filler
) -> None:
    name = make_name()
    image = filler.image(name, "a-rather-long-tag-of-a-nightly-build-2026-11-26")
    program = "docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/5.15.0-94-generic os/linux "
    tag = "a-rather-long-tag-of-a-nightly-build-2026-11-26"
    noted = served.doors.pull_times
    for _ in range(500):
        noted.note(
            RepositoryName(name),
            Tag(tag),
            Digest(image.digest),
            origin=Origin(client=program + "arch/amd64"),
        )
    served.server.call(noted.flush)
    answer = filler.get(f"/{name}:{tag}?tab=pulls")
    page = page_of(answer)
    assert len(cells(page)) == 100
    assert len(answer.content) < BYTES_MAX, len(answer.content)
    assert len(list(page.walk())) < ELEMENTS_MAX


def test_recording_that_is_off_says_what_to_set(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Filler(served.url) as filler:
        filler.image("app", "v1")
        filler.pull("app", "v1")
        page = shown(served, filler, "app")
        assert "not recorded" not in page.text
        served.reload(global_={"update_pull_time": False})
        served.server.call(_flush_off, served)
        page = page_of(filler.get("/app:v1?tab=pulls"))
        assert "Pulls are not recorded: set update_pull_time = true in [global]" in page.text
        assert len(cells(page)) == 1, "what was recorded before is there"
    with (
        serving(tmp_path / "never", global_={"update_pull_time": False}) as served,
        Filler(served.url) as filler,
    ):
        filler.image("app", "v1")
        page = page_of(filler.get("/app:v1?tab=pulls"))
        assert "Pulls are not recorded" in page.text
        assert page.all("svg", role="img") == []


async def _flush_off(served: ServedRegistry) -> None:
    await served.doors.pull_times.flush(is_on=False)


def test_page_is_there_while_the_file_of_pulls_cannot_be_read(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Filler(served.url) as filler:
        filler.image("app", "v1")
        served.plan.storage.root.joinpath("stats.db").mkdir()
        page = page_of(filler.get("/app:v1?tab=pulls"))
        assert "The record of pulls cannot be read at the moment" in page.text


@pytest.mark.slow
def test_tab_and_addresses_are_for_who_may(tmp_path: Path) -> None:
    hashed = hash_password(PASSWORD)
    users = {each: {"username": each, "password": hashed} for each in ("owner", "some", "none")}
    rules = [
        "identity.username == 'owner'",
        "request.action == 'get-manifest'",
        "identity.username == 'some' && request.action == 'list-pulls'",
    ]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with (
        serving(tmp_path, global_=policy, auth={"identity": users}) as served,
        Filler(served.url) as filler,
    ):
        filler.auth = httpx.BasicAuth("owner", PASSWORD)
        filler.image("team/app", "v1")
        filler.pull("team/app", "v1")
        assert cells(shown(served, filler, "team/app"))[0][1:] == [
            "owner", "v1", "skopeo/1.9", "127.0.0.1"
        ]  # fmt: skip
        filler.auth = httpx.BasicAuth("some", PASSWORD)
        page = shown(served, filler, "team/app")
        assert cells(page)[0][1:] == ["owner", "v1", "skopeo/1.9"]
        assert "127.0.0.1" not in page.one("section", **{"aria-labelledby": "lines"}).text
        filler.auth = httpx.BasicAuth("none", PASSWORD)
        page = shown(served, filler, "team/app")
        assert "tab=pulls is left out" in page.text
        assert "skopeo" not in page.one("section", **{"aria-labelledby": "layers"}).text
        assert page.all("section", **{"aria-labelledby": "lines"}) == []
        assert not any("tab=pulls" in href for href in page.hrefs)


@QUICK
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=PULL_DAYS))
def test_bars_stay_in_the_drawing_and_none_with_pulls_is_unseen(counts: list[int]) -> None:
    bars = bars_of([(FIRST_DAY + day * DAY_SECS, count) for day, count in enumerate(counts)])
    for bar, count in zip(bars, counts, strict=True):
        assert bar.y + bar.height == HEIGHT_UNITS
        assert 0 <= bar.height <= HEIGHT_UNITS
        assert (bar.height > 0) == (count > 0)
    if any(counts):
        assert max(bar.height for bar in bars) == HEIGHT_UNITS


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([0, 0], "No pulls in the last 30 days."),
        ([0, 1], "1 pull in the last 30 days, all on 2024-10-05."),
        (
            [1200, 3],
            "1,203 pulls in the last 30 days, on 2 of them; the most on 2024-10-04: 1,200.",
        ),
    ],
)
def test_chart_is_said_in_a_sentence(counts: list[int], said: str) -> None:
    bars = bars_of([(FIRST_DAY + day * DAY_SECS, count) for day, count in enumerate(counts)])
    assert said_of(bars) == said
