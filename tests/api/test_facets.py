"""`_tags` and `_revisions`, chosen by what their rows are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.client import expect_error, next_page
from tests.api.serving import serving
from tests.factories import Document
from tests.web.content import Filler
from tests.web.test_facets import fill

pytestmark = pytest.mark.slow

NAME = "sift/all"
TAGS, REVISIONS = f"/v2/_ext/{NAME}/_tags", f"/v2/_ext/{NAME}/_revisions"
CODE = "PAGINATION_NUMBER_INVALID"


@pytest.fixture(scope="module")
def filler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filler]:
    with serving(tmp_path_factory.mktemp("sifted")) as served, Filler(served.url) as found:
        yield found


@pytest.fixture(scope="module")
def pushed(filler: Filler) -> dict[str, Document]:
    return fill(filler)


def every(filler: Filler, path: str, key: str, **query: str) -> list[dict[str, Any]]:
    """All entries, whole and page by page: they are the same."""
    whole: list[dict[str, Any]] = filler.get(f"{path}?{urlencode(query)}").json()[key]
    found: list[dict[str, Any]] = []
    following: str | None = f"{path}?{urlencode({**query, 'n': '1'})}"
    while following is not None:
        answer = filler.get(following)
        assert answer.status_code == 200, answer.text
        found += answer.json()[key]
        following = next_page(answer)
    assert found == whole
    return whole


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"kind": "chart"}, ["chart"]),
        ({"kind": "image", "state": "signed"}, ["signed-1", "signed-2"]),
        ({"platform": "linux/arm64"}, ["index", "signed-1", "signed-2"]),
        ({"platform": "linux/arm64", "kind": "index", "state": "unsigned"}, ["index"]),
        ({"state": "signed", "q": "2"}, ["signed-2"]),
        ({"state": "signed", "sort": "size", "order": "desc"}, ["signed-1", "signed-2"]),
        ({"kind": "vex"}, []),
        ({"platform": "linux/arm"}, []),
    ],
)
def test_tags_are_those_that_are_chosen(
    filler: Filler, pushed: dict[str, Document], query: dict[str, str], names: list[str]
) -> None:
    found = every(filler, TAGS, "tags", **query)

    assert sorted(each["name"] for each in found) == names


def test_tagged_is_every_tag(filler: Filler, pushed: dict[str, Document]) -> None:
    assert every(filler, TAGS, "tags", state="tagged") == every(filler, TAGS, "tags")


def test_untagged_manifests_are_revisions(filler: Filler, pushed: dict[str, Document]) -> None:
    loose = pushed["loose"].digest
    (found,) = every(filler, REVISIONS, "revisions", state="untagged")
    assert (found["digest"], found["tags"], found["parents"]) == (loose, [], [])
    assert every(filler, REVISIONS, "revisions", state="untagged", kind="chart") == []
    chosen = {"state": "untagged", "platform": "linux/s390x", "q": loose[7:20]}
    assert every(filler, REVISIONS, "revisions", **chosen) == [found]


@pytest.mark.parametrize(
    "query",
    [
        "kind=helm",
        "state=stale",
        "state=untagged",
        "platform=linux",
        "platform=a%20b/c",
        "kind=image&kind=index",
    ],
)
def test_tags_cannot_be_chosen_by_what_there_is_not(filler: Filler, query: str) -> None:
    filler.image("any", "v1")
    expect_error(filler.get(f"/v2/_ext/any/_tags?{query}"), 400, CODE)


@pytest.mark.parametrize(
    "query",
    [
        "state=signed",
        "kind=image",
        "platform=linux/amd64",
        "state=untagged&sort=digest",
        "state=untagged&after=x",
        "state=untagged&after=x&n=1",
    ],
)
def test_revisions_cannot_be_chosen_by_what_there_is_not(filler: Filler, query: str) -> None:
    filler.image("any", "v1")
    expect_error(filler.get(f"/v2/_ext/any/_revisions?{query}"), 400, CODE)
