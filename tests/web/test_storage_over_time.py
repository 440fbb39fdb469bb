"""What the storage page and the API say of other days, and of what nobody pulls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from angos_trio.browse.over_time import Outlook
from angos_trio.clock import DAY_SECS, date_of
from angos_trio.records import replace
from angos_trio.storage.metadata.samples import Sample
from angos_trio.web.samples import HEIGHT, Foretold, chart_of, foretold
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_descriptor, make_image, make_index
from tests.web.pages import Element, page_of, rows_of
from tests.web.past import aged, grown, pulled, sampled, today_of
from tests.web.test_storage_page import push, tiles

PAGE = "/_ui/storage"
API = "/v2/_ext/_storage"
TODAY = 20_000
SAMPLE = Sample(TODAY, TODAY * DAY_SECS, 500, 900, 10_000, 2, 3)


def on(*held: tuple[int, int]) -> list[Sample]:
    """Samples by how many days ago, with so many bytes on disk."""
    return [replace(SAMPLE, day=TODAY - ago, blob_bytes=count) for ago, count in held]


def test_chart_has_an_area_for_each_row_of_days() -> None:
    chart = chart_of(on((20, 50), (19, 100), (3, 0), (0, 25)), TODAY)

    assert chart is not None
    assert chart.width == 210
    assert chart.areas == [
        "M0 1000 V500 L5 500 L15 0 H20 V1000Z",
        "M170 1000 V1000 L175 1000 H180 V1000Z",
        "M200 1000 V750 L205 750 H210 V1000Z",
    ]
    assert (chart.first, chart.last) == (date_of(TODAY - 20), date_of(TODAY))
    assert (chart.highest, chart.missing) == ("100 B", 17)
    assert [day for day, _ in chart.rows] == [date_of(TODAY - ago) for ago in (0, 3, 19, 20)]


def test_chart_of_a_young_registry_is_two_weeks_wide() -> None:
    chart = chart_of(on((1, 7), (0, 7)), TODAY)

    assert chart is not None
    assert (chart.width, chart.first) == (140, date_of(TODAY - 13))
    assert chart.areas == [f"M120 {HEIGHT} V0 L125 0 L135 0 H140 V{HEIGHT}Z"]


def test_chart_needs_two_samples_and_survives_an_empty_disk() -> None:
    assert chart_of([], TODAY) is None
    assert chart_of(on((0, 5)), TODAY) is None
    chart = chart_of(on((1, 0), (0, 0)), TODAY)
    assert chart is not None
    assert chart.highest == "0 B"


@pytest.mark.parametrize(
    ("outlook", "expected"),
    [
        (Outlook(23, 9), Foretold("23", "by 9 samples of 14 days", False)),
        (Outlook(0, 7), Foretold("0", "by 7 samples of 14 days", True)),
        (Outlook(1200, 14), Foretold("1,200", "by 14 samples of 14 days", False)),
        (Outlook(None, 8), Foretold("–", "not within 10 years, by 8 samples of 14 days", False)),
    ],
)
def test_outlook_is_told_in_words(outlook: Outlook, expected: Foretold) -> None:
    assert foretold(outlook) == expected


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedRegistry]:
    with serving(tmp_path) as registry:
        yield registry


@pytest.fixture
def client(served: ServedRegistry) -> Iterator[Client]:
    with served.client() as speaking:
        yield speaking


def section(page: Element, name: str) -> Element:
    (found,) = [each for each in page.all("section") if each.attributes["aria-labelledby"] == name]
    return found


def said(page: Element, name: str) -> str:
    return section(page, name).text


def test_page_and_api_tell_the_same_of_the_last_90_days(
    served: ServedRegistry, client: Client
) -> None:
    sampled(served, grown(100, without=frozenset({40, 41})))
    page, answer = page_of(client.get(PAGE)), client.get(API).json()
    part = section(page, "over-time")

    assert len(answer["samples"]) == 88
    days = [row.one("time").attributes["datetime"] for row in part.one("tbody").all("tr")]
    assert days == [sample["day"] for sample in reversed(answer["samples"])]
    assert (days[0], days[-1]) == (date_of(today_of(served)), date_of(today_of(served) - 89))
    last = answer["samples"][-1]
    assert set(last) == {
        *("day", "at", "blob_bytes", "named_bytes", "free_bytes", "tags", "manifests")
    }
    first_row = [cell.attributes.get("title") for cell in part.one("tbody").all("tr")[0].all("td")]
    assert first_row[0] == f"{last['blob_bytes']:,} bytes"
    assert len(part.one("svg").all("path")) == 2
    title = part.one("svg").one("title")
    assert title.attributes["id"] == part.one("svg").attributes["aria-labelledby"]
    assert f"last {tiles_figure(last['blob_bytes'])}" in title.text
    assert "88 days; 2 days between them without a sample" in part.one("figcaption").text
    assert "style" not in {key for each in part.walk() for key in each.attributes}


def tiles_figure(count: int) -> str:
    return f"{count / 10**9:.0f} GB"


def test_days_to_full_are_told_with_seven_samples(served: ServedRegistry, client: Client) -> None:
    free = client.get(API).json()["free_bytes"]
    lost = free // 1000
    sampled(served, {ago: replace(SAMPLE, free_bytes=free + ago * lost) for ago in range(6)})
    assert client.get(API).json()["days_to_full"] is None
    assert "Days to full" not in tiles(page_of(client.get(PAGE)))

    sampled(served, {6: replace(SAMPLE, free_bytes=free + 6 * lost)})
    assert 900 <= client.get(API).json()["days_to_full"] <= 1000
    page = page_of(client.get(PAGE))
    assert 900 <= int(tiles(page)["Days to full"].replace(",", "")) <= 1000
    assert "by 7 samples of 14 days" in page.text


def test_young_registry_says_that_a_chart_will_come(client: Client) -> None:
    page = page_of(client.get(PAGE))

    assert "a chart is drawn once there are two" in said(page, "over-time")
    assert client.get(API).json()["samples"] == []


def old_images(client: Client) -> dict[str, Any]:
    """Two images of different sizes, an index with a part, a signature, and one without a tag."""
    push(client, "team/large", ("a", 400))
    push(client, "team/small", ("b", 9))
    part = client.stored("team/both", make_image(annotations={"part": "1"}))
    index = client.stored("team/both", make_index([make_descriptor(part)]), "v1")
    client.stored("team/both", make_image(subject=make_descriptor(index)))
    return {"part": part, "index": index}


def unpulled(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get(API).json()["unpulled"]
    return found


def names(client: Client) -> list[str]:
    return [f"{each['namespace']}:{each['tag']}" for each in unpulled(client)["manifests"]]


def digest_of(client: Client, name: str) -> str:
    return str(client.head(f"/v2/{name}/manifests/v1").headers["Docker-Content-Digest"])


@pytest.mark.slow
def test_what_nobody_pulled_is_told_the_largest_first(
    served: ServedRegistry, client: Client
) -> None:
    old_images(client)
    aged(served, 91)
    push(client, "team/young", ("c", 900))
    pulled(served, 100)

    assert names(client) == ["team/large:v1", "team/small:v1", "team/both:v1"]
    table = section(page_of(client.get(PAGE)), "unpulled")
    assert [row[0] for row in rows_of(table)] == names(client)
    assert [row[4] for row in rows_of(table)] == ["none noted"] * 3
    assert table.one("tbody").hrefs == ["/team/large:v1", "/team/small:v1", "/team/both:v1"]


def test_what_was_pulled_in_90_days_is_not_told(served: ServedRegistry, client: Client) -> None:
    old_images(client)
    aged(served, 91)
    large, small = digest_of(client, "team/large"), digest_of(client, "team/small")
    pulled(served, 200, {("team/large", large): 89, ("team/small", small): 95})

    assert names(client) == ["team/small:v1", "team/both:v1"]
    found = unpulled(client)["manifests"][0]
    assert served.core.now() - found["last_pulled_at"] >= 95 * DAY_SECS
    table = section(page_of(client.get(PAGE)), "unpulled")
    assert rows_of(table)[0][4] == "3 months ago"


@pytest.mark.parametrize(
    ("noted_days", "expected"),
    [(None, "Pulls are not recorded"), (10, "what was not pulled in 90 days is known from")],
)
def test_nothing_is_said_that_is_not_known(
    served: ServedRegistry, client: Client, noted_days: int | None, expected: str
) -> None:
    old_images(client)
    aged(served, 100)
    pulled(served, noted_days)

    found = unpulled(client)
    assert (found["manifests"], found["is_known"]) == ([], False)
    assert (found["pulls_noted_since"] is None) is (noted_days is None)
    part = section(page_of(client.get(PAGE)), "unpulled")
    assert expected in part.text
    assert part.all("table") == []


@pytest.mark.slow
def test_manifest_that_went_since_the_last_look_is_not_told(
    served: ServedRegistry, client: Client
) -> None:
    old_images(client)
    aged(served, 91)
    pulled(served, 100)
    assert len(names(client)) == 3
    digest = digest_of(client, "team/large")
    assert client.delete(f"/v2/team/large/manifests/{digest}").status_code == 202

    assert names(client) == ["team/small:v1", "team/both:v1"]


def test_one_without_a_tag_leads_to_its_digest(served: ServedRegistry, client: Client) -> None:
    alone = client.stored("team/alone", make_image())
    aged(served, 91)
    pulled(served, 100)

    (found,) = unpulled(client)["manifests"]
    assert (found["digest"], found["tag"]) == (alone.digest, None)
    part = section(page_of(client.get(PAGE)), "unpulled")
    assert part.one("tbody").hrefs == [f"/team/alone@{alone.digest}"]
    assert part.one("span", class_="badge").text == "no tag"


@pytest.mark.slow
def test_namespaces_that_the_caller_does_not_see_are_not_told(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        push(client, "secret/app", ("a", 9))
        push(client, "open/app", ("b", 8))
        aged(served, 91)
        pulled(served, 100)
    rules = [
        "request.action == 'get-storage'",
        "request.action == 'list-tags' && request.namespace.startsWith('open')",
    ]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with serving(tmp_path, global_=policy) as served, served.client() as client:
        pulled(served, 100)
        assert names(client) == ["open/app:v1"]
        answer = client.get(PAGE)
        assert "open/app:v1" in answer.text
        assert "secret" not in answer.text
