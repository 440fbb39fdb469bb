"""Uploads as the routes use them: whose they are, where they go on, what becomes of a failure."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.ranges import ByteRange
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob
from angos_trio.registry.pull import find_blob, open_blob
from angos_trio.registry.push_blob import (
    Content,
    append_chunk,
    cancel_upload,
    complete_interrupted,
    find_upload,
    finish_upload,
    push_blob,
    start_upload,
    upload_offset,
)
from angos_trio.storage import sessions, writer
from angos_trio.storage.files import Files
from angos_trio.storage.session_record import UploadSession
from tests.registry.support import (
    ANYBODY,
    LEASE_SECS,
    Clock,
    caller_of,
    content,
    opened_registry,
    push_bytes,
    registry_of,
)
from tests.storage.support import (
    MIB,
    NAME,
    ScriptedFiles,
    Source,
    blob_path,
    body,
    content_of,
    failing,
    files_of,
    open_files,
    opened,
    published,
    refusal_of,
    rows_of,
    run,
    says,
    until,
)

OTHER = RepositoryName("team/other")
BYTES = b"what the client sent"
DIGEST = digest_of(BYTES)


async def started(registry: Registry, *chunks: bytes) -> UploadSession:
    """A session that holds these chunks."""
    session = await start_upload(registry, ANYBODY, NAME, "sha256")
    for chunk in chunks:
        await append_chunk(registry, ANYBODY, NAME, session.id, content(chunk))
    return session


async def finish(registry: Registry, session: UploadSession, bytes_: bytes = b"") -> None:
    await finish_upload(registry, ANYBODY, NAME, session.id, DIGEST, content(bytes_))


def events(root: Path) -> list[str]:
    return [row[0] for row in rows_of(root, "SELECT kind FROM events ORDER BY id")]


@pytest.mark.parametrize("size", [0, 20, 3 * MIB])
def test_blob_in_one_request_is_there_with_row_lease_and_event(root: Path, size: int) -> None:
    bytes_ = content_of(size)
    digest = digest_of(bytes_)

    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_blob(registry, ANYBODY, NAME, digest, Content(body(bytes_)))

            held = await find_blob(registry, NAME, digest)
            assert (held.size, held.lease_until) == (size, registry.now() + LEASE_SECS)
            assert published(root) == [digest]
            assert events(root) == ["blob.pushed"]
            assert os.listdir(root / "uploads") == []
            assert registry.storage.sessions.count_blocking() == 0

    run(test)


@pytest.mark.parametrize(
    ("chunks", "last"), [([], BYTES), ([BYTES], b""), ([BYTES[:5]], BYTES[5:]), ([b"", BYTES], b"")]
)
def test_blob_in_chunks_is_there(root: Path, chunks: list[bytes], last: bytes) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            session = await started(registry, *chunks)
            await finish(registry, session, last)

            opened_ = await open_blob(registry, NAME, DIGEST)
            assert os.pread(opened_.descriptor, 100, 0) == BYTES
            opened_.close()
            assert os.listdir(root / "uploads") == []
            error = await refusal_of(upload_offset(registry, NAME, session.id))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)

    run(test)


def test_blob_is_there_for_the_namespace_that_pushed_it_only(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES)
            assert says(
                await refusal_of(find_blob(registry, OTHER, DIGEST)), Code.BLOB_UNKNOWN, 404
            )

    run(test)


def test_session_belongs_to_namespace_and_owner_whatever_the_address(root: Path) -> None:
    mine = caller_of("alice", address="192.0.2.1")

    async def test() -> None:
        async with opened_registry(root) as registry:
            session = await start_upload(registry, mine, NAME, "sha256")
            chunk = content(b"")
            moved = caller_of("alice", address="198.51.100.7")
            assert await find_upload(registry, moved, NAME, session.id) == session
            assert await upload_offset(registry, NAME, session.id) == 0

            for caller, name in ((caller_of("bob"), NAME), (ANYBODY, NAME), (mine, OTHER)):
                work = append_chunk(registry, caller, name, session.id, chunk)
                assert says(await refusal_of(work), Code.BLOB_UPLOAD_UNKNOWN, 404)
                work = finish_upload(registry, caller, name, session.id, DIGEST, chunk)
                assert says(await refusal_of(work), Code.BLOB_UPLOAD_UNKNOWN, 404)
            error = await refusal_of(upload_offset(registry, OTHER, session.id))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)
            error = await refusal_of(cancel_upload(registry, OTHER, session.id))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)

    run(test)


def test_open_uploads_are_bounded_for_each_caller(root: Path) -> None:
    alice, bob = caller_of("alice"), caller_of("bob")
    strangers = [caller_of(address=f"192.0.2.{number}") for number in range(2)]

    async def test() -> None:
        async with opened_registry(root, uploads_max=2) as registry:
            made = [await start_upload(registry, alice, NAME, "sha256") for _ in range(2)]
            error = await refusal_of(start_upload(registry, alice, NAME, "sha256"))
            assert says(error, Code.TOOMANYREQUESTS, 429)
            assert "Retry-After" in error.headers
            error = await refusal_of(push_blob(registry, alice, NAME, DIGEST, content(BYTES)))
            assert says(error, Code.TOOMANYREQUESTS, 429)

            for caller in (bob, *strangers):
                for _ in range(2):
                    await start_upload(registry, caller, NAME, "sha256")
            await finish_upload(registry, alice, NAME, made[0].id, DIGEST, content(BYTES))
            await start_upload(registry, alice, NAME, "sha256")
            await cancel_upload(registry, NAME, made[1].id)
            await start_upload(registry, alice, NAME, "sha256")

    run(test)


def test_nothing_is_begun_below_the_reserve(root: Path) -> None:
    async def test() -> None:
        async with opened(root, reserve=1 << 60) as storage:
            registry = registry_of(storage)
            for work in (
                start_upload(registry, ANYBODY, NAME, "sha256"),
                push_blob(registry, ANYBODY, NAME, DIGEST, content(BYTES)),
            ):
                assert says(await refusal_of(work), Code.UNAVAILABLE, 507)
            assert os.listdir(root / "uploads") == []

    run(test)


class Roomy(Files):
    """Real files on a disk that says how much room it has."""

    free = 1000

    def free_bytes(self, path: str | Path) -> int:
        return self.free


@pytest.mark.parametrize(
    ("length", "window", "is_taken"),
    [
        (100, None, True),
        (101, None, False),
        (None, ByteRange(0, 101), False),
        (None, ByteRange(0, 100), True),
        (None, None, True),
    ],
)
@pytest.mark.parametrize("way", ["POST", "PATCH", "PUT"])
def test_announced_length_must_leave_the_reserve_free(
    root: Path, length: int | None, window: ByteRange | None, is_taken: bool, way: str
) -> None:
    bytes_ = b"x" * (length or (window.length if window else 200))
    digest = digest_of(bytes_)

    async def test() -> None:
        disk, source = Roomy(), Source(bytes_)
        async with opened(root, disk, reserve=900) as storage:
            registry = registry_of(storage)
            given = Content(source, length, window)
            session = await start_upload(registry, ANYBODY, NAME, "sha256")
            work = {
                "POST": partial(push_blob, registry, ANYBODY, NAME, digest, given),
                "PATCH": partial(append_chunk, registry, ANYBODY, NAME, session.id, given),
                "PUT": partial(finish_upload, registry, ANYBODY, NAME, session.id, digest, given),
            }[way]
            if is_taken:
                await work()
                return
            assert says(await refusal_of(work()), Code.UNAVAILABLE, 507)
            assert source.taken_bytes == 0
            assert await upload_offset(registry, NAME, session.id) == 0
            disk.free = 5000
            await work()

    run(test)


WINDOWS = {
    "at the offset, filled": (ByteRange(4, 6), 6, b"456789", None, 10),
    "at the offset, length unknown": (ByteRange(4, 6), None, b"456789", None, 10),
    "before the offset": (ByteRange(0, 4), 4, b"0123", 416, 4),
    "behind the offset": (ByteRange(5, 5), 5, b"56789", 416, 4),
    "not as long as the body says": (ByteRange(4, 6), 5, b"45678", 416, 4),
    "not filled": (ByteRange(4, 6), None, b"45", 416, 4),
    "overflown": (ByteRange(4, 2), None, b"456789", 416, 4),
}


@pytest.mark.parametrize(
    ("window", "length", "chunk", "status", "offset"), WINDOWS.values(), ids=WINDOWS.keys()
)
def test_chunk_must_be_what_its_window_announces(
    root: Path, window: ByteRange, length: int | None, chunk: bytes, status: int | None, offset: int
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            session = await started(registry, b"0123")
            announced = Content(Source(chunk), length, window)
            work = append_chunk(registry, ANYBODY, NAME, session.id, announced)
            if status is None:
                assert await work == offset
            else:
                error = await refusal_of(work)
                assert says(error, Code.BLOB_UPLOAD_INVALID, status)
                assert error.headers["Range"] == f"0-{offset - 1}"
                assert error.detail == {"offset": offset}
            assert await upload_offset(registry, NAME, session.id) == offset
            whole = b"0123456789"
            rest = content(whole[offset:])
            await finish_upload(registry, ANYBODY, NAME, session.id, digest_of(whole), rest)

    run(test)


def test_chunk_that_belongs_elsewhere_does_not_disturb_an_idle_writer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one at the committed offset takes over (write rule 5)."""
    monkeypatch.setattr(sessions, "TAKEOVER_IDLE_SECS", 0.0)
    may_go_on = trio.Event()

    async def rest() -> bytes:
        await may_go_on.wait()
        return BYTES[5:]

    async def test() -> None:
        async with opened_registry(root) as registry, trio.open_nursery() as nursery:
            session = await started(registry, BYTES[:5])
            nursery.start_soon(
                append_chunk, registry, ANYBODY, NAME, session.id, content(Source(rest))
            )
            await trio.testing.wait_all_tasks_blocked()
            for window in (ByteRange(0, 5), ByteRange(6, 5)):
                late = Content(Source(b"wrong"), None, window)
                error = await refusal_of(append_chunk(registry, ANYBODY, NAME, session.id, late))
                assert error.status in (409, 416)
            may_go_on.set()
            await until(lambda: registry.storage.receiver.active == 0)
            assert await upload_offset(registry, NAME, session.id) == len(BYTES)

    run(test)


def test_chunk_at_the_committed_offset_takes_over_from_an_idle_writer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TAKEOVER_IDLE_SECS", 0.0)
    errors: list[OciError] = []

    async def test() -> None:
        async with opened_registry(root) as registry, trio.open_nursery() as nursery:
            session = await started(registry, BYTES[:5])

            async def stalled() -> None:
                silent = content(Source(trio.sleep_forever))
                work = append_chunk(registry, ANYBODY, NAME, session.id, silent)
                errors.append(await refusal_of(work))

            nursery.start_soon(stalled)
            await trio.testing.wait_all_tasks_blocked()
            window = ByteRange(5, len(BYTES) - 5)
            rest = Content(Source(BYTES[5:]), None, window)
            offset = await append_chunk(registry, ANYBODY, NAME, session.id, rest)
            assert offset == len(BYTES)
            assert says(errors[0], Code.BLOB_UPLOAD_INVALID, 409)
            await finish(registry, session)

    run(test)


def test_session_that_the_disk_does_not_let_go_is_told(root: Path) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened_registry(root, files) as registry:
            session = await started(registry, BYTES)
            files.at["remove"] = failing(errno.EROFS)
            error = await refusal_of(cancel_upload(registry, NAME, session.id))
            assert says(error, Code.UNAVAILABLE, 503)
            error = await refusal_of(cancel_upload(registry, NAME, session.id))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)

    run(test)


@pytest.mark.parametrize("size", [20, 2 * MIB])
def test_other_content_ends_the_session(root: Path, size: int) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            session = await started(registry, content_of(size))
            error = await refusal_of(finish(registry, session))
            assert says(error, Code.DIGEST_INVALID, 400)
            assert files_of(root, session.id) == []
            error = await refusal_of(finish(registry, session, BYTES))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)
            work = push_blob(registry, ANYBODY, NAME, DIGEST, Content(body(content_of(size))))
            assert says(await refusal_of(work), Code.DIGEST_INVALID, 400)
            assert os.listdir(root / "uploads") == []
            assert published(root) == []

    run(test)


@pytest.mark.parametrize("length", [None, 21])
def test_blob_above_the_limit_ends_the_session(root: Path, length: int | None) -> None:
    large = BYTES + b"!"

    async def test() -> None:
        async with opened_registry(root, blob_bytes_max=len(BYTES)) as registry:
            session = await started(registry, BYTES)
            await finish(registry, session)

            for chunks, last in (([], large), ([BYTES], b"!")):
                session = await started(registry, *chunks)
                announced = Content(Source(last), length and len(large))
                work = append_chunk(registry, ANYBODY, NAME, session.id, announced)
                assert says(await refusal_of(work), Code.BLOB_UPLOAD_INVALID, 413)
                assert files_of(root, session.id) == []
            announced = Content(Source(large), length)
            work = push_blob(registry, ANYBODY, NAME, digest_of(large), announced)
            assert says(await refusal_of(work), Code.BLOB_UPLOAD_INVALID, 413)
            assert registry.storage.sessions.count_blocking() == 0

    run(test)


@pytest.mark.parametrize(
    ("bytes_", "is_answered"),
    [(b"", True), (BYTES, True), (BYTES[:-1], False), (BYTES + b"!", False), (b"x" * 20, False)],
)
def test_finish_of_a_finished_session_is_answered_for_the_same_content(
    root: Path, bytes_: bytes, is_answered: bool
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            session = await started(registry, BYTES)
            await finish(registry, session)
            if is_answered:
                await finish(registry, session, bytes_)
            else:
                error = await refusal_of(finish(registry, session, bytes_))
                assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)
            elsewhere = finish_upload(registry, ANYBODY, OTHER, session.id, DIGEST, content(b""))
            assert says(await refusal_of(elsewhere), Code.BLOB_UPLOAD_UNKNOWN, 404)
        assert events(root) == ["blob.pushed"]

    run(test)


@pytest.mark.parametrize(
    ("verb", "number", "status"),
    [
        ("publish", errno.ENOSPC, 507),
        ("publish", errno.EROFS, 503),
        ("sync_directory", errno.EIO, 503),
        ("commit.before", errno.ENOSPC, 507),
        ("finishing.before", errno.ENOSPC, 507),
        ("sync", errno.EIO, 503),
        ("write_at", errno.ENOSPC, 507),
        ("open_to_append", errno.EIO, 503),
    ],
)
@pytest.mark.parametrize("in_one_request", [False, True])
def test_refusal_of_the_disk_leaves_a_session_to_resume_or_none(
    root: Path, verb: str, number: int, status: int, in_one_request: bool
) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened_registry(root, files) as registry:
            session = await started(registry, BYTES[:5])
            files.at[verb] = failing(number)
            if in_one_request:
                work = push_blob(registry, ANYBODY, NAME, DIGEST, content(BYTES))
                assert says(await refusal_of(work), Code.UNAVAILABLE, status)
            else:
                error = await refusal_of(finish(registry, session, BYTES[5:]))
                assert says(error, Code.UNAVAILABLE, status)
            files.at.clear()

            assert says(await refusal_of(find_blob(registry, NAME, DIGEST)), Code.BLOB_UNKNOWN, 404)
            assert events(root) == []
            assert open_files(root) == []
            others = [name for name in os.listdir(root / "uploads") if session.id not in name]
            assert others == []
            await resume_or_begin_again(registry, session)

    async def resume_or_begin_again(registry: Registry, session: UploadSession) -> None:
        try:
            offset = await upload_offset(registry, NAME, session.id)
        except OciError:
            assert files_of(root, session.id) == []
            await push_bytes(registry, BYTES)
        else:
            await finish(registry, session, BYTES[offset:])
        assert (await find_blob(registry, NAME, DIGEST)).size == len(BYTES)

    run(test)


def test_finish_that_finds_the_queue_full_leaves_the_session_resumable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            session = await started(registry, BYTES)
            monkeypatch.setattr(writer, "WAITING_STEPS_MAX", 0)
            error = await refusal_of(finish(registry, session))
            assert says(error, Code.UNAVAILABLE, 503)
            work = push_blob(registry, ANYBODY, NAME, DIGEST, content(BYTES))
            assert says(await refusal_of(work), Code.UNAVAILABLE, 503)
            monkeypatch.undo()

            assert await upload_offset(registry, NAME, session.id) == len(BYTES)
            await finish(registry, session)
            assert os.listdir(root / "uploads") == []

    run(test)


def test_push_of_a_blob_that_is_there_renews_its_lease_and_heals_its_bytes(root: Path) -> None:
    clock = Clock()

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            await push_bytes(registry, BYTES)
            path = blob_path(root, DIGEST)
            path.chmod(0o600)
            path.write_bytes(b"damaged")
            clock.now += 5000
            await push_bytes(registry, BYTES)

            assert path.read_bytes() == BYTES
            held = await find_blob(registry, NAME, DIGEST)
            assert held.lease_until == clock.now + LEASE_SECS

    run(test)


def test_push_heals_a_blob_that_was_missing(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES)
            await registry.storage.write(
                lambda transaction: transaction.rows.execute("UPDATE blobs SET state = 'missing'")
            )
            assert says(await refusal_of(find_blob(registry, NAME, DIGEST)), Code.BLOB_UNKNOWN, 404)
            await push_bytes(registry, BYTES)
            assert (await find_blob(registry, NAME, DIGEST)).size == len(BYTES)

    run(test)


def test_cancelled_session_is_gone(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            session = await started(registry, BYTES)
            await cancel_upload(registry, NAME, session.id)
            assert files_of(root, session.id) == []
            error = await refusal_of(cancel_upload(registry, NAME, session.id))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)

    run(test)


async def interrupted(root: Path, *, is_committed: bool = False) -> UploadSession:
    """What a process leaves that is killed after the rename, before or after the commit."""
    async with opened_registry(root) as registry:
        session = await started(registry, BYTES)
        registry.storage.sessions.mark_finishing(session, DIGEST)
        record = (root / "uploads" / f"{session.id}.json").read_bytes()
        if is_committed:
            await finish(registry, session)
        else:
            os.rename(root / "uploads" / f"{session.id}.data", blob_path(root, DIGEST))
    (root / "uploads" / f"{session.id}.json").write_bytes(record)
    return session


def test_interrupted_publication_is_completed_at_the_next_start(root: Path) -> None:
    async def test() -> None:
        session = await interrupted(root)
        async with opened_registry(root) as registry:
            assert await complete_interrupted(registry, registry.storage.interrupted) == 1
            assert (await find_blob(registry, NAME, DIGEST)).size == len(BYTES)
            assert os.listdir(root / "uploads") == []
            await finish(registry, session)
        assert events(root) == ["blob.pushed"]
        async with opened_registry(root) as registry:
            assert await complete_interrupted(registry, registry.storage.interrupted) == 0

    run(test)


def test_record_that_outlived_its_commit_changes_nothing(root: Path) -> None:
    async def test() -> None:
        await interrupted(root, is_committed=True)
        async with opened_registry(root) as registry:
            assert await complete_interrupted(registry, registry.storage.interrupted) == 0
            assert os.listdir(root / "uploads") == []
        assert events(root) == ["blob.pushed"]

    run(test)


def test_record_that_outlived_its_commit_does_not_bring_a_deleted_blob_back(root: Path) -> None:
    async def test() -> None:
        session = await interrupted(root, is_committed=True)
        record = (root / "uploads" / f"{session.id}.json").read_bytes()
        async with opened_registry(root) as registry:
            await delete_blob(registry, ANYBODY, NAME, DIGEST)
        (root / "uploads" / f"{session.id}.json").write_bytes(record)
        async with opened_registry(root) as registry:
            assert await complete_interrupted(registry, registry.storage.interrupted) == 0
            error = await refusal_of(find_blob(registry, NAME, DIGEST))
            assert says(error, Code.BLOB_UNKNOWN, 404)

    run(test)


def test_interrupted_publication_without_its_bytes_is_dropped(root: Path) -> None:
    async def test() -> None:
        await interrupted(root)
        blob_path(root, DIGEST).unlink()
        async with opened_registry(root) as registry:
            assert await complete_interrupted(registry, registry.storage.interrupted) == 0
            assert os.listdir(root / "uploads") == []
        assert rows_of(root, "SELECT * FROM blobs") == []

    run(test)


def test_interrupted_publication_that_cannot_be_completed_now_is_dropped(root: Path) -> None:
    """Nobody was promised it; kept, it could bring back what is deleted meanwhile."""
    files = ScriptedFiles()

    async def test() -> None:
        session = await interrupted(root)
        async with opened_registry(root, files) as registry:
            files.at["commit.before"] = failing(errno.ENOSPC)
            assert await complete_interrupted(registry, registry.storage.interrupted) == 0
            files.at.clear()
            assert os.listdir(root / "uploads") == []
            error = await refusal_of(finish(registry, session))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)
            await push_bytes(registry, BYTES)
        async with opened_registry(root) as registry:
            assert await complete_interrupted(registry, registry.storage.interrupted) == 0
            assert (await find_blob(registry, NAME, DIGEST)).size == len(BYTES)

    run(test)
