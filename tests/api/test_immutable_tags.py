"""Immutable tags: the global rule, a repository's own, exclusions and deletion."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import Document, make_image, make_name


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry whose tags are immutable, except where a repository says otherwise."""
    with serving(
        tmp_path_factory.mktemp("kept"),
        global_={"immutable_tags": True, "immutable_tags_exclusions": ["latest", "dev-.*"]},
        repository={
            "loose": {"immutable_tags": False},
            "loose/but/tight": {"immutable_tags": True},
            "own": {"immutable_tags_exclusions": ["nightly"]},
            "deletable": {"immutable_tags_deletable": True},
        },
    ) as served:
        yield served


@pytest.fixture
def keeper(kept: ServedRegistry) -> Iterator[Client]:
    """Speaks to `kept`."""
    with Client(kept.url) as speaking:
        yield speaking


def push_two(client: Client, name: str, tag: str) -> tuple[Document, httpx.Response]:
    """Push one manifest under a tag, which must pass, and then another; the second answer."""
    first = client.stored(name, make_image(), tag)
    return first, client.push_manifest(name, make_image(), tag)


@pytest.mark.parametrize(
    ("repository", "tag", "may_move"),
    [
        ("any", "v1", False),
        ("any", "latest", True),
        ("any", "latest-1", False),
        ("any", "my-latest", False),
        ("any", "dev-1", True),
        ("any", "dev-", True),
        ("any", "x-dev-1", False),
        ("loose", "v1", True),
        ("loose/sub", "v1", True),
        ("loosely", "v1", False),
        ("loose/but/tight", "v1", False),
        ("loose/but/tight/sub", "v1", False),
        ("loose/but/tight", "latest", True),
        ("own", "nightly", True),
        ("own", "latest", False),
        ("deletable", "v1", False),
    ],
)
def test_tag_moves_only_where_it_may(
    keeper: Client, repository: str, tag: str, may_move: bool
) -> None:
    first, answer = push_two(keeper, repository, tag)

    if may_move:
        assert answer.status_code == 201
    else:
        expect_error(answer, 409, "TAG_IMMUTABLE", detail=tag)
        assert keeper.get(f"/v2/{repository}/manifests/{tag}").content == first.body


def test_same_manifest_again_passes(keeper: Client, name: str) -> None:
    document = keeper.stored(name, make_image(), "v1")

    assert keeper.push_manifest(name, document, "v1").status_code == 201
    assert keeper.push_manifest(name, document, tags=["v1", "v2"]).status_code == 201


def test_refused_push_leaves_nothing_of_its_manifest(keeper: Client, name: str) -> None:
    keeper.stored(name, make_image(), "v1")
    other = make_image()

    keeper.push_manifest(name, other, "v1")

    expect_error(keeper.get(f"/v2/{name}/manifests/{other.digest}"), 404, "MANIFEST_UNKNOWN")


def test_one_immutable_tag_of_the_query_refuses_them_all(keeper: Client, name: str) -> None:
    first = keeper.stored(name, make_image(), "v1")
    other = make_image()

    answer = keeper.push_manifest(name, other, tags=["v0", "v1", "latest"])

    expect_error(answer, 409, "TAG_IMMUTABLE", detail="v1")
    assert keeper.tags(name) == ["v1"]
    assert keeper.get(f"/v2/{name}/manifests/v1").content == first.body
    expect_error(keeper.get(f"/v2/{name}/manifests/{other.digest}"), 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    ("repository", "tag", "may_go"),
    [("kept", "v1", False), ("kept", "latest", True), ("deletable/x", "v1", True)],
)
def test_immutable_tag_is_deleted_only_where_it_may_be(
    keeper: Client, repository: str, tag: str, may_go: bool
) -> None:
    repository = make_name(repository)
    if repository.startswith("deletable"):
        repository = f"deletable/{repository.rpartition('/')[2]}"
    document = keeper.stored(repository, make_image(), tag)

    by_tag = keeper.delete(f"/v2/{repository}/manifests/{tag}")
    if not may_go:
        by_digest = keeper.delete(f"/v2/{repository}/manifests/{document.digest}")
        for answer in (by_tag, by_digest):
            expect_error(answer, 409, "TAG_IMMUTABLE", detail=tag)
        assert keeper.get(f"/v2/{repository}/manifests/{tag}").content == document.body
        assert keeper.tags(repository) == [tag]
    else:
        assert by_tag.status_code == 202
        assert keeper.tags(repository) == []


def test_manifest_with_one_immutable_tag_keeps_all_its_tags(keeper: Client, name: str) -> None:
    document = keeper.stored(name, make_image(), tags=["dev-1", "latest", "v1"])

    answer = keeper.delete(f"/v2/{name}/manifests/{document.digest}")

    expect_error(answer, 409, "TAG_IMMUTABLE", detail="v1")
    assert keeper.tags(name) == ["dev-1", "latest", "v1"]


def test_deleted_tag_of_a_deletable_repository_may_be_pushed_anew(keeper: Client) -> None:
    keeper.stored("deletable/anew", make_image(), "v1")
    keeper.delete("/v2/deletable/anew/manifests/v1")

    keeper.stored("deletable/anew", make_image(), "v1")


def test_of_many_first_pushes_at_once_one_wins(kept: ServedRegistry, name: str) -> None:
    documents = [make_image() for _ in range(4)]
    statuses: dict[str, int] = {}

    def push(document: Document) -> None:
        with Client(kept.url) as own:
            statuses[document.digest] = own.push_manifest(name, document, "v1").status_code

    threads = [threading.Thread(target=push, args=(document,)) for document in documents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses.values()) == [201, *[409] * 3]
    with Client(kept.url) as own:
        winner = own.get(f"/v2/{name}/manifests/v1").headers["Docker-Content-Digest"]
    assert statuses[winner] == 201
