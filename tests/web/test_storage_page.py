"""The page of what the disk holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from angos_trio.storage.metadata.totals import Share
from angos_trio.web.storage import UNITS, bars_of
from tests.api.client import Client
from tests.api.serving import serving
from tests.factories import make_blob, make_descriptor, make_image
from tests.web.content import Filler
from tests.web.pages import Element, page_of

PAGE = "/_ui/storage"
TABLES: dict[str, Any] = {"repository": {"team/deep": {}}}


def push(client: Client, name: str, *sizes: tuple[str, int], tag: str = "v1") -> None:
    """An image with layers of letters and so many thousand bytes; equal ones are the same blob."""
    config = client.push_blob(name, make_blob(b"{}"))
    layers = [
        client.push_blob(name, make_blob(letter.encode() * count * 1000)) for letter, count in sizes
    ]
    client.stored(
        name, make_image(make_descriptor(config), [make_descriptor(each) for each in layers]), tag
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Element]:
    """Of a registry in which `one` and `team` share a layer, and `team/deep` has a large one."""
    with serving(tmp_path_factory.mktemp("storage"), **TABLES) as served, served.client() as client:
        push(client, "one/app", ("a", 400), ("b", 100))
        push(client, "one/other", ("b", 100))
        push(client, "team/app", ("a", 400), ("c", 30))
        push(client, "team/deep/app", ("d", 900))
        client.open_upload("one/app")
        yield page_of(client.get(PAGE))


def tiles(page: Element) -> dict[str, str]:
    """Figures by their names."""
    return {
        tile.one("dt").text: tile.all("dd")[0].text
        for tile in page.one("dl", class_="tiles").all("div")
    }


def shares(page: Element) -> dict[str, list[str]]:
    """Exclusive, shared and on disk, by repository."""
    return {
        row.one("th").text: [cell.text for cell in row.all("td", class_="c-size")]
        for row in page.one("table", class_="shares").one("tbody").all("tr")
    }


def test_tiles_tell_what_is_stored(page: Element) -> None:
    found = tiles(page)

    assert found["On disk"] == "1.43 MB"  # 400 + 100 + 30 + 900 kB and a config, each once
    assert found["Logical"] == "1.93 MB"  # with the shared layers twice, and manifests
    assert found["De-duplication"] == "1.35×"
    assert (found["Uploads"], found["Untagged"]) == ("1", "0")
    assert found["Reclaimable now"] == "0 B"
    assert found["Free"].endswith("B")


def test_repositories_tell_what_is_theirs_alone(page: Element) -> None:
    assert shares(page) == {
        "team/deep": ["900 kB", "2 B", "900 kB"],
        "one": ["100 kB", "400 kB", "500 kB"],
        "team": ["30.0 kB", "400 kB", "430 kB"],
    }


def test_every_bar_has_a_title_and_no_style(page: Element) -> None:
    bars = page.one("table", class_="shares").all("svg")

    assert [bar.one("title").text for bar in bars][1] == "one: 100 kB exclusive, 400 kB shared"
    assert all(int(rect.attributes["width"]) <= UNITS for bar in bars for rect in bar.all("rect"))
    assert page.one("table", class_="shares").one("caption").text


def test_largest_are_named_with_what_has_them(page: Element) -> None:
    rows = [
        [cell.text for cell in row.children if isinstance(cell, Element)]
        for row in page.one("table", class_="blobs").one("tbody").all("tr")
    ]
    assert [row[1:] for row in rows][:3] == [
        ["900 kB", "1", "1"],
        ["400 kB", "2", "2"],
        ["100 kB", "2", "2"],
    ]
    (largest,) = [
        each for each in page.all("section") if each.attributes["aria-labelledby"] == "namespaces"
    ]
    assert largest.all("a")[0].text == "team/deep/app"


def test_words_are_explained(page: Element) -> None:
    terms = [dt.text for dt in page.all("section")[-1].all("dt")]

    assert {"On disk", "Logical", "Exclusive", "Reclaimable now"} <= set(terms)


def test_empty_registry_has_a_page(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        page = page_of(client.get(PAGE))

    assert tiles(page)["De-duplication"] == "–"
    assert page.one("p", class_="empty").text == "Nothing is stored yet."


@pytest.mark.slow
def test_names_and_plans_are_for_those_who_may_see_them(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        push(client, "secret/app", ("a", 9))
        push(client, "open", ("b", 8))
    rules = ["request.action in ['get-storage', 'list-tags']"]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    own = {"secret": {"access_policy": {"default": "deny"}}}
    with (
        serving(tmp_path, global_=policy, repository=own) as served,
        served.client() as client,
    ):
        answer = client.get(PAGE)
        page = page_of(answer)

    assert list(shares(page)) == ["open"]
    assert "secret" not in answer.text
    assert "Reclaimable now" not in tiles(page)


def test_bars_are_as_long_as_shares_are_large() -> None:
    bars = bars_of(
        [Share("a", 1000, 400), Share("b", 500, 500), Share("c", 1, 0), Share("d", 0, 0)]
    )

    drawn = [(bar.own_units, bar.shared_units) for bar in bars]
    assert drawn == [(400, 600), (500, 0), (0, 2), (0, 0)]
    assert bars_of([]) == []


def test_bar_of_the_widest_stays_within_the_drawing() -> None:
    for own in range(0, 1001, 50):
        (bar,) = bars_of([Share("a", 1000, own)])
        assert bar.own_units + bar.shared_units <= UNITS
        assert (bar.own_units > 0, bar.shared_units > 0) == (own > 0, own < 1000)


def test_share_of_a_repository_is_for_who_sees_all_of_it(tmp_path: Path) -> None:
    rules = ["!has(request.namespace) || request.namespace != 'team/hidden'"]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with serving(tmp_path, global_=policy) as served, Filler(served.url) as filler:
        filler.image("team/app", "v1")
        page = page_of(filler.get("/_ui/storage"))

    assert page.all("table", class_="shares") == []
    assert "/team/app" in page.hrefs
