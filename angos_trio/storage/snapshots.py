"""Copies of the databases as they are at one moment, made while the registry serves.

A copy is one file without a log, so that whoever has it can read it on any disk. It is complete
when it has its name: what was being made when a process was killed ends in `.tmp`.
"""

from __future__ import annotations

import os
import re
import sqlite3
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from angos_trio.limits.storage import READER_BUSY_SECS_MAX
from angos_trio.records import Frozen, replace
from angos_trio.storage.connections import disk_full, is_lost, open_reader
from angos_trio.storage.directory import DataDirectory, instance_of
from angos_trio.storage.files import Files
from angos_trio.storage.stats import stats_lock

METADATA: Final = "metadata"
STATS: Final = "stats"
_BACKUP: Final = "backup-"
_TIME: Final = "%Y%m%dT%H%M%SZ"
_KEPT = re.compile(r"metadata-([0-9]{8}T[0-9]{6}Z)\.db", re.ASCII)


class Snapshot(Frozen):
    """Copies of the databases in the data directory, for one backup; times are epoch seconds."""

    id: str
    instance: str
    taken_at: int
    databases: tuple[str, ...]
    """`metadata`, and `stats` if there is one."""

    def path(self, directory: DataDirectory, database: str) -> Path:
        """The copy of a database."""
        return directory.copies / f"{_BACKUP}{self.id}.{database}.db"


def take_snapshot(directory: DataDirectory, files: Files, now: int, reserve_bytes: int) -> Snapshot:
    """Copy the databases for a backup. Blocks. Raises OSError, sqlite3.Error, OperatorError, and
    UNAVAILABLE (507) when the copies would bring the disk below the reserve.

    What earlier backups left is removed: no two are made at the same time.
    """
    for name in _names(directory):
        if name.startswith(_BACKUP):
            files.remove(directory.copies / name)
    sources = {METADATA: directory.database, STATS: directory.stats_database}
    found = {name: path for name, path in sources.items() if files.regular_size(path) is not None}
    _require_space(files, list(found.values()), directory.root, reserve_bytes)
    snapshot = Snapshot(uuid.uuid4().hex, instance_of(directory), now, tuple(found))
    try:
        _copy(directory.database, snapshot.path(directory, METADATA), files)
        if STATS in found and not _copy_stats(directory, files, snapshot):
            snapshot = replace(snapshot, databases=(METADATA,))
    except BaseException:
        drop_snapshot(directory, files, snapshot)
        raise
    return snapshot


def _copy_stats(directory: DataDirectory, files: Files, snapshot: Snapshot) -> bool:
    """Copy the pull times; False when they are no good, which stops no backup."""
    try:
        with stats_lock(directory, files):
            _copy(directory.stats_database, snapshot.path(directory, STATS), files)
    except sqlite3.Error as error:
        if not is_lost(error):
            raise
        return False
    return True


def drop_snapshot(directory: DataDirectory, files: Files, snapshot: Snapshot) -> None:
    """Remove the copies. Blocks. Raises OSError."""
    for name in snapshot.databases:
        files.remove(snapshot.path(directory, name))


def kept_copies(directory: DataDirectory) -> list[int]:
    """When the copies that are kept were made, in epoch seconds, the oldest first. Blocks."""
    found = map(_made_at, _names(directory))
    return sorted(moment for moment in found if moment is not None)


def keep_copy(directory: DataDirectory, files: Files, now: int, reserve_bytes: int) -> None:
    """Make a copy of the database that is kept. Blocks. Raises as `take_snapshot` does."""
    for name in _names(directory):
        if name.startswith(f"{METADATA}-") and name.endswith(".tmp"):
            files.remove(directory.copies / name)
    _require_space(files, [directory.database], directory.root, reserve_bytes)
    _copy(directory.database, _kept(directory, now), files)


def drop_copies(directory: DataDirectory, files: Files, made_at: Sequence[int]) -> None:
    """Remove copies that were kept. Blocks. Raises OSError."""
    for moment in made_at:
        files.remove(_kept(directory, moment))


def _names(directory: DataDirectory) -> list[str]:
    try:
        return os.listdir(directory.copies)
    except FileNotFoundError:
        return []


def _kept(directory: DataDirectory, made_at: int) -> Path:
    return directory.copies / f"metadata-{stamp(made_at)}.db"


def stamp(at: int) -> str:
    """Epoch seconds as a name has them, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):{_TIME}}"


def _made_at(name: str) -> int | None:
    match = _KEPT.fullmatch(name)
    if match is None:
        return None
    try:
        return int(datetime.strptime(match[1], _TIME).replace(tzinfo=UTC).timestamp())
    except ValueError:  # digits that are no date
        return None


def _require_space(files: Files, sources: Sequence[Path], root: Path, reserve_bytes: int) -> None:
    needed = sum(
        files.regular_size(name) or 0 for path in sources for name in (path, f"{path}-wal")
    )
    if files.free_bytes(root) - needed < reserve_bytes:
        raise disk_full()


def _copy(source: Path, target: Path, files: Files) -> None:
    """Copy a database that others write to; their commits go on meanwhile."""
    files.make_directory(target.parent)
    temporary = Path(f"{target}.tmp")
    files.remove(temporary)
    files.open_private(temporary)
    try:
        _copy_rows(source, temporary)
        files.reached("copy.before")
        descriptor = files.open_to_append(temporary)
        try:
            files.sync(descriptor)
        finally:
            os.close(descriptor)
        files.move(temporary, target)
        files.sync_directory(target.parent)
        files.reached("copy.after")
    except BaseException:
        files.remove(temporary)
        raise


def _copy_rows(source: Path, target: Path) -> None:
    reader = open_reader(source, timeout_secs=READER_BUSY_SECS_MAX)
    try:
        copy = sqlite3.connect(target, isolation_level=None)
        try:
            # It is synced once, as a file; one that is torn never gets its name.
            copy.execute("PRAGMA synchronous = OFF")
            copy.execute("PRAGMA journal_mode = OFF")
            reader.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        finally:
            copy.close()
    finally:
        reader.close()
