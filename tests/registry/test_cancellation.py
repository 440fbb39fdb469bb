"""A caller may leave at any moment: nothing stays open or locked, and nothing is lost.

Each use-case is run again and again, cancelled one step of its tasks later each time, until it
ends before the cancellation comes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.names import RepositoryName, SessionId, Tag
from angos_trio.oci.ranges import ByteRange
from angos_trio.registry.context import Registry
from angos_trio.registry.mount import mount_blob
from angos_trio.registry.pull import find_blob, find_manifest, open_blob, read_body
from angos_trio.registry.push_blob import (
    Content,
    append_chunk,
    cancel_upload,
    finish_upload,
    push_blob,
    start_upload,
    upload_offset,
)
from tests.registry.support import (
    ANYBODY,
    content,
    numbered,
    opened_registry,
    push,
    push_bytes,
)
from tests.storage.support import (
    KIB,
    MIB,
    NAME,
    blob_path,
    body,
    cancelled_at,
    content_of,
    files_of,
    open_files,
    quiet,
    rows_of,
    run,
)

OTHER = RepositoryName("team/other")
SIZES = [0, 10, pytest.param(2 * MIB + 100, marks=pytest.mark.slow)]
STEPS_MAX = 3000


async def each_step(
    registry: Registry, attempt: Callable[[int, Callable[..., Awaitable[bool]]], Awaitable[bool]]
) -> int:
    """Attempts, cancelled a step later each, until one ended before; how many were cancelled."""
    for step in range(STEPS_MAX):

        async def cancelled(work: Callable[[], Awaitable[object]], step: int = step) -> bool:
            return await cancelled_at(step, work)

        was_cancelled = await attempt(step, cancelled)
        await quiet(registry.storage)
        if not was_cancelled:
            return step
    raise AssertionError("it never ended")


def expect_nothing_held(registry: Registry, root: Path) -> None:
    assert open_files(root) == []
    assert registry.storage.receiver.active == 0
    assert registry.storage.receiver.threads.borrowed_tokens == 0


async def offset_of(registry: Registry, session: SessionId) -> int | None:
    """The session's offset; None when it is gone, and then its files must be gone as well."""
    try:
        return await upload_offset(registry, NAME, session)
    except OciError as error:
        if error.code is not Code.BLOB_UPLOAD_UNKNOWN:
            raise
        return None


async def is_held(registry: Registry, digest: Digest) -> bool:
    try:
        return bool(await find_blob(registry, NAME, digest))
    except OciError as error:
        if error.code is not Code.BLOB_UNKNOWN:
            raise
        return False


async def expect_resumable_or_gone(
    registry: Registry, root: Path, session: SessionId, bytes_: bytes
) -> None:
    """What a client does after a request without an answer: ask, send the rest, finish."""
    digest = digest_of(bytes_)
    expect_nothing_held(registry, root)
    offset = await offset_of(registry, session)
    if offset is None:
        assert files_of(root, session) == []
        if await is_held(registry, digest):
            await finish_upload(registry, ANYBODY, NAME, session, digest, content(b""))
    else:
        rest = Content(body(bytes_[offset:]))
        await finish_upload(registry, ANYBODY, NAME, session, digest, rest)
        assert await is_held(registry, digest)
    if await is_held(registry, digest):
        assert blob_path(root, digest).read_bytes() == bytes_


def test_start(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root, uploads_max=10_000) as registry:

            async def attempt(_: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                return await cancelled(lambda: start_upload(registry, ANYBODY, NAME, "sha256"))

            assert await each_step(registry, attempt) >= 1
            expect_nothing_held(registry, root)
            records = {path.stem for path in (root / "uploads").iterdir()}
            assert len(records) == registry.storage.sessions.count_blocking()

    run(test)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("has_window", [False, True])
def test_append(root: Path, size: int, has_window: bool) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:

            async def attempt(step: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                bytes_ = content_of(size + 10, step)
                session = (await start_upload(registry, ANYBODY, NAME, "sha256")).id
                window = ByteRange(0, size) if has_window and size else None
                chunk = Content(body(bytes_[:size], 300 * KIB), None, window)
                was_cancelled = await cancelled(
                    lambda: append_chunk(registry, ANYBODY, NAME, session, chunk)
                )
                assert await offset_of(registry, session) is not None
                await expect_resumable_or_gone(registry, root, session, bytes_)
                return was_cancelled

            assert await each_step(registry, attempt) >= 3

    run(test)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("held", [0, 5])
def test_finish(root: Path, size: int, held: int) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:

            async def attempt(step: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                bytes_ = content_of(held + size, step)
                digest = digest_of(bytes_)
                session = (await start_upload(registry, ANYBODY, NAME, "sha256")).id
                await append_chunk(registry, ANYBODY, NAME, session, content(bytes_[:held]))
                rest = Content(body(bytes_[held:], 300 * KIB))
                was_cancelled = await cancelled(
                    lambda: finish_upload(registry, ANYBODY, NAME, session, digest, rest)
                )
                await quiet(registry.storage)
                await expect_resumable_or_gone(registry, root, session, bytes_)
                assert await is_held(registry, digest)
                return was_cancelled

            assert await each_step(registry, attempt) >= 3
            assert list((root / "uploads").iterdir()) == []

    run(test)


@pytest.mark.parametrize("size", SIZES)
def test_blob_in_one_request(root: Path, size: int) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:

            async def attempt(step: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                bytes_ = content_of(size, step)
                digest = digest_of(bytes_)
                whole = Content(body(bytes_, 300 * KIB))
                was_cancelled = await cancelled(
                    lambda: push_blob(registry, ANYBODY, NAME, digest, whole)
                )
                await quiet(registry.storage)
                expect_nothing_held(registry, root)
                assert list((root / "uploads").iterdir()) == []
                assert registry.storage.sessions.count_blocking() == 0
                if size and blob_path(root, digest).exists():
                    assert blob_path(root, digest).read_bytes() == bytes_
                assert was_cancelled or await is_held(registry, digest)
                return was_cancelled

            assert await each_step(registry, attempt) >= 3

    run(test)


@pytest.mark.parametrize("size", SIZES)
def test_finish_with_other_content(root: Path, size: int) -> None:
    """The session is worth nothing: to be dropped, or to be resumed and refused again."""
    wrong = digest_of(b"something else")

    async def test() -> None:
        async with opened_registry(root) as registry:

            async def attempt(step: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                session = (await start_upload(registry, ANYBODY, NAME, "sha256")).id

                async def finish() -> None:
                    rest = Content(body(content_of(size, step), 300 * KIB))
                    try:
                        await finish_upload(registry, ANYBODY, NAME, session, wrong, rest)
                    except OciError as error:
                        if error.code is not Code.DIGEST_INVALID:
                            raise

                was_cancelled = await cancelled(finish)
                expect_nothing_held(registry, root)
                if await offset_of(registry, session) is None:
                    assert files_of(root, session) == []
                return was_cancelled

            assert await each_step(registry, attempt) >= 3
            assert not await is_held(registry, wrong)

    run(test)


def test_cancel(root: Path) -> None:
    """A session whose cancellation was cut short is there, or gone with its files."""

    async def test() -> None:
        async with opened_registry(root) as registry:

            async def attempt(step: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                session = (await start_upload(registry, ANYBODY, NAME, "sha256")).id
                await append_chunk(registry, ANYBODY, NAME, session, content(b"content"))
                was_cancelled = await cancelled(lambda: cancel_upload(registry, NAME, session))
                expect_nothing_held(registry, root)
                if await offset_of(registry, session) is None:
                    assert files_of(root, session) == []
                return was_cancelled

            assert await each_step(registry, attempt) >= 1

    run(test)


def test_cancel_of_a_session_that_is_written_to(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:

            async def attempt(step: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                session = (await start_upload(registry, ANYBODY, NAME, "sha256")).id
                slow = Content(body(content_of(600 * KIB)))

                async def write() -> None:
                    try:
                        await append_chunk(registry, ANYBODY, NAME, session, slow)
                    except OciError as error:
                        if error.status not in (404, 409):
                            raise

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(write)
                    was_cancelled = await cancelled(lambda: cancel_upload(registry, NAME, session))
                expect_nothing_held(registry, root)
                if await offset_of(registry, session) is None:
                    assert files_of(root, session) == []
                return was_cancelled

            assert await each_step(registry, attempt) >= 1

    run(test)


def test_manifest_push(root: Path) -> None:
    """All of it or nothing."""

    async def test() -> None:
        async with opened_registry(root) as registry:

            async def attempt(step: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                bytes_, tag = numbered(step), f"v{step}"
                was_cancelled = await cancelled(lambda: push(registry, tag, bytes_))
                await quiet(registry.storage)
                try:
                    found = await find_manifest(registry, NAME, Tag(tag))
                except OciError:
                    assert was_cancelled
                else:
                    assert await read_body(registry, found) == bytes_
                return was_cancelled

            assert await each_step(registry, attempt) >= 1
        tags = rows_of(root, "SELECT count(*) FROM tags")
        assert tags == rows_of(root, "SELECT count(*) FROM manifests")
        assert rows_of(root, "SELECT 2 * count(*) FROM tags") == rows_of(
            root, "SELECT count(*) FROM events"
        )

    run(test)


def test_mount(root: Path) -> None:
    digest = digest_of(b"content")

    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, b"content", OTHER)

            async def attempt(step: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                target = RepositoryName(f"team/n{step}")
                return await cancelled(lambda: mount_blob(registry, ANYBODY, target, digest, OTHER))

            assert await each_step(registry, attempt) >= 1
            expect_nothing_held(registry, root)
        held = rows_of(root, "SELECT count(*) FROM namespace_blobs")
        assert held == rows_of(root, "SELECT count(*) FROM namespaces")

    run(test)


def test_opening_a_blob(root: Path) -> None:
    """A descriptor is handed over, or closed."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            digest = await push_bytes(registry, b"content")

            async def attempt(_: int, cancelled: Callable[..., Awaitable[bool]]) -> bool:
                async def use() -> None:
                    opened = await open_blob(registry, NAME, digest)
                    opened.close()

                was_cancelled = await cancelled(use)
                expect_nothing_held(registry, root)
                return was_cancelled

            assert await each_step(registry, attempt) >= 1

    run(test)
