"""Reading, and what a client is promised when it is told that a blob exists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from angos_trio.limits.housekeeping import HURRIED_LEASE_SECS
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.records import replace
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob, delete_manifest
from angos_trio.registry.pull import (
    find_blob,
    find_manifest,
    open_blob,
    promise_blob,
    read_body,
)
from tests.registry.support import (
    ANYBODY,
    LEASE_SECS,
    Clock,
    image,
    numbered,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
)
from tests.server.log_lines import LogLines
from tests.storage.support import (
    NAME,
    ScriptedFiles,
    blob_path,
    open_files,
    refusal_of,
    run,
    says,
)

OTHER = RepositoryName("team/other")
BYTES = b"content"
DIGEST = digest_of(BYTES)


async def lease(registry: Registry, name: RepositoryName = NAME) -> int:
    return (await find_blob(registry, name, DIGEST)).lease_until


LEASES = {
    "fresh": (0, False, False),
    "enough also for a collection that hurries": (HURRIED_LEASE_SECS // 2, False, False),
    "not enough for that": (HURRIED_LEASE_SECS // 2 + 1, False, True),
    "nearly over": (LEASE_SECS - 1, False, True),
    "over": (LEASE_SECS * 10, False, True),
    "fresh, referenced": (0, True, False),
    "over, referenced": (LEASE_SECS * 10, True, False),
}


@pytest.mark.parametrize(("age", "is_referenced", "is_renewed"), LEASES.values(), ids=LEASES.keys())
def test_promise_renews_the_lease_of_what_no_tag_keeps_and_a_collection_could_take_soon(
    root: Path, age: int, is_referenced: bool, is_renewed: bool
) -> None:
    clock, files = Clock(), ScriptedFiles()

    async def test() -> None:
        async with opened_registry(root, files, clock=clock) as registry:
            await push_bytes(registry, BYTES)
            before = await lease(registry)
            if is_referenced:
                await push(registry, "v1", image(DIGEST))
            clock.now += age
            files.met.clear()
            held = await promise_blob(registry, NAME, DIGEST)

            assert held.size == len(BYTES)
            after = await lease(registry)
            assert after == (clock.now + LEASE_SECS if is_renewed else before)
            assert files.count("commit.before") == is_renewed

    run(test)


def test_promise_counts_references_of_its_own_namespace_only(root: Path) -> None:
    clock = Clock()

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            for name in (NAME, OTHER):
                await push_bytes(registry, BYTES, name)
            await push(registry, "v1", image(DIGEST), name=OTHER)
            clock.now += LEASE_SECS
            for name in (NAME, OTHER):
                await promise_blob(registry, name, DIGEST)
            assert await lease(registry) == clock.now + LEASE_SECS
            assert await lease(registry, OTHER) == clock.now

    run(test)


def test_promise_of_a_blob_that_vanished_before_its_lease_was_renewed_is_refused(
    root: Path,
) -> None:
    clock = Clock()

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            await push_bytes(registry, BYTES)
            clock.now += LEASE_SECS
            read_point = registry.storage.read_point
            looks = 0

            class Vanishing:
                """A storage in which the blob is deleted after it was found."""

                write = registry.storage.write

                async def read_point(self, query: object) -> object:
                    nonlocal looks
                    looks += 1
                    found = await read_point(query)  # type: ignore[arg-type]
                    if looks == 2:
                        await delete_blob(registry, ANYBODY, NAME, DIGEST)
                    return found

            vanishing = replace(registry, storage=Vanishing())  # type: ignore[arg-type]
            error = await refusal_of(promise_blob(vanishing, NAME, DIGEST))
            assert says(error, Code.BLOB_UNKNOWN, 404)

    run(test)


def test_blob_is_read_only_through_a_namespace_that_holds_it(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES)
            await push_bytes(registry, b"other", OTHER)
            for ask in (find_blob, promise_blob, open_blob):
                for name in (OTHER, RepositoryName("absent")):
                    error = await refusal_of(ask(registry, name, DIGEST))
                    assert says(error, Code.BLOB_UNKNOWN, 404)
                    assert error.detail == DIGEST

    run(test)


def test_manifest_that_names_a_blob_does_not_give_access_to_it(root: Path) -> None:
    """A sparse manifest may name anything."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES, OTHER)
            await push(registry, "v1", image(DIGEST))
            error = await refusal_of(open_blob(registry, NAME, DIGEST))
            assert says(error, Code.BLOB_UNKNOWN, 404)

    run(test)


@pytest.mark.parametrize("damage", ["gone", "short", "long", "link"])
def test_row_without_its_bytes_is_reported_as_damage(
    root: Path, damage: str, log_lines: LogLines
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES)
            path = blob_path(root, DIGEST)
            path.unlink()
            if damage == "link":
                path.symlink_to("/etc/hostname")
            elif damage != "gone":
                path.write_bytes(BYTES[:-1] if damage == "short" else BYTES + b"!")
            error = await refusal_of(open_blob(registry, NAME, DIGEST))
            assert says(error, Code.UNAVAILABLE, 503)
            assert open_files(root) == []

            await push_bytes(registry, BYTES)
            (await open_blob(registry, NAME, DIGEST)).close()

    run(test)
    if damage != "link":
        assert [line["digest"] for line in log_lines.of("blob.damaged")] == [DIGEST]


def test_blob_that_is_deleted_while_it_is_opened_is_unknown(root: Path) -> None:
    """A reader that finds a row and no file reads the row once more."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES)

            class Deleting:
                """A storage whose blob goes, rows and file, between the two looks."""

                read_point = registry.storage.read_point

                async def open_blob(self, digest: object) -> None:
                    await delete_blob(registry, ANYBODY, NAME, DIGEST)

            deleting = replace(registry, storage=Deleting())  # type: ignore[arg-type]
            error = await refusal_of(open_blob(deleting, NAME, DIGEST))
            assert says(error, Code.BLOB_UNKNOWN, 404)

    run(test)


def test_open_blob_is_read_to_its_end_though_it_is_replaced(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES)
            opened = await open_blob(registry, NAME, DIGEST)
            await push_bytes(registry, BYTES)
            assert os.pread(opened.descriptor, 100, 0) == BYTES
            opened.close()

    run(test)


def test_manifest_is_found_by_tag_and_digest_with_its_bytes_as_pushed(root: Path) -> None:
    body = b"\n" + numbered(1) + b"  \n"
    digest = digest_of(body)

    async def test() -> None:
        async with opened_registry(root) as registry:
            await push(registry, "v1", body)
            for reference in (Tag("v1"), digest):
                found = await find_manifest(registry, NAME, reference)
                assert (found.digest, found.size) == (digest, len(body))
                assert await read_body(registry, found) == body
            for name, reference in ((OTHER, digest), (NAME, Tag("v2")), (OTHER, Tag("v1"))):
                error = await refusal_of(find_manifest(registry, name, reference))
                assert says(error, Code.MANIFEST_UNKNOWN, 404)
                assert error.detail == reference

    run(test)


def test_body_is_read_once_and_then_from_memory(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            digest = await push_untagged(registry, numbered(1))
        async with opened_registry(root) as registry:
            found = await find_manifest(registry, NAME, digest)
            assert registry.storage.bodies.get(digest) is None
            assert await read_body(registry, found) == numbered(1)
            assert registry.storage.bodies.get(digest) == numbered(1)
            assert await read_body(registry, found) == numbered(1)

    run(test)


def test_body_in_memory_gives_nobody_access(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            digest = await push_untagged(registry, numbered(1))
            await delete_manifest(registry, ANYBODY, NAME, digest)
            for name in (NAME, OTHER):
                error = await refusal_of(find_manifest(registry, name, digest))
                assert says(error, Code.MANIFEST_UNKNOWN, 404)

    run(test)


def test_body_that_went_after_it_was_found_is_unknown(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push(registry, "v1", numbered(1))
        async with opened_registry(root) as registry:
            found = await find_manifest(registry, NAME, Tag("v1"))
            await delete_manifest(registry, ANYBODY, NAME, found.digest)
            error = await refusal_of(read_body(registry, found))
            assert says(error, Code.MANIFEST_UNKNOWN, 404)

    run(test)
