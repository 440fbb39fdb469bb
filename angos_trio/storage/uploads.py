"""Receiving bytes: gather, write, hash and flush, so that they overlap and memory stays bounded.

A body that fits one chunk is written, hashed and synced in one thread call. From the second chunk
on, hashing and writing are workers of a nursery, each fed through a channel of one chunk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

import trio

from angos_trio.errors import only_error
from angos_trio.limits.storage import (
    CHUNK_BYTES_MAX,
    CHUNK_BYTES_MIN,
    CHUNKS_HELD_MAX,
    CLEANUP_SECS_MAX,
    GATHER_SECS_MAX,
    UPLOAD_BUDGET_BYTES,
    UPLOAD_FLUSH_BYTES,
    UPLOAD_THREADS,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, new_hash
from angos_trio.oci.names import SessionId
from angos_trio.records import Frozen, Mutable, field
from angos_trio.storage.connections import disk_full, unavailable
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.session_record import UploadSession
from angos_trio.storage.sessions import RunningHash, Sessions, busy
from angos_trio.storage.transactions import StagedBlob

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def _tell_nobody(_: object) -> None:
    """Who pushes need not hear how far it has come."""


class Following(Frozen):
    """Who reads along in an upload: `begins` is called with the session that the bytes arrive in,
    `arrived` with how many are in its file by now, and `verified` once all of them are found right,
    before they are synced. Of what is small, the last two are not."""

    begins: Callable[[SessionId], Awaitable[None]] = _tell_nobody
    arrived: Callable[[int], Awaitable[None]] = _tell_nobody
    verified: Callable[[], None] | None = None


NOBODY_FOLLOWS: Final = Following()


class Receiver(Mutable):
    """What all uploads share: the threads that write and hash, and the byte budget."""

    directory: DataDirectory
    files: Files
    sessions: Sessions
    reserve_bytes: int
    """Below this much free space nothing is taken in (507)."""
    budget_bytes: int = UPLOAD_BUDGET_BYTES
    """Of memory for all uploads of this process."""
    threads: trio.CapacityLimiter = field(
        default_factory=lambda: trio.CapacityLimiter(UPLOAD_THREADS)
    )
    active: int = 0

    def chunk_bytes(self) -> int:
        """How much one upload gathers before it writes.

        An upload holds at most three chunks: one is gathered, one is on its way, and hashing may
        be one behind. So all uploads together stay within the budget (or 128 KiB a chunk where
        there are very many), and a slow one never holds what another needs.
        """
        share = self.budget_bytes // (CHUNKS_HELD_MAX * max(self.active, 1))
        return max(CHUNK_BYTES_MIN, min(CHUNK_BYTES_MAX, share))

    async def begin(self, session: UploadSession, *, may_take_over: bool = False) -> Upload:
        """Take hold of a session; whoever does must call `close`."""
        scope = await self.sessions.begin_writing(session.id, may_take_over=may_take_over)
        self.active += 1
        return Upload(self, session, scope)


class Upload:
    """One request's hold on a session, from `Receiver.begin` to `close`."""

    def __init__(self, receiver: Receiver, session: UploadSession, scope: trio.CancelScope) -> None:
        self._receiver = receiver
        self._scope = scope
        self._descriptor = -1
        self._running: RunningHash | None = None
        self._is_open = False
        self._size_max = 0
        self._is_closed = False
        self.is_finishing = False
        """From then on a commit decides about the session, and nobody writes to it."""
        self.session = session
        self.offset = 0
        self.is_worthless = False
        """A sync failed: what the file holds may never reach the disk, whatever is said later."""

    async def open(self) -> None:
        """Find the committed offset, which stands in `offset` from then on."""
        await self._in_thread(self._open_blocking)

    def _open_blocking(self) -> None:
        if self._is_open:
            return
        receiver = self._receiver
        path = receiver.directory.session_content(self.session.id)
        self._descriptor = receiver.files.open_to_append(path)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.offset = os.fstat(self._descriptor).st_size
        self._is_open = True
        self._running = receiver.sessions.take_hash(self.session, self.offset)
        if self._running is None and self.offset == 0:
            algorithm = self.session.algorithm
            self._running = RunningHash(new_hash(algorithm), algorithm, 0)

    async def append(self, source: AsyncIterator[bytes], size_max: int) -> None:
        """Take all that the source brings; `offset` moves as chunks reach the file.

        What arrived before the source failed is kept. Raises BLOB_UPLOAD_INVALID: 413 once the
        session would hold more than `size_max` bytes, 409 when another request took over; and
        UNAVAILABLE (507, 503) when the disk refuses.
        """
        self._size_max = size_max
        with self._scope:
            gathered = _Gathered(self._receiver, self.session, source)
            await gathered.look_ahead()
            await self._take(gathered)
            return
        raise _taken_over(self.session)

    async def finish(
        self,
        source: AsyncIterator[bytes],
        size_max: int,
        expected: Digest,
        following: Following = NOBODY_FOLLOWS,
    ) -> StagedBlob:
        """As `append`, then verify length and digest of what is on the disk, and sync it.

        Raises DIGEST_INVALID (400) for other content; the session is then worth nothing. The
        answer's bytes are the caller's to publish.
        """
        self._size_max = size_max
        with self._scope:
            gathered = _Gathered(self._receiver, self.session, source)
            await gathered.look_ahead()
            if gathered.is_ended and gathered.failure is None:
                return await self._finish_small(await gathered.chunk(), expected)
            await self._take(gathered, following)
            return await self._seal(expected, following)
        raise _taken_over(self.session)

    async def _finish_small(self, chunk: bytes, expected: Digest) -> StagedBlob:
        staged = await self._in_thread(self._finish_at_once_blocking, chunk, expected)
        return await self._seal(expected) if staged is None else staged

    def _finish_at_once_blocking(self, chunk: bytes, expected: Digest) -> StagedBlob | None:
        self._open_blocking()
        self._take_blocking(chunk)
        if self._needs_hashing(expected.algorithm):
            return None
        return self._seal_blocking(expected)

    async def _take(self, gathered: _Gathered, following: Following = NOBODY_FOLLOWS) -> None:
        if gathered.is_ended:
            await self._in_thread(self._take_blocking, await gathered.chunk())
        else:
            await self._take_overlapped(gathered, following)
        if gathered.failure is not None:
            raise gathered.failure

    def _take_blocking(self, chunk: bytes) -> None:
        self._open_blocking()
        if not chunk:
            return
        self._write_blocking(chunk)
        if self._running is not None:
            self._running.hasher.update(chunk)
            self._running.size += len(chunk)

    def _write_blocking(self, chunk: bytes) -> None:
        """Write one chunk; when it fails, the file is cut back to the committed offset."""
        receiver = self._receiver
        if self.offset + len(chunk) > self._size_max:
            raise too_large(self._size_max)
        if receiver.files.free_bytes(receiver.directory.uploads) < receiver.reserve_bytes:
            raise disk_full()
        receiver.files.reached("append.before")
        try:
            receiver.files.write_at(self._descriptor, chunk, self.offset)
        except OSError:
            receiver.files.truncate(self._descriptor, self.offset)
            raise
        self.offset += len(chunk)
        receiver.files.reached("append.after")

    async def _take_overlapped(self, gathered: _Gathered, following: Following) -> None:
        await self.open()
        to_write, written = trio.open_memory_channel[bytes](0)
        to_hash, hashed = trio.open_memory_channel[bytes](0)
        try:
            async with trio.open_nursery() as workers:
                workers.start_soon(self._write_all, written, workers, following)
                workers.start_soon(self._hash_all, hashed)
                async with to_write, to_hash:
                    while chunk := await gathered.chunk():
                        await to_write.send(chunk)
                        await to_hash.send(chunk)
        except BaseExceptionGroup as group:
            raise only_error(group) from None

    async def _write_all(
        self,
        chunks: trio.MemoryReceiveChannel[bytes],
        workers: trio.Nursery,
        following: Following,
    ) -> None:
        flushed_to = self.offset
        async for chunk in chunks:
            await self._in_thread(self._write_blocking, chunk)
            await following.arrived(self.offset)
            if self.offset - flushed_to >= UPLOAD_FLUSH_BYTES:
                flushed_to = self.offset
                workers.start_soon(self._flush)

    async def _flush(self) -> None:
        await self._in_thread(self._sync_blocking, self._receiver.files.flush)

    def _sync_blocking(self, sync: Callable[[int], None]) -> None:
        try:
            sync(self._descriptor)
        except OSError:
            # The kernel forgets that the pages are unwritten: a second sync would say all is well.
            self.is_worthless = True
            raise

    async def _hash_all(self, chunks: trio.MemoryReceiveChannel[bytes]) -> None:
        running = self._running
        async for chunk in chunks:
            if running is not None:
                await self._in_thread(running.hasher.update, chunk)
                running.size += len(chunk)

    async def cut_back(self, offset: int) -> None:
        """Forget what arrived after the offset."""
        self._running = None
        await self._in_thread(self._receiver.files.truncate, self._descriptor, offset)
        self.offset = offset

    def _needs_hashing(self, algorithm: str) -> bool:
        running = self._running
        return running is None or running.algorithm != algorithm or running.size != self.offset

    async def _seal(self, expected: Digest, following: Following = NOBODY_FOLLOWS) -> StagedBlob:
        if self._needs_hashing(expected.algorithm):
            fresh = RunningHash(new_hash(expected.algorithm), expected.algorithm, 0)
            while fresh.size < self.offset:
                await self._in_thread(self._hash_slice_blocking, fresh)
            self._running = fresh
        if following.verified is not None:
            await self._in_thread(self._verify_blocking, expected)
            following.verified()
        return await self._in_thread(self._seal_blocking, expected)

    def _hash_slice_blocking(self, running: RunningHash) -> None:
        length = min(CHUNK_BYTES_MAX, self.offset - running.size)
        content = os.pread(self._descriptor, length, running.size)
        if not content:
            raise OSError(f"session {self.session.id} is shorter than its offset")
        running.hasher.update(content)
        running.size += len(content)

    def _verify_blocking(self, expected: Digest) -> None:
        running = self._running
        found = None if running is None else f"{expected.algorithm}:{running.hasher.hexdigest()}"
        if found != expected:
            raise OciError(
                Code.DIGEST_INVALID,
                message="content is not that of the digest",
                detail={"expected": expected, "received": found},
            )
        if os.fstat(self._descriptor).st_size != self.offset:
            raise OSError(f"session {self.session.id} is not as long as what was hashed")

    def _seal_blocking(self, expected: Digest) -> StagedBlob:
        self._verify_blocking(expected)
        receiver = self._receiver
        receiver.files.reached("sync.before")
        self._sync_blocking(receiver.files.sync)
        receiver.files.reached("finishing.before")
        receiver.sessions.mark_finishing(self.session, expected)
        receiver.files.reached("finishing.after")
        self._close_blocking()
        directory = receiver.directory
        return StagedBlob(
            digest=expected,
            size=self.offset,
            path=directory.session_content(self.session.id),
            leftovers=(directory.session_record(self.session.id),),
        )

    async def begin_finishing(self) -> None:
        """Hand the sealed session over to a commit.

        Raises BLOB_UPLOAD_UNKNOWN (404) when it was cancelled in the meantime.
        """
        await self._receiver.sessions.begin_finishing(self.session.id)
        self.is_finishing = True

    async def close(self) -> None:
        """Give the session back; what it holds can be resumed. Twice is fine."""
        receiver = self._receiver
        if self._is_closed:
            return
        self._is_closed = True
        receiver.active -= 1
        with trio.CancelScope(shield=True) as scope:
            scope.deadline = trio.current_time() + CLEANUP_SECS_MAX
            if self._descriptor >= 0:
                await trio.to_thread.run_sync(self._close_blocking)
            running = self._running
            if running is not None and running.size == self.offset and not self.is_finishing:
                receiver.sessions.keep_hash(self.session.id, running)
            await receiver.sessions.end_writing(self.session.id, is_finishing=self.is_finishing)

    def _close_blocking(self) -> None:
        """Close the file; the number is another's from then on, whatever close(2) says."""
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            os.close(descriptor)

    async def _in_thread(
        self,
        work: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **_: Arguments.kwargs,
    ) -> Result:
        """Run blocking work in an upload thread; errors of the disk become answers."""
        try:
            return await trio.to_thread.run_sync(work, *arguments, limiter=self._receiver.threads)
        except BlockingIOError as error:
            raise busy(self.session.id) from error
        except OSError as error:
            raise unavailable(error) from error


class _Gathered:
    """A source cut into chunks. A failure of the source ends it; the last chunk comes first."""

    def __init__(
        self,
        receiver: Receiver,
        session: UploadSession,
        source: AsyncIterator[bytes],
    ) -> None:
        self._receiver = receiver
        self._session = session
        self._source = source
        self._ahead: bytes | None = None
        self.is_ended = False
        self.failure: Exception | None = None

    async def look_ahead(self) -> None:
        """Gather the first chunk, which tells in `is_ended` whether it is the only one.

        It is kept here until `chunk` gives it away, so that no caller keeps it for a whole upload.
        """
        self._ahead = await self._gather()

    async def chunk(self) -> bytes:
        """The next chunk: full, or what a slow source brought within a second; empty at the end."""
        ahead, self._ahead = self._ahead, None
        return await self._gather() if ahead is None else ahead

    async def _gather(self) -> bytes:
        """A chunk is full when another part like the last would make it larger than the share."""
        parts: list[bytes] = []
        size = last = 0
        deadline = float("inf")
        while size + max(last, 1) <= self._receiver.chunk_bytes() and not self.is_ended:
            part = await self._next(deadline)
            if part is None:
                break
            if not parts:
                deadline = trio.current_time() + GATHER_SECS_MAX
            if part:
                parts.append(part)
                last = len(part)
                size += last
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next(self, deadline: float) -> bytes | None:
        """What the source brings next; empty at its end, None when the deadline passed."""
        try:
            with trio.CancelScope(deadline=deadline) as scope:
                part = await anext(self._source, None)
            if scope.cancelled_caught:
                return None
        except Exception as error:
            self.failure = error
            self.is_ended = True
            return b""
        if part is None:
            self.is_ended = True
            return b""
        self._receiver.sessions.note_byte(self._session.id)
        return part


def too_large(size_max: int) -> OciError:
    """The answer to a blob above the limit, in bytes."""
    return OciError(
        Code.BLOB_UPLOAD_INVALID,
        status=413,
        message="blob is too large",
        detail={"limit": size_max},
    )


def _taken_over(session: UploadSession) -> OciError:
    return OciError(
        Code.BLOB_UPLOAD_INVALID,
        status=409,
        message="another request took this upload over",
        detail=session.id,
    )
