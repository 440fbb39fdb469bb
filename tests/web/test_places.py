"""From a path to a page."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.names import RepositoryName
from angos_trio.web.places import RESERVED, UNKNOWN, Place, View, path_of, resolve
from tests.oci.strategies import QUICK, names

HEX = "0" * 64
DIGEST = f"sha256:{HEX}"
REPOSITORIES = ("library", "ghcr.io/acme", "ghcr.io/acme/tools", "health")


def place_of(path: str) -> Place | None:
    return resolve([unquote(part) for part in path.split("/")[1:]], REPOSITORIES)


@pytest.mark.parametrize(
    ("path", "view", "name", "owner"),
    [
        ("/a", View.REPOSITORY, "a", "a"),
        ("/library", View.REPOSITORY, "library", "library"),
        ("/library/nginx", View.NAMESPACE, "library/nginx", "library"),
        ("/a/b/c", View.NAMESPACE, "a/b/c", "a"),
        ("/ghcr.io", View.REPOSITORY, "ghcr.io", "ghcr.io"),
        ("/ghcr.io/other", View.NAMESPACE, "ghcr.io/other", "ghcr.io"),
        ("/ghcr.io/acme", View.REPOSITORY, "ghcr.io/acme", "ghcr.io/acme"),
        ("/ghcr.io/acme/x/y", View.NAMESPACE, "ghcr.io/acme/x/y", "ghcr.io/acme"),
        ("/ghcr.io/acme/tools", View.REPOSITORY, "ghcr.io/acme/tools", "ghcr.io/acme/tools"),
        ("/ghcr.io/acmex", View.NAMESPACE, "ghcr.io/acmex", "ghcr.io"),
        ("/a/health", View.NAMESPACE, "a/health", "a"),
        ("/jobs", View.REPOSITORY, "jobs", "jobs"),
        ("/_ui/browse/health", View.REPOSITORY, "health", "health"),
        ("/_ui/browse/health/app", View.NAMESPACE, "health/app", "health"),
        ("/_ui/browse/v2/a", View.NAMESPACE, "v2/a", "v2"),
        ("/_ui/browse/library/nginx", View.NAMESPACE, "library/nginx", "library"),
        ("/%61", View.REPOSITORY, "a", "a"),
    ],
)
def test_path_of_names_is_a_repository_or_a_namespace(
    path: str, view: View, name: str, owner: str
) -> None:
    assert place_of(path) == Place(view, RepositoryName(name), owner)


@pytest.mark.parametrize(
    ("path", "name", "reference", "pinned"),
    [
        ("/a:1", "a", "1", None),
        ("/a/b:tag", "a/b", "tag", None),
        ("/a/b/c:v1.2_x-y", "a/b/c", "v1.2_x-y", None),
        (f"/a@{DIGEST}", "a", DIGEST, None),
        (f"/a/b@{DIGEST}", "a/b", DIGEST, None),
        (f"/a/b:tag@{DIGEST}", "a/b", DIGEST, "tag"),
        ("/_ui/browse/health:1", "health", "1", None),
        ("/a/b%3Atag", "a/b", "tag", None),
    ],
)
def test_reference_is_split_off_at_its_mark(
    path: str, name: str, reference: str, pinned: str | None
) -> None:
    found = place_of(path)

    assert found is not None
    assert found.view is View.MANIFEST
    assert (found.name, found.reference, found.pinned) == (name, reference, pinned)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/a/", "/a"),
        ("//a", "/a"),
        ("/a//b", "/a/b"),
        ("/a/b:1/", "/a/b:1"),
        ("//", "/"),
        ("///evil.test//x", "/evil.test/x"),
        ("/_ui/browse//health/", "/_ui/browse/health"),
        ("/_ui/browse/", "/"),
    ],
)
def test_empty_segments_are_dropped_from_the_address(path: str, location: str) -> None:
    assert place_of(path) == Place(View.MOVED, location=location)


@pytest.mark.parametrize(
    "path",
    [
        *("/A", "/a/B", "/..", "/a/..", "/../etc/passwd", "/a b", "/-a", "/a_", "/_a", "/a/_ui"),
        *("/a:", "/:a", "/a:b/c", "/a:.b", "/a@", "/@a", "/a@sha256:00", f"/a@{DIGEST}x"),
        *(f"/a@{DIGEST}@{DIGEST}", f"/a:1:2@{DIGEST}", "/a%00", "/caf%C3%A9", "/" + "a" * 256),
        *("/a@md5:" + "0" * 32, "/a?b", "/a%0a", "/_ui/browse/A"),
        *("/a b/", "/\\evil.test/", "//A", "/" + "a/" * 20_000),
    ],
)
def test_what_no_name_can_be_is_unknown(path: str) -> None:
    assert place_of(path) == UNKNOWN


def test_path_that_cannot_be_decoded_is_unknown() -> None:
    assert resolve(None, REPOSITORIES) == UNKNOWN


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_word_with_a_meaning_of_its_own_is_no_page(word: str) -> None:
    assert place_of(f"/{word}") is None
    assert place_of(f"/{word}/x") is None


def test_front_page_is_the_list_of_repositories() -> None:
    assert resolve([], REPOSITORIES) == Place(View.REPOSITORIES)
    assert resolve(["_ui", "browse"], REPOSITORIES) == Place(View.REPOSITORIES)


@QUICK
@given(name=names())
def test_address_of_a_name_leads_to_that_name(name: str) -> None:
    found = place_of(path_of(name))

    assert found is not None
    assert found.name == name


@QUICK
@given(segments=st.lists(st.text(max_size=12), max_size=5))
def test_any_path_is_a_place_or_none(segments: list[str]) -> None:
    found = resolve(segments, REPOSITORIES)

    if found is not None and found.view is View.MOVED:
        assert found.location.startswith("/")
        assert not found.location.startswith("//")
