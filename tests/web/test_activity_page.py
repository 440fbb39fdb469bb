"""The page of what happened, the same as lines, and the strip of the front page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_image
from tests.web.content import HOSTILE
from tests.web.pages import Element, page_of, rows_of

PAGE = "/_ui/activity"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    with serving(tmp_path_factory.mktemp("activity")) as registry:
        with Client(registry.url) as client:
            client.stored("team/app", make_image(annotations={"n": "1"}), "v1")
            moved = client.stored("team/app", make_image(annotations={"n": "2"}), "v1")
            client.stored("other/app", make_image(), "v2")
            assert client.delete("/v2/team/app/manifests/v1").status_code == 202
            assert client.delete(f"/v2/team/app/manifests/{moved.digest}").status_code == 202
        yield registry


@pytest.fixture(scope="module")
def client(served: ServedRegistry) -> Iterator[Client]:
    with served.client() as speaking:
        yield speaking


def told(page: Element) -> list[tuple[str, str]]:
    """What happened, and to what."""
    return [(row[1], row[2]) for row in rows_of(page)]


def test_what_happened_is_told_the_latest_first(client: Client) -> None:
    page = page_of(client.get(PAGE))

    assert told(page)[:3] == [
        ("deleted manifest", "team/app"),
        ("deleted tag", "team/app:v1"),
        ("tagged", "other/app:v2"),
    ]
    assert ("moved tag", "team/app:v1") in told(page)
    assert told(page)[-1][1].startswith("team/app")


def test_tag_leads_to_its_page_and_one_that_is_gone_to_its_namespace(client: Client) -> None:
    links = page_of(client.get(f"{PAGE}?kind=tag")).one("tbody").hrefs

    assert "/other/app:v2" in links
    assert "/team/app" in links


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("namespace=other/app&kind=tag", [("tagged", "other/app:v2")]),
        ("kind=tag.updated", [("moved tag", "team/app:v1")]),
        ("kind=tag&since=1h&namespace=other/app", [("tagged", "other/app:v2")]),
        ("actor=nobody-at-all", []),
        ("actor=anonymous::&kind=tag.deleted", [("deleted tag", "team/app:v1")]),
    ],
)
def test_filter_is_in_the_address(
    client: Client, query: str, expected: list[tuple[str, str]]
) -> None:
    page = page_of(client.get(f"{PAGE}?{query}"))

    assert (told(page) if page.all("table") else []) == expected
    assert page.one("form", class_="sift").hrefs[0] == PAGE


@pytest.mark.parametrize(
    "query", ["kind=taggy", "since=5y", "before=x", "before=-1", f"actor={'x' * 256}"]
)
def test_what_cannot_be_asked_is_left_out_and_said(client: Client, query: str) -> None:
    page = page_of(client.get(f"{PAGE}?{query}"))

    assert "is left out" in page.one("p", class_="notice").text
    assert len(told(page)) > 5


def test_pages_one_after_the_other_have_all(served: ServedRegistry, client: Client) -> None:
    served.happen("long/app", 250)
    seen: list[tuple[str, str]] = []
    path: str | None = f"{PAGE}?namespace=long/app"
    while path is not None:
        page = page_of(client.get(path))
        seen += told(page)
        path = next((a.attributes["href"] for a in page.all("a", rel="next")), None)

    assert [name for _, name in seen] == [f"long/app:v{number}" for number in range(249, -1, -1)]


def test_lines_are_those_of_the_same_filter(client: Client) -> None:
    page = page_of(client.get(f"{PAGE}?namespace=team/app&kind=tag"))
    (link,) = page.all("a", class_="export")
    answer = client.get(link.attributes["href"])
    lines = [json.loads(line) for line in answer.text.splitlines()]

    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert [line["kind"] for line in lines] == ["tag.deleted", "tag.updated", "tag.created"]
    assert {line["namespace"] for line in lines} == {"team/app"}


def test_front_page_tells_the_last_five(client: Client) -> None:
    strip = page_of(client.get("/")).one("section", class_="strip")
    latest = strip.one("ul").all("li")

    assert len(latest) == 5
    assert [dt.text for dt in strip.all("dt")] == [
        *("On disk", "Free", "De-duplication", "Uploads now"),
    ]


def test_nothing_that_is_typed_runs(client: Client) -> None:
    answer = client.get(PAGE, params={"namespace": HOSTILE, "actor": HOSTILE, "kind": HOSTILE})

    page_of(answer)
    assert "<script>alert" not in answer.text


@pytest.mark.slow
def test_page_and_strip_tell_nothing_that_the_caller_does_not_see(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        client.stored("secret/app", make_image(), "v1")
        client.stored("open/app", make_image(), "v1")
    rules = [
        "request.action in ['list-repositories', 'get-activity']",
        "has(request.namespace) && request.namespace.startsWith('open')",
    ]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with serving(tmp_path, global_=policy) as served, served.client() as client:
        for path in (PAGE, "/", f"{PAGE}.ndjson"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "open/app" in answer.text
            assert "secret" not in answer.text
        front = page_of(client.get("/"))
        assert [link.text for link in front.one("nav", class_="places").all("a")] == [
            *("Repositories", "Activity"),
        ]
        assert front.one("section", class_="strip").all("dl") == []
        assert front.all("form", class_="find") == []
        for path in ("/_ui/storage", "/_ui/health", "/_ui/find"):
            assert client.get(path).status_code == 401
