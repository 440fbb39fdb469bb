"""Pulls, their counts and times: an SQLite file of their own, `stats.db`, which can be lost.

Any process of the instance works on it, for a moment and under a lock of its own, so that no pull
waits for the write lock. Under that lock SQLite needs no memory that is shared: a mapped page of a
disk that broke would end the process. What is damaged or of a later version is made anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import TypeVar

import trio

from angos_trio import locks
from angos_trio.limits.storage import STATS_POLL_SECS, STATS_WAIT_SECS_MAX
from angos_trio.records import Frozen
from angos_trio.storage.connections import is_lost, unavailable
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.metadata import stats_schema
from angos_trio.storage.transactions import Rows
from angos_trio.telemetry.log import logger

_log = logger("storage.stats")
Outcome = TypeVar("Outcome")


class Stats(Frozen):
    """The way to the rows of `storage.metadata.pulls` and `pull_history`."""

    directory: DataDirectory
    files: Files

    async def run(self, work: Callable[[Rows], Outcome]) -> Outcome:
        """Work on the rows in one transaction, in a thread. Raises UNAVAILABLE (503, 507)."""
        return await trio.to_thread.run_sync(self.run_blocking, work)

    def run_blocking(self, work: Callable[[Rows], Outcome]) -> Outcome:
        """The same for a thread that may wait, which it does for some seconds at most."""
        try:
            with stats_lock(self.directory, self.files):
                try:
                    return self._run(work)
                except sqlite3.Error as error:
                    if not is_lost(error):
                        raise
                    _log.warning("stats.damaged", error=str(error))
                self._remove()
                return self._run(work)
        except (OSError, sqlite3.Error) as error:
            raise unavailable(error) from error

    def _run(self, work: Callable[[Rows], Outcome]) -> Outcome:
        self.files.reached("stats.open")
        with contextlib.closing(self._open()) as rows:
            rows.execute("BEGIN IMMEDIATE")
            outcome = work(rows)
            rows.execute("COMMIT")
        return outcome

    def _open(self) -> sqlite3.Connection:
        path = self.directory.stats_database
        self.files.open_private(path)
        rows = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            rows.execute("PRAGMA locking_mode = EXCLUSIVE")
            rows.execute("PRAGMA journal_mode = WAL")
            rows.execute("PRAGMA synchronous = NORMAL")
            if not stats_schema.make_usable(rows):
                raise sqlite3.NotSupportedError("of another version")
        except BaseException:
            rows.close()
            raise
        return rows

    def _remove(self) -> None:
        path = self.directory.stats_database
        for name in (path, f"{path}-wal", f"{path}-shm"):
            self.files.remove(name)


@contextlib.contextmanager
def stats_lock(directory: DataDirectory, files: Files) -> Iterator[None]:
    """Nobody else works on the rows meanwhile. Blocks, for some seconds at most. Raises OSError."""
    descriptor = files.open_to_append(directory.stats_lock)
    try:
        try:
            locks.wait_for(descriptor, STATS_WAIT_SECS_MAX, STATS_POLL_SECS)
        except TimeoutError:
            raise TimeoutError("another process works on stats.db for too long") from None
        yield
    finally:
        os.close(descriptor)
