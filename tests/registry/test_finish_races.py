"""A caller who leaves while its blob is being published: the step completes, and nothing else may
touch the bytes; whoever asks again learns that the blob is there."""

from __future__ import annotations

import errno
from collections.abc import Awaitable
from pathlib import Path

import trio
import trio.testing

from angos_trio.limits.storage import WRITE_SECS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import digest_of
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob
from angos_trio.registry.pull import find_blob
from angos_trio.registry.push_blob import (
    append_chunk,
    cancel_upload,
    complete_interrupted,
    finish_upload,
    push_blob,
    start_upload,
    upload_offset,
)
from angos_trio.storage.session_record import UploadSession
from tests.registry.support import ANYBODY, content, opened_registry, push_bytes
from tests.storage.support import (
    NAME,
    Barrier,
    ScriptedFiles,
    Source,
    blob_path,
    failing,
    files_of,
    open_files,
    quiet,
    refusal_of,
    rows_of,
    run,
    says,
)

CONTENT = b"what the client sent" * 100
DIGEST = digest_of(CONTENT)


class Leaving:
    """A PUT whose caller leaves while its step waits before the rename."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.barrier = Barrier()
        self.files = ScriptedFiles()
        self.files.at["publish.before"] = self.barrier

    async def leave(self, registry: Registry) -> UploadSession:
        session = await start_upload(registry, ANYBODY, NAME, "sha256")
        await append_chunk(registry, ANYBODY, NAME, session.id, content(CONTENT))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._finish, registry, session)
            await self.barrier.arrival()
            nursery.cancel_scope.cancel()
        return session

    async def _finish(self, registry: Registry, session: UploadSession) -> None:
        await finish_upload(registry, ANYBODY, NAME, session.id, DIGEST, content(b""))

    async def complete(self, registry: Registry) -> None:
        self.barrier.open()
        await quiet(registry.storage)

    def stored(self) -> bytes:
        return blob_path(self.root, DIGEST).read_bytes()


async def refused_or_done(work: Awaitable[object]) -> None:
    """Either is an answer that a client understands: the session is gone, or busy."""
    try:
        await work
    except OciError as error:
        if error.status not in (404, 409):
            raise


def test_put_whose_caller_left_completes(root: Path) -> None:
    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            await leaving.leave(registry)
            await leaving.complete(registry)

            assert (await find_blob(registry, NAME, DIGEST)).size == len(CONTENT)
        assert leaving.stored() == CONTENT

    run(test)


def test_put_that_is_repeated_after_its_caller_left_is_answered(root: Path) -> None:
    """Rule 3: a PUT whose session is gone but whose digest the namespace holds is a 201."""

    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            session = await leaving.leave(registry)
            await leaving.complete(registry)

            await finish_upload(registry, ANYBODY, NAME, session.id, DIGEST, content(b""))
            assert files_of(root, session.id) == []
        assert leaving.stored() == CONTENT

    run(test)


def test_put_that_is_repeated_while_its_step_waits_is_answered_when_it_is_done(
    root: Path,
) -> None:
    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            session = await leaving.leave(registry)
            async with trio.open_nursery() as nursery:
                for bytes_ in (b"", CONTENT):
                    nursery.start_soon(
                        finish_upload,
                        registry,
                        ANYBODY,
                        NAME,
                        session.id,
                        DIGEST,
                        content(bytes_),
                    )
                await trio.testing.wait_all_tasks_blocked()
                await leaving.complete(registry)
        assert leaving.stored() == CONTENT
        assert rows_of(root, "SELECT kind FROM events") == [("blob.pushed",)]

    run(test)


def test_chunk_sent_while_the_step_waits_does_not_enter_the_published_blob(
    root: Path,
) -> None:
    """The bytes were verified: what comes after must not change them (promise 1)."""

    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            session = await leaving.leave(registry)

            await refused_or_done(
                append_chunk(registry, ANYBODY, NAME, session.id, content(b"garbage"))
            )
            await leaving.complete(registry)
        assert leaving.stored() == CONTENT

    run(test)


def test_chunk_that_holds_the_file_while_it_is_published_does_not_enter_the_blob(
    root: Path,
) -> None:
    """A descriptor that was opened before the rename is one of the blob after it."""

    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            session = await leaving.leave(registry)
            may_send = trio.Event()

            async def late_part() -> bytes:
                await may_send.wait()
                return b"garbage"

            async def late_chunk() -> None:
                chunk = content(Source(late_part))
                await refused_or_done(append_chunk(registry, ANYBODY, NAME, session.id, chunk))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(late_chunk)
                await trio.sleep(0.05)
                await leaving.complete(registry)
                may_send.set()
        assert leaving.stored() == CONTENT

    run(test)


def test_cancel_while_the_step_waits_leaves_the_blob_whole_or_absent(root: Path) -> None:
    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            session = await leaving.leave(registry)

            await refused_or_done(cancel_upload(registry, NAME, session.id))
            await leaving.complete(registry)

            assert files_of(root, session.id) == []
            assert open_files(root) == []
            if blob_path(root, DIGEST).exists():
                assert leaving.stored() == CONTENT
            else:
                error = await refusal_of(find_blob(registry, NAME, DIGEST))
                assert says(error, Code.BLOB_UNKNOWN, 404)

    run(test)


def test_put_whose_answer_took_too_long_is_unknown_until_it_completes(root: Path) -> None:
    """The clock moves only when it is told to: past the 30 s that a caller waits."""
    clock = trio.testing.MockClock()
    refusals: list[OciError] = []

    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            session = await start_upload(registry, ANYBODY, NAME, "sha256")

            async def late() -> None:
                whole = content(CONTENT)
                work = finish_upload(registry, ANYBODY, NAME, session.id, DIGEST, whole)
                refusals.append(await refusal_of(work))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(late)
                await leaving.barrier.arrival()
                clock.jump(WRITE_SECS_MAX + 1)
            assert says(refusals[0], Code.UNAVAILABLE, 503)
            chunk = append_chunk(registry, ANYBODY, NAME, session.id, content(b"garbage"))
            assert says(await refusal_of(chunk), Code.BLOB_UPLOAD_UNKNOWN, 404)

            await leaving.complete(registry)
            await finish_upload(registry, ANYBODY, NAME, session.id, DIGEST, content(CONTENT))
            assert list((root / "uploads").iterdir()) == []
        assert leaving.stored() == CONTENT

    run(test, clock=clock)


def test_put_whose_caller_left_and_whose_commit_failed_can_be_resumed(root: Path) -> None:
    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            session = await leaving.leave(registry)
            leaving.files.at["publish"] = failing(errno.EIO)
            await leaving.complete(registry)
            leaving.files.at.clear()

            assert await upload_offset(registry, NAME, session.id) == len(CONTENT)
            await finish_upload(registry, ANYBODY, NAME, session.id, DIGEST, content(b""))
        assert leaving.stored() == CONTENT

    run(test)


def test_put_whose_caller_left_and_whose_rows_were_refused_is_gone(root: Path) -> None:
    """Its bytes have left it. A record that stays would be completed at the next start, and bring
    the blob back if it was pushed and deleted in the meantime."""

    async def test() -> None:
        leaving = Leaving(root)
        async with opened_registry(root, leaving.files) as registry:
            session = await leaving.leave(registry)
            leaving.files.at["sync_directory"] = failing(errno.EIO)
            await leaving.complete(registry)
            leaving.files.at.clear()

            error = await refusal_of(upload_offset(registry, NAME, session.id))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)
            await push_bytes(registry, CONTENT)
            await delete_blob(registry, ANYBODY, NAME, DIGEST)
        async with opened_registry(root) as registry:
            await complete_interrupted(registry, registry.storage.interrupted)
            error = await refusal_of(find_blob(registry, NAME, DIGEST))
            assert says(error, Code.BLOB_UNKNOWN, 404)

    run(test)


def test_blob_in_one_request_whose_caller_left_is_whole_or_absent(root: Path) -> None:
    async def test() -> None:
        barrier = Barrier()
        files = ScriptedFiles()
        files.at["publish.before"] = barrier
        async with opened_registry(root, files) as registry:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(push_blob, registry, ANYBODY, NAME, DIGEST, content(CONTENT))
                await barrier.arrival()
                nursery.cancel_scope.cancel()
            barrier.open()
            await quiet(registry.storage)

            assert list((root / "uploads").iterdir()) == []
            assert registry.storage.sessions.count_blocking() == 0
            if blob_path(root, DIGEST).exists():
                assert blob_path(root, DIGEST).read_bytes() == CONTENT
                await find_blob(registry, NAME, DIGEST)

    run(test)
