"""Receiving bytes: small bodies in one thread call, large ones overlapped, memory bounded."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import accumulate, chain, islice, pairwise
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angos_trio.errors import only_error
from angos_trio.limits.storage import CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, GATHER_SECS_MAX
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import digest_of
from angos_trio.storage import uploads
from angos_trio.storage.files import Files
from angos_trio.storage.session_record import UploadSession
from tests.storage.support import (
    KIB,
    MIB,
    NAME,
    Barrier,
    ScriptedFiles,
    Source,
    ThreadCalls,
    append,
    blob_path,
    body,
    content_of,
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

SIZES = (0, 1, 64 * KIB, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB + 77)


def data(root: Path, session: UploadSession) -> bytes:
    return (root / "uploads" / f"{session.id}.data").read_bytes()


@pytest.mark.parametrize("part", [1000, 64 * KIB, 3 * MIB])
@pytest.mark.parametrize("size", SIZES)
def test_body_of_any_size_arrives_whole_and_is_verified(root: Path, size: int, part: int) -> None:
    content = content_of(size)
    parts = max(part, size // 200)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            staged = await stage(storage, session, body(content, parts), digest_of(content))
            await storage.write(publishing(staged))

            assert staged.size == size
            assert published(root) == [digest_of(content)]
            assert files_of(root, session.id) == []
            assert open_files(root) == []

    run(test)


@pytest.mark.parametrize("size", [0, 1, 64 * KIB, MIB - 64 * KIB])
def test_body_that_fits_a_chunk_is_written_hashed_and_synced_in_one_thread_call(
    root: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ScriptedFiles()
    content = content_of(size)

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            upload = await storage.receiver.begin(session)
            calls = ThreadCalls(monkeypatch)
            files.met.clear()
            await upload.finish(body(content), 2 * MIB, digest_of(content))

            assert calls.total == 1
            assert files.count("sync") == 1
            assert ("write_at" in files.met[: files.met.index("sync")]) == (size > 0)
            assert files.met.index("sync") < files.met.index("finishing.before")
            await upload.close()

    run(test)


def test_large_body_is_written_while_it_is_still_arriving(root: Path) -> None:
    """Writing does not wait for the end: what arrived is on the disk when the client stalls."""

    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            session = await new_session(storage)
            parts = [content_of(MIB, seed) for seed in range(3)]
            nursery.start_soon(append, storage, session, Source(*parts, trio.sleep_forever))
            await until(lambda: storage.sessions.committed_offset(session.id) >= 2 * MIB)
            nursery.cancel_scope.cancel()

    run(test)


def test_hashing_and_writing_overlap(root: Path) -> None:
    """While a write hangs, what it writes is hashed and the source brings the next chunk."""
    barrier, files = Barrier(), ScriptedFiles()
    content = content_of(4 * MIB)

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            source = body(content)
            files.at["append.before"] = barrier
            async with trio.open_nursery() as nursery:
                nursery.start_soon(append, storage, session, source)
                await barrier.arrival()
                await until(lambda: source.taken_bytes >= 2 * MIB)
                assert storage.sessions.committed_offset(session.id) == 0
                del files.at["append.before"]
                barrier.open()
            assert data(root, session) == content
            assert storage.sessions.take_hash(session, len(content)) is not None

    run(test)


def test_long_upload_is_flushed_on_the_way(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_FLUSH_BYTES", 2 * MIB)
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            session = await new_session(storage)
            await append(storage, session, body(content_of(7 * MIB)))
            assert files.count("flush") == 3

    run(test)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"abc"], [3]),
        ([b"abc", b"defg"], [3, 7]),
        ([b"", b"a", b""], [0, 1, 1]),
        ([content_of(2 * MIB), b"x", content_of(MIB)], [2 * MIB, 2 * MIB + 1, 3 * MIB + 1]),
    ],
)
def test_requests_go_on_where_the_last_one_ended(
    root: Path, chunks: list[bytes], expected: list[int]
) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            assert [await append(storage, session, body(chunk)) for chunk in chunks] == expected
            assert await storage.committed_offset(session.id) == expected[-1]

            whole = b"".join(chunks)
            staged = await stage(storage, session, Source(), digest_of(whole))
            assert staged.size == len(whole)

    run(test)


class BrokenOffError(Exception):
    """The client is gone."""


@pytest.mark.parametrize("size", [1, 100 * KIB, MIB, 2 * MIB + 5])
def test_what_came_before_the_source_failed_is_kept(root: Path, size: int) -> None:
    content = content_of(size + 10)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            parts = [content[at : at + 64 * KIB] for at in range(0, size, 64 * KIB)]
            parts[-1] = content[(len(parts) - 1) * 64 * KIB : size]
            with pytest.raises(BrokenOffError):
                await append(storage, session, Source(*parts, failure=BrokenOffError()))
            assert data(root, session) == content[:size]
            assert open_files(root) == []

            staged = await stage(storage, session, body(content[size:]), digest_of(content))
            assert staged.size == len(content)

    run(test)


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_source_that_fails_at_the_finish_leaves_a_session_to_resume(root: Path, size: int) -> None:
    content = content_of(size)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            source = Source(content[: size // 2], failure=BrokenOffError())
            with pytest.raises(BrokenOffError):
                await stage(storage, session, source, digest_of(content))
            assert await storage.committed_offset(session.id) == size // 2

            await stage(storage, session, body(content[size // 2 :]), digest_of(content))

    run(test)


def test_empty_part_is_not_the_end_of_a_body(root: Path) -> None:
    """A request's body yields one for a message that brings nothing and is not the last."""
    content = content_of(2 * MIB)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            offset = await append(
                storage, session, Source(b"", content[:5], b"", b"", content[5:], b"")
            )
            assert offset == len(content)
            assert data(root, session) == content

    run(test)


@pytest.mark.parametrize("size", [0, 10, MIB, 2 * MIB + 3])
@pytest.mark.parametrize("held", [0, 7])
def test_blob_of_the_largest_size_is_taken_and_one_byte_more_refused(
    root: Path, size: int, held: int
) -> None:
    content = content_of(held + size)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            await append(storage, session, body(content[:held]))

            upload = await storage.receiver.begin(session)
            await upload.open()
            await upload.append(body(content[held:]), len(content))
            await upload.close()
            assert upload.offset == len(content)

            upload = await storage.receiver.begin(session)
            await upload.open()
            error = await refusal_of(upload.append(Source(b"x"), len(content)))
            await upload.close()
            assert says(error, Code.BLOB_UPLOAD_INVALID, 413)
            assert data(root, session) == content

    run(test)


@pytest.mark.parametrize("size", [11, 2 * MIB + 1])
def test_finish_with_one_byte_too_many_is_refused(root: Path, size: int) -> None:
    content = content_of(size)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            upload = await storage.receiver.begin(session)
            error = await refusal_of(
                upload.finish(body(content, 1000), size - 1, digest_of(content))
            )
            await upload.close()
            assert says(error, Code.BLOB_UPLOAD_INVALID, 413)

    run(test)


@pytest.mark.parametrize(
    "wrong", [lambda content: content[:-1], lambda content: content + b"x", lambda content: b""]
)
@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_other_content_than_the_digest_says_is_refused(
    root: Path, size: int, wrong: Callable[[bytes], bytes]
) -> None:
    content = content_of(size)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            error = await refusal_of(
                stage(storage, session, body(wrong(content)), digest_of(content))
            )
            assert says(error, Code.DIGEST_INVALID, 400)
            assert error.detail == {
                "expected": digest_of(content),
                "received": digest_of(wrong(content)),
            }
            assert published(root) == []

    run(test)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    requests=st.lists(st.lists(st.integers(0, 300), max_size=6), min_size=1, max_size=5),
    restarts=st.sets(st.integers(0, 4)),
    algorithms=st.tuples(*[st.sampled_from(["sha256", "sha512"])] * 2),
)
def test_body_arrives_whole_however_it_is_cut(
    root: Path, requests: list[list[int]], restarts: set[int], algorithms: tuple[str, str]
) -> None:
    """Parts of any size in requests of any number, with restarts between them; tiny chunks."""
    content = content_of(sum(map(sum, requests)))
    digest = digest_of(content, algorithms[1])

    ends = list(accumulate(chain(*requests), initial=0))
    parts = iter([content[first:last] for first, last in pairwise(ends)])
    bodies = [Source(*islice(parts, len(sizes))) for sizes in requests]

    async def test() -> None:
        process = AsyncExitStack()
        storage = await process.enter_async_context(opened(root))
        identifier = (await new_session(storage, algorithm=algorithms[0])).id
        for number, source in enumerate(bodies):
            if number in restarts:
                await process.aclose()
                storage = await process.enter_async_context(opened(root))
            session = await storage.sessions.find(identifier, NAME)
            if number < len(bodies) - 1:
                await append(storage, session, source)
            else:
                staged = await stage(storage, session, source, digest)
                await storage.write(publishing(staged))
        assert blob_path(root, digest).read_bytes() == content
        await process.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads, "CHUNK_BYTES_MAX", 128)
        patch.setattr(uploads, "CHUNK_BYTES_MIN", 128)
        patch.setattr(uploads, "UPLOAD_FLUSH_BYTES", 256)
        run(test)


def tamper(root: Path, session: UploadSession) -> None:
    """Change a byte behind the registry's back: only who reads the file again can see it."""
    with (root / "uploads" / f"{session.id}.data").open("r+b") as file:
        file.write(b"\xff")


def test_hash_is_kept_between_requests(root: Path) -> None:
    """Nothing is read again at the finish."""
    content = content_of(2 * MIB)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            await append(storage, session, body(content[:MIB]))
            await append(storage, session, body(content[MIB:]))
            tamper(root, session)

            await stage(storage, session, Source(), digest_of(content))

    run(test)


def test_hash_that_is_lost_is_made_anew_from_the_file(root: Path) -> None:
    content = content_of(2 * MIB)

    async def test(has_changed: bool) -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            await append(storage, session, body(content[:MIB]))
        async with opened(root) as storage:
            await append(storage, session, body(content[MIB:]))
            if has_changed:
                tamper(root, session)
                error = await refusal_of(stage(storage, session, Source(), digest_of(content)))
                assert says(error, Code.DIGEST_INVALID, 400)
            else:
                staged = await stage(storage, session, Source(), digest_of(content))
                assert staged.size == len(content)

    run(test, False)
    run(test, True)


@pytest.mark.parametrize(
    ("started", "finished"), [("sha256", "sha512"), ("sha512", "sha256"), ("sha512", "sha512")]
)
@pytest.mark.parametrize("size", [0, 10, 2 * MIB])
def test_session_may_be_finished_with_either_algorithm(
    root: Path, size: int, started: str, finished: str
) -> None:
    content = content_of(size)
    digest = digest_of(content, finished)

    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage, algorithm=started)
            await append(storage, session, body(content[: size // 2]))
            staged = await stage(storage, session, body(content[size // 2 :]), digest)
            await storage.write(publishing(staged))
            assert published(root) == [digest]

    run(test)


def test_what_a_slow_source_brought_is_written_after_a_second(root: Path) -> None:
    """The clock moves only when it is told to."""
    clock = trio.testing.MockClock()

    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            session = await new_session(storage)
            stalled = trio.Event()

            async def nothing() -> bytes:
                stalled.set()
                await trio.sleep_forever()
                return b""

            nursery.start_soon(append, storage, session, Source(b"little", b" more", nothing))
            await stalled.wait()
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(GATHER_SECS_MAX - 0.01)
            await trio.testing.wait_all_tasks_blocked()
            assert storage.sessions.committed_offset(session.id) == 0

            clock.jump(0.02)
            await until(lambda: storage.sessions.committed_offset(session.id) > 0)
            assert storage.sessions.committed_offset(session.id) == len(b"little more")
            nursery.cancel_scope.cancel()

    run(test, clock=clock)


def test_closing_twice_is_fine_and_lets_the_next_writer_in(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            first = await storage.receiver.begin(session)
            await first.open()
            await first.close()
            second = await storage.receiver.begin(session)
            await second.open()
            await first.close()

            assert storage.receiver.active == 1
            assert (await refusal_of(storage.receiver.begin(session))).status == 409
            await second.append(Source(b"content"), 100)
            await second.close()
            await second.close()
            assert storage.receiver.active == 0
            assert open_files(root) == []

    run(test)


def test_upload_that_is_only_closed_leaves_nothing_open(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            await (await storage.receiver.begin(session)).close()
            assert files_of(root, session.id) == [".json"]
            assert storage.receiver.active == 0

    run(test)


def test_session_whose_file_another_process_writes_is_busy(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            await append(storage, session, Source(b"there"))
            other = os.open(root / "uploads" / f"{session.id}.data", os.O_RDWR)
            fcntl.flock(other, fcntl.LOCK_EX)
            error = await refusal_of(append(storage, session, Source(b", more")))
            assert says(error, Code.BLOB_UPLOAD_INVALID, 409)

            os.close(other)
            assert await append(storage, session, Source(b", more")) == len(b"there, more")
            assert open_files(root) == []

    run(test)


def test_cut_back_forgets_what_came_after_the_offset(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            await append(storage, session, Source(b"kept"))
            upload = await storage.receiver.begin(session)
            await upload.open()
            await upload.append(Source(b" dropped"), 100)
            await upload.cut_back(4)
            await upload.close()

            assert upload.offset == 4
            await stage(storage, session, Source(b" and more"), digest_of(b"kept and more"))

    run(test)


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        (0, 2 * MIB),
        (1, 2 * MIB),
        (5, 2 * MIB),
        (10, 32 * MIB // 30),
        (12, 32 * MIB // 36),
        (64, 32 * MIB // 192),
        (128, 128 * KIB),
        (1000, 128 * KIB),
    ],
)
def test_chunks_shrink_as_uploads_share_the_budget(root: Path, active: int, expected: int) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            storage.receiver.active = active
            assert storage.receiver.chunk_bytes() == expected
            assert CHUNK_BYTES_MIN <= expected <= CHUNK_BYTES_MAX

    run(test)


class WritesNoted(Files):
    """Real files that note how much each write has."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def write_at(self, descriptor: int, content: bytes | memoryview, offset: int) -> None:
        self.sizes.append(len(content))
        super().write_at(descriptor, content, offset)


def test_chunk_that_is_gathered_is_cut_when_others_join(root: Path) -> None:
    """The size that it had when it was begun is too large from then on."""
    files, part = WritesNoted(), content_of(64 * KIB)

    async def test() -> None:
        async with opened(root, files) as storage:
            receiver = storage.receiver
            upload = await receiver.begin(await new_session(storage))
            await upload.open()

            async def parts() -> AsyncIterator[bytes]:
                yield part
                yield part
                receiver.active = 128
                yield part
                yield part

            files.sizes.clear()
            await upload.append(parts(), MIB)
            found.extend(files.sizes)
            await upload.close()

    found: list[int] = []
    run(test)
    assert found == [3 * len(part), len(part)]


@pytest.mark.parametrize("count", [1, 8, 40])
def test_uploads_to_a_disk_that_hangs_hold_no_more_than_the_budget(root: Path, count: int) -> None:
    """Sources are asked for no more once the budget is in memory."""
    budget = 8 * MIB
    barrier, files = Barrier(), ScriptedFiles()
    part = content_of(16 * KIB)

    async def test() -> None:
        async with opened(root, files) as storage:
            storage.receiver.budget_bytes = budget
            files.at["append.before"] = barrier
            held = [await storage.receiver.begin(await new_session(storage)) for _ in range(count)]
            sources = [Source(*[part] * 1000) for _ in held]
            async with trio.open_nursery() as nursery:
                for upload, source in zip(held, sources, strict=True):
                    nursery.start_soon(upload.append, source, 100 * MIB)
                taken = await settled_sum(sources)
                assert taken <= budget + count * (CHUNK_BYTES_MIN + len(part))
                nursery.cancel_scope.cancel()
                barrier.open()
            for upload in held:
                await upload.close()

    async def settled_sum(sources: list[Source]) -> int:
        """How much was taken, once no more is."""
        found = -1
        while (now := sum(source.taken_bytes for source in sources)) != found:
            found = now
            await trio.sleep(0.1)
        return found

    run(test)


class Counted(bytes):
    """A part that knows how many of them are in memory."""

    alive = 0

    def __new__(cls, content: bytes) -> Counted:
        cls.alive += 1
        return super().__new__(cls, content)

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.mark.parametrize("is_finish", [False, True])
def test_upload_holds_no_chunk_that_is_written_and_hashed(root: Path, is_finish: bool) -> None:
    """But the last one; not the first, however long the upload goes on."""
    content = content_of(MIB)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield Counted(content)
            await until(lambda: Counted.alive <= 1)

    async def test() -> None:
        async with opened(root) as storage:
            upload = await storage.receiver.begin(await new_session(storage))
            if is_finish:
                await upload.finish(parts(), 8 * MIB, digest_of(content * 8))
            else:
                await upload.append(parts(), 8 * MIB)
            await upload.close()

    run(test)
    assert Counted.alive == 0


def test_slow_upload_does_not_hold_up_another(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            for _ in range(50):
                session = await new_session(storage)
                nursery.start_soon(
                    append, storage, session, Source(content_of(MIB), trio.sleep_forever)
                )
            content = content_of(3 * MIB)
            session = await new_session(storage)
            with trio.fail_after(10):
                await stage(storage, session, body(content), digest_of(content))
            nursery.cancel_scope.cancel()

    run(test)


def grouped(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("nursery", errors)


def test_only_error_is_the_first_real_one() -> None:
    cancelled = trio.Cancelled._create()  # type: ignore[attr-defined]
    first, second = ValueError("first"), ValueError("second")

    assert only_error(grouped(first, second)) is first
    assert only_error(grouped(cancelled, first)) is first
    assert only_error(grouped(grouped(cancelled), grouped(cancelled, grouped(second)))) is second
    assert only_error(grouped(grouped(cancelled))) is cancelled
