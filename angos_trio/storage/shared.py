"""What the processes of one instance know together, and no restart needs.

Where several processes are one registry: rows in an SQLite file of their own, `shared.db`, which is
made anew at each start and never synced: it costs no commit, every process sees a change at once,
and one that is killed in the middle of a change leaves nothing half done. It has a rollback
journal: a write-ahead log's index is mapped into memory, and whoever writes to a mapped page of a
disk that broke is killed (SIGBUS).

A process that is alone has the same rows in its memory: a blob changes them five times, and in a
file that is more system calls than all the rest of a small push.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import trio

from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.storage import COUNTER_FILE_BYTES, SHARED_BUSY_SECS_MAX
from angos_trio.storage.connections import is_busy, unavailable
from angos_trio.storage.directory import DataDirectory, is_locked
from angos_trio.storage.transactions import Rows

Outcome = TypeVar("Outcome")

_SCHEMA: Final = """
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    owner TEXT NOT NULL,
    limit_key TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    algorithm TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',
    holder TEXT,
    is_wanted INTEGER NOT NULL DEFAULT 0,
    active_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX uploads_by_limit_key ON uploads (limit_key);
CREATE INDEX uploads_by_holder ON uploads (holder);
CREATE TABLE services (
    name TEXT PRIMARY KEY,
    problem TEXT,
    failures INTEGER NOT NULL DEFAULT 0,
    seen_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE tasks (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL DEFAULT 1,
    state TEXT NOT NULL DEFAULT 'wanted',
    options TEXT NOT NULL,
    wanted_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE TABLE browser_sessions (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    bearer TEXT NOT NULL,
    fingerprint TEXT,
    begun_at INTEGER NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX browser_sessions_by_owner ON browser_sessions (owner, begun_at);
CREATE INDEX browser_sessions_by_begin ON browser_sessions (begun_at);
CREATE TABLE fills (
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    holder TEXT NOT NULL,
    session TEXT,
    size INTEGER,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    secret BLOB NOT NULL
) WITHOUT ROWID;
"""
_SECRET_BYTES: Final = 32


def begin_instance(directory: DataDirectory, *, is_alone: bool) -> None:
    """Forget what an earlier instance knew; the caller holds the instance lock. Blocks."""
    for name in ("shared.db", "shared.db-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory.root / name)
    if not is_alone:
        os.close(os.open(directory.shared_database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        rows = _open(directory.shared_database, timeout_secs=SHARED_BUSY_SECS_MAX)
        try:
            _fill(rows)
        finally:
            rows.close()
    directory.processes.mkdir(mode=0o750, exist_ok=True)
    for path in directory.processes.iterdir():
        path.unlink()


def _fill(rows: sqlite3.Connection) -> None:
    rows.executescript(_SCHEMA)
    secret = secrets.token_bytes(_SECRET_BYTES)
    rows.execute("INSERT INTO secrets (name, secret) VALUES ('instance', ?)", (secret,))


def make_counter_files(directory: DataDirectory, names: Sequence[str]) -> None:
    """Files of zeros that processes map into memory to count in; blocks. Raises OperatorError.

    On the disk are only names. The files are in memory, open here and in every process that is
    forked from here: a full or broken disk would end a process that writes to a mapped page of it.
    """
    try:
        shutil.rmtree(directory.metrics, ignore_errors=True)
        directory.metrics.mkdir(mode=0o750)
        for name in names:
            descriptor = os.memfd_create(name)
            os.ftruncate(descriptor, COUNTER_FILE_BYTES)
            os.symlink(f"/proc/self/fd/{descriptor}", directory.metrics / name)
    except OSError as error:
        raise OperatorError(f"{directory.metrics}: {cause_and_cure(error)}") from error


def clear_counter_file(directory: DataDirectory, name: str) -> None:
    """Nothing is counted in it any more; blocks."""
    with open(directory.metrics / name, "r+b") as file:
        file.write(bytes(8))  # how much of the file is used


def _open(path: Path, *, timeout_secs: float) -> sqlite3.Connection:
    rows = sqlite3.connect(
        path, timeout=timeout_secs, isolation_level=None, check_same_thread=False
    )
    rows.execute("PRAGMA synchronous = OFF")
    rows.execute("PRAGMA journal_mode = PERSIST")
    return rows


def _open_in_memory() -> sqlite3.Connection:
    rows = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _fill(rows)
    return rows


class Shared:
    """This process's way to the shared rows, and its sign of life.

    `me` names this process among those of the instance, and no other before or after it. `secret`
    are 32 random bytes that all of them know, and no instance before or after this one. Work is
    one statement, or reads: what waits for another process is run again from its beginning.
    """

    def __init__(self, directory: DataDirectory, me: str, *, is_alone: bool = False) -> None:
        self.me = me
        self._directory = directory
        if is_alone:
            self._at_once = self._patient = _open_in_memory()
        else:
            path = directory.shared_database
            self._at_once = _open(path, timeout_secs=SHARED_BUSY_SECS_MAX)
            self._at_once.execute("PRAGMA busy_timeout = 0")
            self._patient = _open(path, timeout_secs=SHARED_BUSY_SECS_MAX)
        self._turn = threading.Lock()
        self._turn_at_once = self._turn if is_alone else threading.Lock()
        found = self._patient.execute("SELECT secret FROM secrets WHERE name = 'instance'")
        self.secret: bytes = found.fetchone()[0]
        self._sign = self._make_sign()

    def _make_sign(self) -> int:
        """Locked before it has its name: nobody finds it unlocked while this process lives."""
        path = self._sign_of(self.me)
        unnamed = path.with_suffix(".new")
        descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.rename(unnamed, path)
        return descriptor

    def close(self) -> None:
        """Give the sign of life back; what a disk refuses to remove, a later start removes."""
        self._at_once.close()
        self._patient.close()
        with contextlib.suppress(OSError):
            os.unlink(self._sign_of(self.me))
        os.close(self._sign)

    async def run(self, work: Callable[[Rows], Outcome]) -> Outcome:
        """Work on the rows at once, or in a thread when somebody else is in the way.

        Raises UNAVAILABLE (503, 507) when SQLite refuses.
        """
        if self._turn_at_once.acquire(blocking=False):
            try:
                return work(self._at_once)
            except sqlite3.Error as error:
                if not is_busy(error):
                    raise unavailable(error) from error
            finally:
                self._turn_at_once.release()
        return await trio.to_thread.run_sync(self.run_blocking, work)

    def run_blocking(self, work: Callable[[Rows], Outcome]) -> Outcome:
        """The same for a thread that may wait."""
        with self._turn:
            try:
                return work(self._patient)
            except sqlite3.Error as error:
                raise unavailable(error) from error

    def is_alive(self, process: str) -> bool:
        """Whether the process of that name runs; its lock goes with it, however it ends."""
        return process == self.me or is_locked(self._sign_of(process))

    def bury(self, process: str) -> None:
        """Remove what a dead process left beside its sign of life, and that."""
        sign = self._sign_of(process)
        for path in (*sign.parent.glob(f"{process}.*"), sign):
            path.unlink(missing_ok=True)

    def processes(self) -> list[str]:
        """Every process that has a sign of life here, dead ones included; blocks."""
        return [name for name in os.listdir(self._directory.processes) if "." not in name]

    def _sign_of(self, process: str) -> Path:
        return self._directory.processes / process
