"""Quotas: decided by what is committed, in the transaction that would add to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.ranges import ByteRange
from angos_trio.policy.quota import quotas_of
from angos_trio.records import replace
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob, delete_manifest
from angos_trio.registry.mount import mount_blob
from angos_trio.registry.push_blob import (
    Content,
    append_chunk,
    finish_upload,
    push_blob,
    start_upload,
)
from tests.oci.refusals import refused
from tests.registry.support import (
    ANYBODY,
    content,
    held_bytes,
    image,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
)
from tests.storage.support import Source, published, rows_of, run

TEAM = RepositoryName("team/app")
FREE, OTHER = RepositoryName("team/free/x"), RepositoryName("other")
QUOTA = 100


@asynccontextmanager
async def bounded(
    root: Path, sizes: Mapping[str, int | None] | None = None
) -> AsyncIterator[Registry]:
    """A registry with a quota of 100 bytes for `team`, and none for `team/free` below it."""
    sizes = {"team": QUOTA, "team/free": None} if sizes is None else sizes
    async with opened_registry(root) as registry:
        yield replace(registry, quotas=quotas_of(sizes))


async def refusal(work: Awaitable[object]) -> object:
    """The figures of a push that must not fit."""
    with refused(Code.DENIED, 413) as caught:
        await work
    return caught.value.detail


def test_blob_that_does_not_fit_is_refused_with_the_figures_and_leaves_nothing(root: Path) -> None:
    async def test() -> None:
        async with bounded(root) as registry:
            first = await push_bytes(registry, b"a" * 60, TEAM)
            detail = await refusal(push_bytes(registry, b"b" * 41, TEAM))
            assert detail == {"quota": QUOTA, "used": 60, "size": 41}
            assert held_bytes(root) == {TEAM: 60}
            assert published(root) == [first]
            assert list((root / "uploads").iterdir()) == []
            await push_bytes(registry, b"b" * 40, TEAM)
            assert held_bytes(root) == {TEAM: 100}

    run(test)


def test_namespaces_of_a_repository_count_together_and_those_of_an_inner_one_do_not(
    root: Path,
) -> None:
    async def test() -> None:
        async with bounded(root) as registry:
            await push_bytes(registry, b"a" * 500, FREE)
            await push_bytes(registry, b"b" * 500, OTHER)
            await push_bytes(registry, b"c" * 500, RepositoryName("teamwork"))
            await push_bytes(registry, b"d" * 60, TEAM)
            for name in ("team", "team/another"):
                detail = await refusal(push_bytes(registry, b"e" * 41, RepositoryName(name)))
                assert detail == {"quota": QUOTA, "used": 60, "size": 41}

    run(test)


def test_what_the_namespace_holds_is_free_to_push_again(root: Path) -> None:
    async def test() -> None:
        async with bounded(root) as registry:
            body = image(annotations={"full": "x" * 200})
            full = {"team": len(body) + 60}
            registry = replace(registry, quotas=quotas_of(full))
            layer = await push_bytes(registry, b"a" * 60, TEAM)
            await push(registry, "v1", body, name=TEAM)
            before = held_bytes(root)
            assert before == {TEAM: full["team"]}

            await push_blob(registry, ANYBODY, TEAM, layer, Content(Source(b"a" * 60), 60))
            session = await start_upload(registry, ANYBODY, TEAM, "sha256")
            await finish_upload(registry, ANYBODY, TEAM, session.id, layer, content(b"a" * 60))
            assert await mount_blob(registry, ANYBODY, TEAM, layer, None)
            await push(registry, "v2", body, name=TEAM)
            await push_untagged(registry, body, TEAM)
            assert held_bytes(root) == before
            await refusal(push_bytes(registry, b"b", TEAM))

    run(test)


def test_mount_counts_for_the_namespace_that_it_is_made_to(root: Path) -> None:
    async def test() -> None:
        async with bounded(root) as registry:
            small = await push_bytes(registry, b"a" * 60, OTHER)
            large = await push_bytes(registry, b"b" * 101, OTHER)
            assert await mount_blob(registry, ANYBODY, TEAM, small, OTHER)
            detail = await refusal(mount_blob(registry, ANYBODY, TEAM, large, OTHER))
            assert detail == {"quota": QUOTA, "used": 60, "size": 101}
            assert held_bytes(root) == {OTHER: 161, TEAM: 60}

    run(test)


def test_manifest_counts_until_it_is_deleted(root: Path) -> None:
    async def test() -> None:
        first, second = image(), image(annotations={"a": "b"})
        sizes = {"team": len(second) + 10}
        async with bounded(root, sizes) as registry:
            await push(registry, "v1", first, name=TEAM)
            detail = await refusal(push(registry, "v2", second, name=TEAM))
            assert detail == {
                "quota": sizes["team"],
                "used": len(first),
                "size": len(second),
            }
            assert rows_of(root, "SELECT name FROM tags") == [("v1",)]
            await delete_manifest(registry, ANYBODY, TEAM, digest_of(first))
            assert held_bytes(root) == {TEAM: 0}
            await push(registry, "v2", second, name=TEAM)
            assert held_bytes(root) == {TEAM: len(second)}

    run(test)


def test_deleted_blob_does_not_count(root: Path) -> None:
    async def test() -> None:
        async with bounded(root) as registry:
            digest = await push_bytes(registry, b"a" * 100, TEAM)
            await delete_blob(registry, ANYBODY, TEAM, digest)
            assert held_bytes(root) == {TEAM: 0}
            await push_bytes(registry, b"b" * 100, TEAM)

    run(test)


def test_pushes_side_by_side_never_exceed_it_together(root: Path) -> None:
    async def test() -> None:
        outcomes: list[int] = []

        async def one(registry: Registry, number: int) -> None:
            try:
                await push_bytes(registry, b"%030d" % number, TEAM)
            except OciError as error:
                outcomes.append(error.status)
            else:
                outcomes.append(201)

        async with bounded(root) as registry:
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(one, registry, number)
            assert sorted(outcomes) == [201] * 3 + [413] * 17
            assert held_bytes(root) == {TEAM: 90}

    run(test)


LARGE = b"x" * 101
EARLY: Mapping[str, Content] = {
    "length": Content(Source(LARGE), 101),
    "length and window": Content(Source(LARGE), 101, ByteRange(0, 101)),
    "window": Content(Source(LARGE), None, ByteRange(0, 101)),
}


@pytest.mark.parametrize("announced", EARLY)
@pytest.mark.parametrize("way", ["POST", "PATCH", "PUT"])
def test_announced_length_is_refused_before_a_byte_is_read(
    root: Path, announced: str, way: str
) -> None:
    template = EARLY[announced]

    async def send(registry: Registry, digest: Digest, given: Content) -> None:
        if way == "POST":
            await push_blob(registry, ANYBODY, TEAM, digest, given)
            return
        session = await start_upload(registry, ANYBODY, TEAM, "sha256")
        if way == "PATCH":
            await append_chunk(registry, ANYBODY, TEAM, session.id, given)
        else:
            await finish_upload(registry, ANYBODY, TEAM, session.id, digest, given)

    async def test() -> None:
        source = Source(LARGE)
        async with bounded(root) as registry:
            detail = await refusal(
                send(registry, digest_of(LARGE), replace(template, source=source))
            )
            assert detail == {"quota": QUOTA, "used": 0, "size": 101}
            assert source.taken_bytes == 0
            assert list((root / "uploads").iterdir()) == []

    run(test)


def test_chunks_count_with_what_the_session_holds(root: Path) -> None:
    async def test() -> None:
        async with bounded(root) as registry:
            session = await start_upload(registry, ANYBODY, TEAM, "sha256")
            first = Content(Source(b"a" * 60), 60)
            await append_chunk(registry, ANYBODY, TEAM, session.id, first)
            # The answer was lost: the client asks at the old offset, and is told of the new one.
            again = Content(Source(b"a" * 60), 60, ByteRange(0, 60))
            with refused(Code.BLOB_UPLOAD_INVALID, 416):
                await append_chunk(registry, ANYBODY, TEAM, session.id, again)
            second = Content(Source(b"a" * 41), 41)
            detail = await refusal(append_chunk(registry, ANYBODY, TEAM, session.id, second))
            assert detail == {"quota": QUOTA, "used": 0, "size": 101}
            with refused(Code.BLOB_UPLOAD_UNKNOWN, 404):
                await append_chunk(registry, ANYBODY, TEAM, session.id, first)

    run(test)


def test_body_of_unknown_length_is_refused_at_its_end_and_its_session_dropped(root: Path) -> None:
    async def test() -> None:
        async with bounded(root) as registry:
            session = await start_upload(registry, ANYBODY, TEAM, "sha256")
            await append_chunk(registry, ANYBODY, TEAM, session.id, content(LARGE))
            digest = digest_of(LARGE)
            await refusal(finish_upload(registry, ANYBODY, TEAM, session.id, digest, content(b"")))
            assert held_bytes(root) == {}
            assert published(root) == []
            assert list((root / "uploads").iterdir()) == []

    run(test)
