"""The one writer: steps that have gathered run in one transaction and are committed once.

Group commit costs one sync for many callers. Each step has a savepoint of its own, so that a
refusal (an OciError) undoes that step alone. A caller who stops waiting gets no answer, but the
step completes; that is why a step is a plain function that knows nothing of its caller.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trio

from angos_trio.limits.storage import (
    BATCH_STEPS_MAX,
    CHECKPOINT_WAIT_MSECS,
    WAITING_STEPS_MAX,
    WAL_BYTES_MAX,
    WRITE_SECS_MAX,
    WRITER_BUSY_MSECS,
    WRITER_STOP_SECS_MAX,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.records import Mutable, field
from angos_trio.storage.ballast import Ballast
from angos_trio.storage.connections import (
    ends_batch,
    is_damage,
    is_full,
    keep_undo_in_memory,
    migrate,
    open_writer,
    refused,
    unavailable,
)
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files, Standing
from angos_trio.storage.spares import Spares
from angos_trio.storage.transactions import Mark, Outcome, Step, Transaction

Settled = Callable[[BaseException | None], None]


class _Waiting(Mutable, eq=False):
    """A step and the place where its caller waits for what came of it."""

    step: Step[Any]
    token: trio.lowlevel.TrioToken
    settled: Settled | None
    makes_room: bool
    done: trio.Event = field(default_factory=trio.Event)
    outcome: Any = None
    error: BaseException | None = None


class OutcomeUnknownError(OciError):
    """The step was not run in time; it may still be. Nothing that it uses may be touched."""

    def __init__(self) -> None:
        super().__init__(
            Code.UNAVAILABLE, status=503, message="the change is taking long; ask again"
        )


class Writer:
    """Owns the writing connection, the write lock's descriptor and the thread that uses them."""

    def __init__(
        self, directory: DataDirectory, files: Files, spares: Spares, ballast: Ballast
    ) -> None:
        self._directory = directory
        self._files = files
        self._spares = spares
        self._ballast = ballast
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._lock = -1
        self._rows: sqlite3.Connection | None = None
        self._is_log_read = False
        """Whether somebody read it when it was last to be folded in."""
        self.broken: str | None = None
        """Why nothing is written until a restart; None while all is well."""

    def start(self) -> None:
        """Open the database, bring its schema up to date and begin to take steps."""
        path = self._directory.database
        self._lock = os.open(
            self._directory.write_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._rows = open_writer(path)
            migrate(self._rows, path)
            keep_undo_in_memory(self._rows)
        except sqlite3.Error as error:
            raise refused(path, error) from error
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._thread.start()

    def stop(self) -> None:
        """Let the thread finish what is queued, then close; blocks for 20 s at most."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(WRITER_STOP_SECS_MAX)
        if self._rows is not None and not self._thread.is_alive():
            self._rows.close()
        if self._lock >= 0:
            os.close(self._lock)

    @property
    def waiting(self) -> int:
        """How many steps wait to be run."""
        return self._queue.qsize()

    async def write(
        self, step: Step[Outcome], settled: Settled | None = None, *, makes_room: bool = False
    ) -> Outcome:
        """Run the step and return its outcome once it is durable.

        For one that `makes_room`, a delete, the ballast is given up on a full disk.

        `settled` is called in a thread with the error, or None, when the outcome is known and
        before the caller learns it: also when the caller has been cancelled or stopped waiting.

        Raises what the step raised; OciError UNAVAILABLE when it could not be committed, or when
        30 s have passed: then the outcome is unknown and must not be reported as undone.
        """
        refusal = self._refusal()
        if refusal is not None:
            if settled is not None:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(settled, refusal)
            raise refusal
        waiting = _Waiting(step, trio.lowlevel.current_trio_token(), settled, makes_room)
        self._queue.put(waiting)
        with trio.move_on_after(WRITE_SECS_MAX):
            await waiting.done.wait()
        if not waiting.done.is_set():
            raise OutcomeUnknownError
        if waiting.error is not None:
            raise waiting.error
        outcome: Outcome = waiting.outcome
        return outcome

    def _refusal(self) -> OciError | None:
        """Why a step is not even queued."""
        if self.broken is not None:
            return OciError(Code.UNAVAILABLE, status=503, message="storage is read-only")
        if self._queue.qsize() >= WAITING_STEPS_MAX:
            return OciError(Code.UNAVAILABLE, status=503, message="too many changes are waiting")
        return None

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            try:
                self._commit(batch)
            except Exception as error:
                # Unforeseen: what is durable cannot be told, so nothing is written any more.
                self.broken = f"{type(error).__name__}: {error}"
                _refuse(batch, error)
            for waiting in batch:
                if waiting.settled is not None:
                    waiting.settled(waiting.error)
            _deliver(batch)

    def _gather(self, batch: list[_Waiting]) -> None:
        """Add what has come meanwhile."""
        while len(batch) < BATCH_STEPS_MAX:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                return
            if following is None:
                self._queue.put(None)
                return
            batch.append(following)

    def _commit(self, batch: list[_Waiting]) -> None:
        """Commit the batch and what has joined it by the time that the lock is this process's."""
        leftovers: list[str] = []
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._gather(batch)
            if self._attempt(batch, leftovers):
                self._truncate_wal()
            else:
                for waiting in batch:
                    self._attempt_alone(waiting, leftovers)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._give_back(leftovers)

    def _attempt_alone(self, waiting: _Waiting, leftovers: list[str]) -> None:
        """Once more after a full disk undid its batch. Only what makes room may use the ballast:
        what a push would fill with it is missing for the delete that comes next."""
        waiting.error = None
        if not self._attempt([waiting], leftovers) and waiting.makes_room:
            self._ballast.release()
            waiting.error = None
            self._attempt([waiting], leftovers)

    def _give_back(self, leftovers: Iterable[str]) -> None:
        """What the commit made superfluous. A failure costs only space."""
        for path in leftovers:
            with contextlib.suppress(OSError):
                self._spares.give_back(path)

    def _attempt(self, batch: list[_Waiting], leftovers: list[str]) -> bool:
        """Run and commit; False when a full disk undid it all, and each may be tried alone.

        What a commit made superfluous is added to `leftovers`.
        """
        rows = self._rows
        if rows is None or self.broken is not None:
            _refuse(batch, PermissionError("read-only"))
            return True
        transaction = Transaction(rows, self._directory, self._files)
        try:
            rows.execute("BEGIN IMMEDIATE")
            for waiting in batch:
                _run_step(transaction, waiting)
            transaction.sync_directories()
            self._files.reached("commit.before")
            rows.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._undo(rows, error)
            _refuse(batch, error)
            return not is_full(error)
        self._files.reached("commit.after")
        leftovers += transaction.leftovers
        self._discard(transaction.doomed)
        self._set_aside(transaction.set_aside)
        return True

    def _discard(self, doomed: Iterable[Digest]) -> None:
        """Under the lock still: nobody publishes a blob of this name before it is out of the way.

        What the disk refuses to move stays in `reclaims`, and is tried again.
        """
        for digest in doomed:
            self._files.reached("discard.before")
            with contextlib.suppress(OSError):
                self._files.move(self._directory.blob(digest), self._directory.trashed(digest))
            self._files.reached("discard.after")

    def _set_aside(self, paths: Mapping[str, Standing]) -> None:
        """Into the quarantine, unless something else stands there by now. A refusal of the disk
        leaves it where it is, for the next scrub."""
        for path, standing in paths.items():
            self._files.reached("quarantine.before")
            with contextlib.suppress(OSError):
                if self._files.look(path) == standing:
                    self._files.make_directory(self._directory.quarantine)
                    name = os.path.basename(path)
                    self._files.move(path, self._directory.quarantined(name))
            self._files.reached("quarantine.after")

    def _undo(self, rows: sqlite3.Connection, error: Exception) -> None:
        """Leave no transaction open; an I/O error on the way makes the process read-only."""
        if is_damage(error):
            self.broken = f"{type(error).__name__}: {error}"
        if rows.in_transaction:
            try:
                rows.execute("ROLLBACK")
            except sqlite3.Error as second:
                self.broken = f"rollback failed: {second}"

    def _truncate_wal(self) -> None:
        """Under the lock: fold the log into the database when it has grown past 64 MiB."""
        log = f"{self._directory.database}-wal"
        try:
            if self._rows is None or (self._files.regular_size(log) or 0) <= WAL_BYTES_MAX:
                return
            # A copy of the database reads the log for seconds, and commits do not wait for it: the
            # first try waits for a moment, those after later commits not at all.
            wait_msecs = 0 if self._is_log_read else CHECKPOINT_WAIT_MSECS
            self._rows.execute(f"PRAGMA busy_timeout = {wait_msecs}")
            try:
                found = self._rows.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._rows.execute(f"PRAGMA busy_timeout = {WRITER_BUSY_MSECS}")
            self._is_log_read = bool(found[0])
        except (sqlite3.Error, OSError):
            # Everything is committed; the log is folded in after a later batch.
            return


def _run_step(transaction: Transaction, waiting: _Waiting) -> None:
    """Run one step in a savepoint; a refusal undoes that step, SQLite's ends the batch."""
    rows = transaction.rows
    rows.execute("SAVEPOINT step")
    mark = transaction.mark()
    try:
        waiting.outcome = waiting.step(transaction)
    except sqlite3.Error as error:
        if not rows.in_transaction or ends_batch(error):
            raise
        _undo_step(transaction, mark)
        waiting.error = error
    except OSError as error:
        if is_full(error):
            raise
        _undo_step(transaction, mark)
        waiting.error = unavailable(error)
    except Exception as error:
        _undo_step(transaction, mark)
        waiting.error = error
    else:
        rows.execute("RELEASE step")


def _undo_step(transaction: Transaction, mark: Mark) -> None:
    transaction.rows.execute("ROLLBACK TO step")
    transaction.rows.execute("RELEASE step")
    transaction.cut_back(mark)


def _refuse(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        waiting.error = unavailable(error)


def _deliver(batch: list[_Waiting]) -> None:
    """Wake the callers with one call into each loop that waits."""
    by_token: dict[trio.lowlevel.TrioToken, list[_Waiting]] = {}
    for waiting in batch:
        by_token.setdefault(waiting.token, []).append(waiting)
    for token, group in by_token.items():
        try:
            token.run_sync_soon(_wake, group)
        except trio.RunFinishedError:
            continue


def _wake(group: list[_Waiting]) -> None:
    for waiting in group:
        waiting.done.set()
