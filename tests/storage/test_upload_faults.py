"""The disk refuses while an upload is written: the answer, and what is left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import trio

from angos_trio.oci.codes import Code
from angos_trio.oci.digest import digest_of
from angos_trio.storage import uploads
from angos_trio.storage.session_record import UploadSession, decode_session
from tests.storage.support import (
    KIB,
    MIB,
    Barrier,
    ScriptedFiles,
    Source,
    append,
    body,
    content_of,
    failing,
    files_of,
    new_session,
    open_files,
    opened,
    published,
    publishing,
    refusal_of,
    run,
    says,
    stage,
    until,
)

REFUSALS = [
    (errno.ENOSPC, 507),
    (errno.EDQUOT, 507),
    (errno.EFBIG, 507),
    (errno.EIO, 503),
    (errno.EROFS, 503),
]


def data(root: Path, session: UploadSession) -> bytes:
    return (root / "uploads" / f"{session.id}.data").read_bytes()


class TornWrites(ScriptedFiles):
    """A disk that becomes full in the middle of a chunk, and leaves zeros where it stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.room: int | None = None

    def write_at(self, descriptor: int, content: bytes | memoryview, offset: int) -> None:
        if self.room is not None and offset + len(content) > self.room:
            os.pwrite(descriptor, bytes(max(0, self.room - offset)), offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write_at(descriptor, content, offset)


@pytest.mark.parametrize("size", [100, MIB, 3 * MIB + 5])
@pytest.mark.parametrize("held", [0, 10])
def test_full_disk_cuts_the_file_back_to_the_committed_offset(
    root: Path, size: int, held: int
) -> None:
    files = TornWrites()
    content = content_of(held + size)

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            await append(storage, session, body(content[:held]))
            files.room = held + size // 2
            error = await refusal_of(append(storage, session, body(content[held:])))

            assert says(error, Code.UNAVAILABLE, 507)
            kept = data(root, session)
            assert held <= len(kept) <= files.room
            assert kept == content[: len(kept)]
            assert open_files(root) == []

            files.room = None
            rest = body(content[len(kept) :])
            staged = await stage(storage, session, rest, digest_of(content))
            assert staged.size == len(content)

    run(test)


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EIO, 503)])
@pytest.mark.parametrize("verb", ["write_at", "open_to_append", "free_bytes"])
@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_disk_that_refuses_a_chunk_is_told_and_the_session_resumes(
    root: Path, size: int, verb: str, number: int, status: int
) -> None:
    files = ScriptedFiles()
    content = content_of(size)

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            files.at[verb] = failing(number)
            error = await refusal_of(append(storage, session, body(content)))
            assert says(error, Code.UNAVAILABLE, status)
            assert await storage.committed_offset(session.id) == 0
            assert open_files(root) == []

            files.at.clear()
            await stage(storage, session, body(content), digest_of(content))

    run(test)


@pytest.mark.parametrize(("number", "status"), REFUSALS)
def test_disk_that_refuses_to_open_a_session_is_told(root: Path, number: int, status: int) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            for verb in ("write_new", "write_at"):
                files.at = {verb: failing(number)}
                error = await refusal_of(new_session(storage))
                assert says(error, Code.UNAVAILABLE, status)
                assert os.listdir(root / "uploads") == []
                assert storage.sessions.count_blocking() == 0

    run(test)


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_nothing_is_taken_in_below_the_reserve(root: Path, size: int) -> None:
    async def test() -> None:
        async with opened(root, reserve=1 << 60) as storage:
            session = await new_session(storage)
            error = await refusal_of(append(storage, session, body(content_of(size))))
            assert says(error, Code.UNAVAILABLE, 507)
            assert await storage.committed_offset(session.id) == 0

    run(test)


@pytest.mark.parametrize("point", ["append", "finishing.before"])
@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_record_that_cannot_be_written_leaves_a_session_to_resume(
    root: Path, size: int, point: str
) -> None:
    files = ScriptedFiles()
    content = content_of(size)

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            files.at[point] = failing(errno.ENOSPC)
            error = await refusal_of(stage(storage, session, body(content), digest_of(content)))
            assert says(error, Code.UNAVAILABLE, 507)
            assert published(root) == []

            files.at.clear()
            assert await storage.committed_offset(session.id) == size
            await stage(storage, session, Source(), digest_of(content))

    run(test)


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_upload_whose_sync_failed_is_worth_nothing(root: Path, size: int) -> None:
    """The kernel has forgotten that the pages are unwritten: to sync again proves nothing."""
    files = ScriptedFiles()
    content = content_of(size)

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            files.at["sync"] = failing(errno.EIO)
            upload = await storage.receiver.begin(session)
            error = await refusal_of(upload.finish(body(content), size, digest_of(content)))
            await upload.close()
            assert says(error, Code.UNAVAILABLE, 503)
            assert upload.is_worthless

    run(test)


def test_flush_that_failed_ends_the_upload_and_makes_it_worthless(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_FLUSH_BYTES", MIB)
    files = ScriptedFiles(flush=failing(errno.EIO))

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            upload = await storage.receiver.begin(session)
            await upload.open()
            error = await refusal_of(upload.append(body(content_of(4 * MIB)), 8 * MIB))
            await upload.close()
            assert says(error, Code.UNAVAILABLE, 503)
            assert upload.is_worthless
            assert open_files(root) == []

    run(test)


def test_bytes_are_synced_before_the_record_says_that_they_are_whole(root: Path) -> None:
    files = ScriptedFiles()
    content = content_of(3 * MIB)

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            files.met.clear()
            staged = await stage(storage, session, body(content), digest_of(content))
            await storage.write(publishing(staged))

        order = [
            name
            for name in files.met
            if name in ("sync", "append", "publish", "sync_directory", "commit.before", "move")
        ]
        assert order[-6:] == [
            "sync",
            "append",
            "publish",
            "sync_directory",
            "commit.before",
            "move",
        ]

    run(test)


def test_file_that_lost_its_end_behind_our_back_is_not_published(root: Path) -> None:
    content = content_of(2 * MIB)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            upload = await storage.receiver.begin(session)
            await upload.open()
            await upload.append(body(content), 4 * MIB)
            os.truncate(root / "uploads" / f"{session.id}.data", MIB)
            with pytest.raises(Exception, match="UNAVAILABLE 503"):
                await upload._seal(digest_of(content))
            await upload.close()
            assert published(root) == []

    run(test)


def test_two_uploads_of_one_blob_at_once_both_succeed(root: Path) -> None:
    content = content_of(2 * MIB)
    digest = digest_of(content)

    async def test() -> None:
        async with opened(root) as storage:

            async def upload() -> None:
                session = await new_session(storage)
                staged = await stage(storage, session, body(content), digest)
                await storage.write(publishing(staged))

            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(upload)
            assert published(root) == [digest]
            assert os.listdir(root / "uploads") == []

    run(test)


def test_published_blob_is_written_anew_by_a_push(root: Path) -> None:
    """A push always heals: the bytes that are there may be damaged."""
    content = content_of(100 * KIB)
    digest = digest_of(content)

    async def test() -> None:
        async with opened(root) as storage:
            for _ in range(2):
                staged = await stage(storage, await new_session(storage), body(content), digest)
                await storage.write(publishing(staged))
                stored = root / "blobs" / "sha256" / digest.hex[:2] / digest.hex
                assert stored.read_bytes() == content
                assert stored.stat().st_mode & 0o777 == 0o440
                stored.unlink()
                stored.write_bytes(b"damaged")

    run(test)


def test_session_cancelled_while_a_chunk_is_written_leaves_nothing(root: Path) -> None:
    barrier, files = Barrier(), ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            files.at["append.before"] = barrier
            errors: list[int] = []

            async def write() -> None:
                error = await refusal_of(append(storage, session, body(content_of(3 * MIB))))
                errors.append(error.status)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await barrier.arrival()
                nursery.start_soon(storage.sessions.discard, session.id)
                await until(lambda: files.count("append.before") > 0)
                barrier.open()

            assert errors[0] in (404, 409)
            assert files_of(root, session.id) == []
            assert open_files(root) == []
            assert storage.receiver.active == 0

    run(test)


def test_record_of_a_finishing_session_names_the_digest(root: Path) -> None:
    content = content_of(10)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            staged = await stage(storage, session, body(content), digest_of(content))
            (record,) = staged.leftovers
            found = decode_session(session.id, Path(record).read_bytes())  # noqa: ASYNC240
            assert found.finishing == staged.digest == digest_of(content)

    run(test)
