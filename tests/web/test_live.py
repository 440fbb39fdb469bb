"""What pages say for scripts that follow what happens on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from angos_trio.auth.passwords import hash_password
from angos_trio.web.assets import assets
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_image
from tests.server.frames import Frames
from tests.web.content import Filler
from tests.web.pages import Element, page_of

pytestmark = pytest.mark.slow

EVENTS = "/v2/_ext/_events"
PAGES = ("/", "/library", "/library/nginx", "/library/nginx?view=tree", "/library/nginx:latest")


def main_of(client: Client, path: str) -> Element:
    return page_of(client.get(path)).one("main")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedRegistry]:
    with serving(tmp_path) as served:
        yield served


@pytest.mark.parametrize("path", PAGES)
def test_page_says_which_event_it_stands_for(filler: Filler, path: str) -> None:
    newest = filler.get(EVENTS).json()["seq"]

    assert int(main_of(filler, path).attributes["data-live"]) == newest


def test_what_happens_after_a_page_is_told_behind_its_cursor(served: ServedRegistry) -> None:
    with served.client() as client, served.wire() as wire:
        client.stored("team/app", make_image(), "v1")
        cursor = main_of(client, "/team/app").attributes["data-live"]
        client.stored("team/app", make_image(), "v2")

        frames = Frames(wire, f"{EVENTS}?after={cursor}&namespace=team/app")

        told = [frames.json() for _ in range(3)]
        assert [each["type"] for each in told] == ["heartbeat", "manifest.pushed", "tag.created"]
        assert told[-1]["data"]["tag"] == "v2"


@pytest.mark.parametrize(
    ("path", "name", "is_deep"),
    [
        ("/", "", True),
        ("/library", "library", True),
        ("/library/tools?view=below", "library/tools", True),
        ("/library/nginx", "library/nginx", False),
        ("/single?view=tags", "single", False),
        ("/single:v1", "single", False),
    ],
)
def test_page_says_what_it_is_about(filler: Filler, path: str, name: str, is_deep: bool) -> None:
    said = main_of(filler, path).attributes

    assert said["data-name"] == name
    assert ("data-deep" in said) == is_deep


def test_page_of_a_manifest_says_which_it_shows(filler: Filler) -> None:
    said = main_of(filler, "/library/nginx:latest").attributes

    assert said["data-tag"] == "latest"
    digest = said["data-of"]
    assert main_of(filler, f"/library/nginx@{digest}").attributes["data-of"] == digest
    assert main_of(filler, f"/library/nginx@{digest}").attributes["data-tag"] == ""


def test_who_may_not_listen_is_not_told_where_the_feed_is(tmp_path: Path) -> None:
    rules = {"access_policy": {"default": "deny", "rules": ["request.action != 'get-events'"]}}
    auth = {"identity": {"a": {"username": "a", "password": hash_password("correct horse")}}}
    with serving(tmp_path, global_=rules, auth=auth) as served, served.client() as client:
        client.stored("team/app", make_image(), "v1")

        assert main_of(client, "/team/app").attributes["data-live"] == ""


@pytest.mark.parametrize(
    ("query", "is_plain"),
    [("", True), ("?q=1.2", True), ("?n=25", True), ("?sort=name", False), ("?after=v1", False)],
)
def test_new_rows_may_appear_where_nobody_asked_for_an_order(
    filler: Filler, query: str, is_plain: bool
) -> None:
    (region,) = [
        each
        for each in page_of(filler.get(f"/{query}")).all("div")
        if "data-region" in each.attributes
    ]

    assert ("data-plain" in region.attributes) == is_plain


def test_scripts_find_those_that_they_import() -> None:
    known = assets().by_name
    found = {
        name: re.findall(rb' from "\./([^"]+)"', asset.content) for name, asset in known.items()
    }

    assert sum(map(len, found.values())) >= 3
    assert {each.decode() for imported in found.values() for each in imported} <= known.keys()
