"""Folders are what their namespaces come to, and for who sees all the same as one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from angos_trio.browse import folders, overview
from angos_trio.browse.folders import Folder
from angos_trio.browse.selection import Page, Wanted
from angos_trio.identity import Caller
from angos_trio.limits.lists import FOLDED_FROM
from angos_trio.records import replace
from angos_trio.storage.metadata.below import OWN
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_image
from tests.registry.support import caller_of

pytestmark = pytest.mark.slow

NAMES = ("a", "a/x", "a/y", "a-b", "a.c/x", "a/b/c", "a/b", "a/b-c", "a/b-c/d/e", "b/deep/er/x")
MORE = tuple(f"wide/{group}/n{number}" for group in ("p", "q") for number in range(101))
CONFIGURED = ("a", "a/b", "b/deep", "empty")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    repositories: dict[str, Any] = {name: {} for name in CONFIGURED}
    with serving(tmp_path_factory.mktemp("folders"), repository=repositories) as registry:
        with Client(registry.url) as client:
            for number, name in enumerate((*NAMES, *MORE)):
                for tag in range(1 + number % 3):
                    client.stored(name, make_image(annotations={"n": f"{name}{tag}"}), f"v{tag}")
            for name in ("a/x", "a/new/one", "a/new", "a/b/new", "a"):
                client.open_upload(name)
        yield registry


def callers() -> tuple[Caller, Caller]:
    """Who sees all and is known to, and who sees all, one by one."""
    each = caller_of("alice")
    return replace(each, sees_all=lambda repository: True), each


def look(served: ServedRegistry, caller: Caller, name: str, wanted: Wanted) -> Page[Folder]:
    page: Page[Folder] = served.server.call(
        folders.look_at_folders, served.core, caller, name, wanted
    )
    return page


@pytest.mark.parametrize("name", ["a", "a/b", "b", "b/deep", "b/deep/er", "a.c", "empty", "wide"])
@pytest.mark.parametrize("sort", ["name", *folders.ORDERS])
@pytest.mark.parametrize("is_descending", [True, False])
def test_folders_are_the_same_page_by_page(
    served: ServedRegistry, name: str, sort: str, is_descending: bool
) -> None:
    whole, each = callers()
    after: str | None = ""
    while after is not None:
        wanted = Wanted(1, after, "", sort, is_descending)
        found = look(served, whole, name, wanted)
        assert found == look(served, each, name, wanted)
        after = found.next_after


@pytest.mark.parametrize("name", ["a", "a/b", "b/deep", "wide", "wide/p"])
def test_folders_add_up_to_their_namespaces(served: ServedRegistry, name: str) -> None:
    whole, _ = callers()
    found = look(served, whole, name, Wanted(1000)).rows
    below = served.server.call(overview.look_below, served.core, whole, name, Wanted(1000))

    for what in ("namespaces", "manifests", "tags", "uploads", "held_bytes"):
        assert sum(getattr(each, what) for each in found) == getattr(below.sums, what)
    assert max(each.last_pushed_at or 0 for each in found) == below.sums.last_pushed_at


def test_folder_tells_whether_there_is_more_in_it(served: ServedRegistry) -> None:
    whole, _ = callers()
    found = {each.segment: each for each in look(served, whole, "a", Wanted(100)).rows}

    # What is in a/b belongs to another repository; a/b-c does not.
    assert list(found) == [OWN, "b-c", "new", "x", "y"]
    assert (found["b-c"].namespaces, found["b-c"].deeper) == (2, 1)
    assert (found["new"].namespaces, found["new"].deeper, found["new"].uploads) == (2, 1, 2)
    assert (found["x"].namespaces, found["x"].deeper, found["x"].uploads) == (1, 0, 1)
    assert found[OWN].uploads == 1


def test_who_sees_a_part_has_folders_of_that_part(served: ServedRegistry) -> None:
    some = caller_of("bob", sees=lambda name: name in ("wide/q/n7", "wide/q/n8"))

    (folder,) = look(served, some, "wide", Wanted(100)).rows
    assert (folder.segment, folder.namespaces) == ("q", 2)


@pytest.mark.parametrize(
    ("name", "count", "is_foldable"),
    [("wide", 202, True), ("wide", FOLDED_FROM, False), ("wide/p", 201, True), ("a", 8, False)],
)
def test_many_namespaces_are_folded(
    served: ServedRegistry, name: str, count: int, is_foldable: bool
) -> None:
    """`wide/p` has 101 names that go on with as many segments: of 201 that were half."""
    whole, _ = callers()
    found = served.server.call(folders.is_foldable, served.core, whole, name, count)

    assert found is (is_foldable and name != "wide/p")
