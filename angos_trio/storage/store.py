"""The storage of one instance: opened once, closed once, handed to the use-cases."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from angos_trio.limits.storage import (
    BODY_CACHE_BYTES_MAX,
    READER_BUSY_SECS_MAX,
    READER_THREADS,
    UPLOAD_BUDGET_BYTES,
    WRITER_STOP_SECS_MAX,
)
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import SessionId
from angos_trio.records import Frozen, field, replace
from angos_trio.storage import recovery, snapshots
from angos_trio.storage.ballast import Ballast
from angos_trio.storage.bodies import BodyCache
from angos_trio.storage.connections import disk_full, is_busy, open_reader, refused, unavailable
from angos_trio.storage.directory import DataDirectory, instance_of, prepare, take_instance_lock
from angos_trio.storage.files import Files
from angos_trio.storage.inspection import Inspector
from angos_trio.storage.plans import Plans
from angos_trio.storage.reclaiming import empty_trash
from angos_trio.storage.session_record import UploadSession
from angos_trio.storage.sessions import Sessions
from angos_trio.storage.shared import Shared, begin_instance
from angos_trio.storage.snapshots import Snapshot
from angos_trio.storage.spares import Spares
from angos_trio.storage.stats import Stats
from angos_trio.storage.transactions import Outcome, Query, Step
from angos_trio.storage.uploads import Receiver
from angos_trio.storage.writer import Settled, Writer


class StorageSettings(Frozen):
    """Where the data directory is and how much space is kept free, in bytes."""

    root: Path
    reserve_bytes: int
    ballast_bytes: int


class OpenBlob(Frozen):
    """A descriptor that its owner closes, and the size of what it reads, in bytes."""

    descriptor: int
    size: int

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


class Space(Frozen):
    """Free bytes now, and what must stay free for new content to be taken in."""

    free_bytes: int
    reserve_bytes: int

    @property
    def is_enough(self) -> bool:
        """Whether new content is taken in."""
        return self.has_room_for(0)

    def has_room_for(self, size: int) -> bool:
        """Whether so many bytes fit and the reserve stays free."""
        return self.free_bytes - size >= self.reserve_bytes


class Storage(Frozen):
    """Bytes and rows behind a few verbs. Made by `open_storage` only."""

    settings: StorageSettings
    receiver: Receiver
    bodies: BodyCache
    ballast: Ballast
    interrupted: tuple[UploadSession, ...]
    """Sessions whose bytes took their final name, but whose rows were not committed."""
    shared: Shared
    stats: Stats
    _writer: Writer
    _point_reader: sqlite3.Connection
    _readers: list[sqlite3.Connection]
    _reader_threads: trio.CapacityLimiter = field(
        default_factory=lambda: trio.CapacityLimiter(READER_THREADS)
    )

    @property
    def sessions(self) -> Sessions:
        """The open upload sessions."""
        return self.receiver.sessions

    @property
    def instance(self) -> str:
        """The id of the instance, out of a file. Raises OperatorError."""
        return instance_of(self.receiver.directory)

    @property
    def inspector(self) -> Inspector:
        """Who looks at the files."""
        return Inspector(self.receiver.directory, self.receiver.files)

    async def write(
        self, step: Step[Outcome], settled: Settled | None = None, *, makes_room: bool = False
    ) -> Outcome:
        """Run a step in the writer; returns when it is durable. See `Writer.write`."""
        return await self._writer.write(step, settled, makes_room=makes_room)

    async def read(self, query: Query[Outcome]) -> Outcome:
        """Run a query in a reader thread. Raises UNAVAILABLE (503) when SQLite fails."""
        try:
            return await trio.to_thread.run_sync(
                self._read_blocking, query, limiter=self._reader_threads
            )
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def _read_blocking(self, query: Query[Outcome]) -> Outcome:
        rows = self._readers.pop()
        try:
            return query(rows)
        finally:
            self._readers.append(rows)

    async def read_point(self, query: Query[Outcome]) -> Outcome:
        """Run up to three point queries at once, on the loop; in a thread when they would wait."""
        try:
            return query(self._point_reader)
        except sqlite3.Error as error:
            if not is_busy(error):
                raise unavailable(error) from error
        return await self.read(query)

    def read_from_thread(self, query: Query[Outcome]) -> Outcome:
        """As `read_point`, for a thread that was started from the loop; blocks."""
        return trio.from_thread.run(self.read_point, query)

    async def open_blob(self, digest: Digest) -> OpenBlob | None:
        """A blob's file, open; None when there is none. Raises UNAVAILABLE (503) on I/O errors."""
        try:
            return await trio.to_thread.run_sync(self._open_blob_blocking, digest)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unavailable(error) from error

    def _open_blob_blocking(self, digest: Digest) -> OpenBlob:
        receiver = self.receiver
        descriptor = receiver.files.open_to_read(receiver.directory.blob(digest))
        return OpenBlob(descriptor, os.fstat(descriptor).st_size)

    def open_arriving(self, session: SessionId) -> int | None:
        """A descriptor of what has arrived for a session, to be read while more comes; None while
        there is nothing. It stays good when the bytes take their final name. Blocks for one look.
        """
        receiver = self.receiver
        try:
            return receiver.files.open_to_read(receiver.directory.session_content(session))
        except OSError:
            return None

    def read_blob_blocking(self, digest: Digest, bytes_max: int) -> bytes | None:
        """A small blob's bytes; None when it is longer or cannot be read. Blocks."""
        try:
            blob = self._open_blob_blocking(digest)
        except OSError:
            return None
        try:
            return os.pread(blob.descriptor, bytes_max, 0) if blob.size <= bytes_max else None
        except OSError:
            return None
        finally:
            blob.close()

    @property
    def plans(self) -> Plans:
        """What retention found."""
        return Plans(self.receiver.directory, self.receiver.files)

    async def committed_offset(self, session: SessionId) -> int:
        """How many bytes an upload session holds."""
        try:
            return await trio.to_thread.run_sync(self.sessions.committed_offset, session)
        except OSError as error:
            raise unavailable(error) from error

    async def recover_from_dead_processes(self) -> tuple[UploadSession, ...]:
        """Let what a dead process held be written to again.

        Returns the sessions whose bytes took their final name and whose rows may be missing; they
        are this process's to complete. Raises UNAVAILABLE when the disk refuses.
        """
        held = await self.sessions.of_dead_processes()
        if not held:
            return ()
        receiver = self.receiver
        try:
            found = await trio.to_thread.run_sync(
                recovery.sort_out, receiver.directory, receiver.files, held
            )
        except OSError as error:
            raise unavailable(error) from error
        kept = {session.id for session in (*found.resumable, *found.interrupted)}
        for session in held:
            if session.id not in kept:
                await self.sessions.discard(session.id)
        for session in found.resumable:
            await self.sessions.reopen(session.id)
        return found.interrupted

    async def empty_trash(self) -> int:
        """Unlink what nobody can reach any more; how many files. Raises UNAVAILABLE (503)."""
        receiver = self.receiver
        try:
            return await trio.to_thread.run_sync(empty_trash, receiver.directory, receiver.files)
        except OSError as error:
            raise unavailable(error) from error

    async def take_snapshot(self, now: int) -> Snapshot:
        """Copies of the databases, for a backup. Raises UNAVAILABLE: 507 where there is no room."""
        return await self._copying(snapshots.take_snapshot, now, self.settings.reserve_bytes)

    async def drop_snapshot(self, snapshot: Snapshot) -> None:
        """Remove them. Raises UNAVAILABLE when the disk refuses."""
        await self._copying(snapshots.drop_snapshot, snapshot)

    async def kept_copies(self) -> list[int]:
        """When the copies that are kept were made, in epoch seconds, the oldest first."""
        return await trio.to_thread.run_sync(snapshots.kept_copies, self.receiver.directory)

    async def keep_copy(self, now: int) -> None:
        """Make one. Raises UNAVAILABLE: 507 where there is no room."""
        await self._copying(snapshots.keep_copy, now, self.settings.reserve_bytes)

    async def drop_copies(self, made_at: Sequence[int]) -> None:
        """Remove copies that were kept. Raises UNAVAILABLE when the disk refuses."""
        await self._copying(snapshots.drop_copies, made_at)

    async def _copying(self, work: Callable[..., Outcome], *arguments: object) -> Outcome:
        receiver = self.receiver
        try:
            return await trio.to_thread.run_sync(
                work, receiver.directory, receiver.files, *arguments
            )
        except (OSError, sqlite3.Error) as error:
            raise unavailable(error) from error

    def version(self) -> int:
        """Another number than before when anything was committed since, in whichever process.
        Raises UNAVAILABLE (503)."""
        try:
            return int(self._point_reader.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def published_size(self, digest: Digest) -> int | None:
        """The size of the blob's file, if there is one; blocks for one look."""
        return self.receiver.files.regular_size(self.receiver.directory.blob(digest))

    def space(self) -> Space:
        """Free space now; blocks for one look at the file system. Raises UNAVAILABLE (503)."""
        files, directory = self.receiver.files, self.receiver.directory
        try:
            return Space(files.free_bytes(directory.root), self.settings.reserve_bytes)
        except OSError as error:
            raise unavailable(error) from error

    def require_space(self, size: int = 0) -> None:
        """Raise UNAVAILABLE (507) when the disk is below the reserve, or would be with so many
        bytes more."""
        if not self.space().has_room_for(size):
            raise disk_full()

    @property
    def broken(self) -> str | None:
        """Why nothing can be written until a restart, if that is so."""
        return self._writer.broken

    @property
    def waiting_steps(self) -> int:
        """Steps that wait for the writer."""
        return self._writer.waiting

    def database_bytes(self) -> int:
        """Size of the database with its log; blocks for two looks at the file system."""
        files, path = self.receiver.files, self.receiver.directory.database
        return sum(files.regular_size(name) or 0 for name in (path, f"{path}-wal"))


@asynccontextmanager
async def open_storage(
    settings: StorageSettings,
    files: Files | None = None,
    now: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Storage]:
    """The storage in a data directory, made where it is not there yet, for a process alone.

    Raises OperatorError when the directory is another instance's, of a later format, or unusable.
    """
    lock = await trio.to_thread.run_sync(take_instance_lock, DataDirectory(settings.root))
    try:
        async with begin_storage(settings, files, now) as storage:
            yield storage
    finally:
        os.close(lock)


@asynccontextmanager
async def begin_storage(
    settings: StorageSettings,
    files: Files | None = None,
    now: Callable[[], float] = time.monotonic,
    *,
    is_alone: bool = True,
) -> AsyncIterator[Storage]:
    """The first process of an instance whose lock is held: makes what lacks and looks at what an
    earlier instance left, before any other process joins; none does where it `is_alone`.

    Raises OperatorError.
    """
    files = files or Files()
    directory = DataDirectory(settings.root)
    try:
        await trio.to_thread.run_sync(prepare, directory, files)
        await trio.to_thread.run_sync(partial(begin_instance, directory, is_alone=is_alone))
    except (OSError, sqlite3.Error) as error:
        raise refused(settings.root, error) from error
    async with join_storage(settings, files, now, is_alone=is_alone) as storage:
        try:
            found = await trio.to_thread.run_sync(recovery.scan_sessions, directory, files)
        except OSError as error:
            raise refused(directory.uploads, error) from error
        for session in found.resumable:
            await storage.sessions.adopt(session)
        await trio.to_thread.run_sync(storage.ballast.restore, settings.reserve_bytes)
        yield replace(storage, interrupted=found.interrupted)


@asynccontextmanager
async def join_storage(
    settings: StorageSettings,
    files: Files | None = None,
    now: Callable[[], float] = time.monotonic,
    processes: int = 1,
    *,
    is_alone: bool = False,
) -> AsyncIterator[Storage]:
    """The storage of an instance that has begun, for one of so many processes.

    Raises OperatorError when it cannot be opened.
    """
    files = files or Files()
    directory = DataDirectory(settings.root)
    ballast = Ballast(files, directory.ballast, settings.ballast_bytes)
    me = uuid.uuid4().hex
    spares = Spares(files, directory.processes / me)
    writer = Writer(directory, files, spares, ballast)
    readers: list[sqlite3.Connection] = []
    shared: Shared | None = None
    try:
        try:
            await trio.to_thread.run_sync(writer.start)
            shared = Shared(directory, me, is_alone=is_alone)
            waits = [READER_BUSY_SECS_MAX] * READER_THREADS
            readers += [open_reader(directory.database, timeout_secs=secs) for secs in (*waits, 0)]
        except (OSError, sqlite3.Error) as error:
            raise refused(settings.root, error) from error
        yield Storage(
            settings=settings,
            receiver=Receiver(
                directory,
                files,
                Sessions(directory, spares, files, shared, now),
                settings.reserve_bytes,
                UPLOAD_BUDGET_BYTES // processes,
            ),
            bodies=BodyCache(BODY_CACHE_BYTES_MAX // processes),
            ballast=ballast,
            interrupted=(),
            shared=shared,
            stats=Stats(directory, files),
            _writer=writer,
            _point_reader=readers[-1],
            _readers=readers[:-1],
        )
    finally:
        # The writer is the last to close, since that folds the log into the database.
        for rows in readers:
            rows.close()
        with trio.CancelScope(shield=True) as scope:
            scope.deadline = trio.current_time() + 2 * WRITER_STOP_SECS_MAX
            await trio.to_thread.run_sync(writer.stop)
            await trio.to_thread.run_sync(spares.close)
        if shared is not None:
            shared.close()
