"""What the database adds up for those who see all is what a look at each namespace comes to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from angos_trio.browse import overview
from angos_trio.browse.overview import Below
from angos_trio.browse.repositories import Repository
from angos_trio.browse.selection import Page, Wanted
from angos_trio.identity import Caller
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import replace
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_image
from tests.registry.support import caller_of

NAMES = ("a", "a/x", "a/y", "a-b", "a.c/x", "a/b/c", "a/b", "a/b-c", "a0", "b/deep/er/x", "b/y")
CONFIGURED = ("a", "a/b", "b/deep", "empty", "c/empty")
SORTS = ("name", "manifests", "tags", "size", "pushed")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    repositories: dict[str, Any] = {name: {} for name in CONFIGURED}
    with serving(tmp_path_factory.mktemp("whole"), repository=repositories) as registry:
        with Client(registry.url) as client:
            for number, name in enumerate(NAMES):
                for tag in range(1 + number % 3):
                    client.stored(name, make_image(annotations={"n": f"{name}{tag}"}), f"v{tag}")
            for name in ("a/x", "a/new", "new/one", "a/b/new"):
                client.open_upload(name)
        yield registry


def callers() -> tuple[Caller, Caller]:
    """Who sees all and is known to, and who sees all, one by one."""
    each = caller_of("alice")
    return replace(each, sees_all=lambda repository: True), each


@pytest.mark.parametrize("sort", ["name", "namespaces", "tags", "size", "pushed"])
def test_repositories_are_the_same(served: ServedRegistry, sort: str) -> None:
    wanted = Wanted(100, sort=sort, is_descending=True)
    found: list[tuple[Page[Repository], int]] = [
        served.server.call(overview.page_of_repositories, served.core, caller, wanted)
        for caller in callers()
    ]

    assert found[0] == found[1]
    names = {row.name for row in found[0][0].rows}
    assert names == {"a", "a-b", "a.c", "a/b", "a0", "b", "b/deep", "c/empty", "empty", "new"}


def test_some_repositories_may_be_whole_and_others_not(served: ServedRegistry) -> None:
    _, each = callers()
    mixed = replace(each, sees_all=lambda repository: repository in ("a", "b/deep"))
    wanted = Wanted(100)
    one = served.server.call(overview.page_of_repositories, served.core, mixed, wanted)

    assert one == served.server.call(overview.page_of_repositories, served.core, each, wanted)


@pytest.mark.parametrize("name", ["a", "a/b", "b", "b/deep", "b/deep/er", "new", "a.c", "empty"])
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("is_descending", [True, False])
@pytest.mark.parametrize("contains", ["", "B"])
def test_namespaces_are_the_same_page_by_page(
    served: ServedRegistry, name: str, sort: str, is_descending: bool, contains: str
) -> None:
    whole, each = callers()
    after: str | None = ""
    while after is not None:
        wanted = Wanted(2, after, contains, sort, is_descending)
        found = _look(served, whole, name, wanted)
        assert found == _look(served, each, name, wanted)
        after = found.page.next_after


def _look(served: ServedRegistry, caller: Caller, name: str, wanted: Wanted) -> Below:
    below: Below = served.server.call(overview.look_below, served.core, caller, name, wanted)
    return below


def test_nothing_below_a_name_is_404_for_both(served: ServedRegistry) -> None:
    for caller in callers():
        with pytest.raises(OciError) as caught:
            served.server.call(overview.look_below, served.core, caller, "nothing", Wanted(10))
        assert caught.value.code is Code.NAME_UNKNOWN
