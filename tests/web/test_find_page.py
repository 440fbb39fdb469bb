"""The page that finds, and the box in the header."""

from __future__ import annotations

from pathlib import Path

import pytest

from angos_trio.browse.finding import Pasted, parse_pasted
from tests.api.client import Client
from tests.api.serving import serving
from tests.factories import make_image
from tests.web.content import HOSTILE, Filler
from tests.web.pages import Element, page_of

DIGEST = "sha256:" + "ab" * 32


def found(page: Element) -> dict[str, list[str]]:
    """What was found, by the headings of the parts."""
    return {
        section.one("h2").text: [head.one("a").text for head in section.all("th", scope="row")]
        for section in page.all("section")
    }


def find(client: Client, text: str) -> Element:
    return page_of(client.get("/_ui/find", params={"q": text}))


def test_every_page_has_a_box_that_leads_here(filler: Filler) -> None:
    form = page_of(filler.get("/library")).one("form", class_="find")

    assert (form.attributes["action"], form.attributes["method"]) == ("/_ui/find", "get")
    assert form.one("input").attributes["name"] == "q"


def test_names_are_found_the_likeliest_first(filler: Filler) -> None:
    page = find(filler, "TOOLS")

    assert found(page) == {"Namespaces": ["library/tools", "library/tools/git/all-of-it"]}
    assert page.one("p", class_="said").text == "2 results: namespaces with tools in their names."


def test_tags_are_found_by_their_beginning(filler: Filler) -> None:
    page = find(filler, "nginx:1.27")

    assert found(page) == {"Tags": ["library/nginx:1.27", "library/nginx:1.27.3"]}
    assert "/library/nginx:1.27.3" in page.hrefs


def test_digests_are_found_by_twelve_digits_too(filler: Filler) -> None:
    image = filler.image("found/here", "v1")
    page = find(filler, image.digest.partition(":")[2][:12])

    assert found(page) == {"Manifests": ["found/here"]}
    assert f"/found/here@{image.digest}" in page.hrefs


def test_blobs_are_found_with_their_namespaces(filler: Filler) -> None:
    blob = filler.push_blob("found/blob")
    page = find(filler, blob.digest)

    assert found(page) == {"Blobs": ["found/blob"]}


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("library/python:3.12", "/library/python:3.12"),
        ("library/python", "/library/python"),
    ],
)
def test_what_a_terminal_shows_is_gone_to(filler: Filler, rest: str, place: str) -> None:
    for text in (f"registry.lab:5000/{rest}", f" https://registry.lab/{rest} "):
        answer = filler.get("/_ui/find", params={"q": text})
        assert (answer.status_code, answer.headers.get("Location")) == (303, place)


@pytest.mark.parametrize(
    "text",
    ["library/python:3.12", "registry.lab/library/python:9", "registry.lab/none", "python"],
)
def test_what_is_not_exactly_there_is_looked_for(filler: Filler, text: str) -> None:
    page_of(filler.get("/_ui/find", params={"q": text}))


def test_digest_of_a_terminal_is_gone_to(filler: Filler) -> None:
    image = filler.image("found/pinned", "v1")
    answer = filler.get("/_ui/find", params={"q": f"lab:5000/found/pinned:v1@{image.digest}"})

    assert answer.headers["Location"] == f"/found/pinned@{image.digest}"


def test_nothing_to_find_asks_for_something(filler: Filler) -> None:
    page = page_of(filler.get("/_ui/find"))

    assert page.all("section") == []
    assert page.all("p", class_="empty") == []


@pytest.mark.parametrize("text", [HOSTILE, "../..", "%00", "a" * 255, "sha256:", ":", "*"])
def test_any_text_is_a_page(filler: Filler, text: str) -> None:
    answer = filler.get("/_ui/find", params={"q": text})
    page = page_of(answer)

    assert "<script>alert" not in answer.text
    assert "\u202e" not in page.text
    page.one("p", class_="empty")


def test_text_that_is_too_long_is_left_out(filler: Filler) -> None:
    page = find(filler, "x" * 256)

    assert "more than 255 characters" in page.one("p", class_="notice").text


@pytest.mark.slow
def test_what_the_caller_does_not_see_is_neither_found_nor_gone_to(tmp_path: Path) -> None:
    rule = "request.action == 'find' || request.namespace.startsWith('open')"
    with serving(tmp_path) as served, served.client() as client:
        secret = client.stored("secret/app", make_image(), "v1")
        client.stored("open/app", make_image(), "v1")
    policy = {"access_policy": {"default": "deny", "rules": [rule]}}
    with serving(tmp_path, global_=policy) as served, served.client() as client:
        assert found(find(client, "app")) == {"Namespaces": ["open/app"]}
        for text in ("lab:5000/secret/app:v1", f"lab:5000/secret/app@{secret.digest}"):
            assert found(find(client, text)) == {}
        assert client.get("/_ui/find?q=lab:5000/open/app:v1").status_code == 303


@pytest.mark.parametrize(
    ("text", "pasted"),
    [
        ("lab:5000/a/b:v1", Pasted("a/b", "v1")),  # type: ignore[arg-type]
        ("lab.test/a", Pasted("a")),  # type: ignore[arg-type]
        (f"localhost/a:v@{DIGEST}", Pasted("a", DIGEST)),  # type: ignore[arg-type]
        ("a/b:v1", None),
        ("lab:5000/A", None),
        ("lab:5000/a:", None),
        ("lab:5000/a@sha256:1", None),
        ("", None),
    ],
)
def test_only_what_names_a_host_is_exact(text: str, pasted: Pasted | None) -> None:
    assert parse_pasted(text) == pasted


def test_who_may_pull_and_not_list_finds_the_name_alone(tmp_path: Path) -> None:
    rules = ["!(request.action in ['list-tags', 'list-revisions'])"]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with serving(tmp_path, global_=policy) as served, Filler(served.url) as filler:
        image = filler.image("team/app", "secret-tag")

        for text in ("team/app:", "team/app:sec", image.digest[:20], "team/app"):
            answer = filler.get("/_ui/find", params={"q": text, "jump": "no"})
            page = page_of(answer)
            assert "secret-tag" not in page.one("main").text
            assert image.digest not in answer.text
            found = filler.get("/v2/_ext/_find", params={"q": text}).json()
            assert (found["tags"], found["manifests"], found["blobs"]) == ([], [], [])
        assert "/team/app" in page.hrefs
