"""Deleting: at once, never what is still referred to, and never what a rule keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from angos_trio.oci.codes import Code
from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.oci.pagination import Page
from angos_trio.policy.immutability import TagRule
from angos_trio.registry.delete import delete_blob, delete_manifest
from angos_trio.registry.listing import list_tags
from angos_trio.registry.pull import find_blob, find_manifest
from tests.registry.support import (
    ANYBODY,
    IMMUTABLE,
    LEASE_SECS,
    Clock,
    image,
    index,
    numbered,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
)
from tests.storage.support import NAME, blob_path, refusal_of, rows_of, run, says

OTHER = RepositoryName("team/other")
BYTES = b"content"
DIGEST = digest_of(BYTES)
DELETABLE = TagRule(is_immutable=True, is_deletable=True)


def kinds(root: Path) -> list[str]:
    return [row[0] for row in rows_of(root, "SELECT kind FROM events ORDER BY id")]


def test_deleted_blob_is_unknown_at_once_here_and_stays_elsewhere(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            for name in (NAME, OTHER):
                await push_bytes(registry, BYTES, name)
            await delete_blob(registry, ANYBODY, NAME, DIGEST)

            for work in (
                find_blob(registry, NAME, DIGEST),
                delete_blob(registry, ANYBODY, NAME, DIGEST),
            ):
                error = await refusal_of(work)
                assert says(error, Code.BLOB_UNKNOWN, 404)
                assert error.detail == DIGEST
            assert (await find_blob(registry, OTHER, DIGEST)).size == len(BYTES)
            assert blob_path(root, DIGEST).read_bytes() == BYTES
        assert kinds(root) == ["blob.pushed", "blob.pushed", "blob.deleted"]

    run(test)


@pytest.mark.parametrize("body", [image(DIGEST), image(config=DIGEST), index(DIGEST)])
def test_blob_that_a_manifest_names_is_not_deleted(root: Path, body: bytes) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            for name in (NAME, OTHER):
                await push_bytes(registry, BYTES, name)
            digest = await push_untagged(registry, body)
            error = await refusal_of(delete_blob(registry, ANYBODY, NAME, DIGEST))
            assert says(error, Code.DENIED, 405)
            await find_blob(registry, NAME, DIGEST)
            await delete_blob(registry, ANYBODY, OTHER, DIGEST)

            await delete_manifest(registry, ANYBODY, NAME, digest)
            await delete_blob(registry, ANYBODY, NAME, DIGEST)

    run(test)


def test_deleted_tag_leaves_its_manifest_and_other_tags(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            digest = (await push(registry, "v1", numbered(1))).digest
            await push(registry, "v2", numbered(1))
            await delete_manifest(registry, ANYBODY, NAME, Tag("v1"))

            error = await refusal_of(find_manifest(registry, NAME, Tag("v1")))
            assert says(error, Code.MANIFEST_UNKNOWN, 404)
            assert (await find_manifest(registry, NAME, Tag("v2"))).digest == digest
            await find_manifest(registry, NAME, digest)
            error = await refusal_of(delete_manifest(registry, ANYBODY, NAME, Tag("v1")))
            assert says(error, Code.MANIFEST_UNKNOWN, 404)
        assert kinds(root)[-1] == "tag.deleted"

    run(test)


def test_deleted_manifest_takes_its_tags_along(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            digest = (await push(registry, "v1", numbered(1))).digest
            await push(registry, "v2", numbered(1))
            await push(registry, "v3", numbered(2))
            await push(registry, "v1", numbered(1), name=OTHER)
            await delete_manifest(registry, ANYBODY, NAME, digest)

            assert (await list_tags(registry, NAME, Page(10, ""))).names == ["v3"]
            for reference in (digest, Tag("v1"), Tag("v2")):
                error = await refusal_of(find_manifest(registry, NAME, reference))
                assert says(error, Code.MANIFEST_UNKNOWN, 404)
            await find_manifest(registry, OTHER, Tag("v1"))
            error = await refusal_of(delete_manifest(registry, ANYBODY, NAME, digest))
            assert says(error, Code.MANIFEST_UNKNOWN, 404)
        assert kinds(root)[-3:] == ["tag.deleted", "tag.deleted", "manifest.deleted"]

    run(test)


@pytest.mark.parametrize("reference", [DIGEST, Tag("v1")])
def test_manifest_of_an_unknown_namespace_is_unknown(root: Path, reference: Tag) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            error = await refusal_of(delete_manifest(registry, ANYBODY, NAME, reference))
            assert says(error, Code.MANIFEST_UNKNOWN, 404)
            error = await refusal_of(delete_blob(registry, ANYBODY, NAME, DIGEST))
            assert says(error, Code.BLOB_UNKNOWN, 404)

    run(test)


RULES = {
    "protected": (IMMUTABLE, "v1", False),
    "exempt": (IMMUTABLE, "latest", True),
    "deletable all the same": (DELETABLE, "v1", True),
}


@pytest.mark.parametrize(("rule", "tag", "is_deleted"), RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("by_digest", [False, True])
def test_immutable_tag_is_deleted_only_where_its_rule_says_so(
    root: Path, rule: TagRule, tag: str, is_deleted: bool, by_digest: bool
) -> None:
    async def test() -> None:
        async with opened_registry(root, rule=rule) as registry:
            digest = (await push(registry, tag, numbered(1))).digest
            reference = digest if by_digest else Tag(tag)
            work = delete_manifest(registry, ANYBODY, NAME, reference)
            if is_deleted:
                await work
            else:
                error = await refusal_of(work)
                assert says(error, Code.TAG_IMMUTABLE, 409)
                assert error.detail == tag
                assert (await find_manifest(registry, NAME, Tag(tag))).digest == digest

    run(test)


def test_one_immutable_tag_keeps_the_manifest_and_its_other_tags(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root, rule=IMMUTABLE) as registry:
            digest = (await push(registry, "latest", numbered(1))).digest
            await push(registry, "v1", numbered(1))
            before = kinds(root)
            error = await refusal_of(delete_manifest(registry, ANYBODY, NAME, digest))
            assert says(error, Code.TAG_IMMUTABLE, 409)
            assert (await list_tags(registry, NAME, Page(10, ""))).names == ["latest", "v1"]
        assert kinds(root) == before

    run(test)


def test_delete_gives_a_lease_to_what_lost_its_last_reference(root: Path) -> None:
    clock = Clock()

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            lonely = await push_bytes(registry, b"lonely")
            shared = await push_bytes(registry, b"shared")
            going = await push_untagged(registry, image(lonely, shared))
            await push_untagged(registry, image(shared))
            begun_at = clock.now
            clock.now += 5000
            await delete_manifest(registry, ANYBODY, NAME, going)

            assert (await find_blob(registry, NAME, lonely)).lease_until == clock.now + LEASE_SECS
            assert (await find_blob(registry, NAME, shared)).lease_until == begun_at + LEASE_SECS

    run(test)


def test_delete_and_push_again_is_a_new_push(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            for _ in range(2):
                digest = (await push(registry, "v1", numbered(1))).digest
                await delete_manifest(registry, ANYBODY, NAME, digest)
            await push(registry, "v1", numbered(1))
        assert kinds(root).count("manifest.pushed") == 3
        assert rows_of(root, "SELECT count(*) FROM manifest_bodies") == [(1,)]

    run(test)
