"""The databases of a backup: taken from a snapshot, looked at, brought back. All of it blocks."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from angos_trio.errors import OperatorError
from angos_trio.limits.housekeeping import BACKUP_BYTES, COLLECT_ROWS
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from angos_trio.storage.backup_files import link_file, new_file
from angos_trio.storage.backup_place import BackupPlace, BackupRecord, DatabaseFile
from angos_trio.storage.connections import open_copy, open_writer, schema_version
from angos_trio.storage.directory import (
    DataDirectory,
    make_places,
    take_instance_lock,
    write_format,
)
from angos_trio.storage.files import Files
from angos_trio.storage.metadata import backups, leases, pulls
from angos_trio.storage.snapshots import METADATA, STATS, Snapshot, stamp
from angos_trio.storage.stats import Stats
from angos_trio.storage.transactions import Rows


def take_databases(
    directory: DataDirectory, snapshot: Snapshot, place: BackupPlace, files: Files
) -> dict[str, DatabaseFile]:
    """Take the copies of a snapshot into a backup, beside those of an earlier one. Raises OSError.

    Where they can be linked they take no space twice: the registry forgets its own name of them.
    """
    taken = {}
    for database in snapshot.databases:
        source = snapshot.path(directory, database)
        target = place.root / f"{database}-{stamp(snapshot.taken_at)}-{snapshot.id[:8]}.db"
        if link_file(files, source, target):
            taken[database] = DatabaseFile(target.name, *_summed(target))
        else:
            taken[database] = _copy(files, source, target)
    files.sync_directory(place.root)
    return taken


def database_problem(place: BackupPlace, database: str, file: DatabaseFile) -> str | None:
    """What is wrong with a copy of a database; None when it is sound. Reads all of it."""
    path = place.root / file.name
    try:
        if _summed(path) != (file.bytes, file.sha256):
            return "is not what was written"
        with opened_copy(place, file) as rows:
            return backups.problem(rows) if database == METADATA else None
    except FileNotFoundError:
        return "is not there"
    except (OSError, OperatorError) as error:
        return f"cannot be read: {error}"


@contextmanager
def opened_copy(place: BackupPlace, file: DatabaseFile) -> Iterator[Rows]:
    """A copy of a database, to be read. Raises OperatorError, also for one of a later version."""
    path = place.root / file.name
    try:
        rows = open_copy(path)
        try:
            found, known = backups.version(rows), schema_version()
            if file.name.startswith(METADATA) and found > known:
                raise OperatorError(f"{path}: schema version {found}; this version knows {known}")
            yield rows
        finally:
            rows.close()
    except sqlite3.Error as error:
        raise OperatorError(f"{path}: {error}") from error


@contextmanager
def empty_target(target: DataDirectory, files: Files) -> Iterator[None]:
    """A directory that is empty, absent, or was being restored into, and ours for the length of
    the block. Raises OperatorError when it is something else."""
    _require_empty(target)
    lock = take_instance_lock(target)
    try:
        _require_empty(target)
        if not target.unfinished_restore.exists():
            files.open_private(target.unfinished_restore)
            files.sync_directory(target.root)
        yield
    finally:
        os.close(lock)


def _require_empty(target: DataDirectory) -> None:
    try:
        names = set(os.listdir(target.root)) - {"lost+found"}
        owner = os.stat(target.root).st_uid
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise OperatorError(f"{target.root}: not a directory") from None
    is_unfinished = target.unfinished_restore.name in names
    has_format = target.format_file.name in names
    if has_format or (names - {target.instance_lock.name} and not is_unfinished):
        raise OperatorError(f"{target.root}: is not empty; a backup is restored into an empty one")
    if owner != os.geteuid():
        raise OperatorError(
            f"{target.root}: belongs to the user with the number {owner}; run this command as that "
            "user"
        )


def begin_target(
    place: BackupPlace, record: BackupRecord, target: DataDirectory, files: Files
) -> None:
    """Make the directories of the target and bring the databases. Raises OSError."""
    make_places(target, files)
    paths = {METADATA: target.database, STATS: target.stats_database}
    for database, file in record.databases.items():
        path = paths[database]
        for left in (path, f"{path}-wal", f"{path}-shm"):
            files.remove(left)
        if _copy(files, place.root / file.name, path).sha256 != file.sha256:
            raise OperatorError(f"{place.root / file.name}: changed while it was read")
    if STATS in record.databases:
        _forget_tracking(target, files)


def _forget_tracking(target: DataDirectory, files: Files) -> None:
    """Pulls since the backup are not in its pull times: nobody may take that for no pulls."""
    try:
        Stats(target, files).run_blocking(pulls.end)
    except OciError as error:
        raise OperatorError(f"{target.stats_database}: {error.__cause__ or error}") from error


@contextmanager
def opened_target(target: DataDirectory) -> Iterator[Rows]:
    """The database of a target, to be written to. Raises OperatorError."""
    try:
        rows = open_writer(target.database)
        try:
            yield rows
        finally:
            rows.close()
    except sqlite3.Error as error:
        raise OperatorError(f"{target.database}: {error}") from error


def set_states(rows: Rows, found: Iterable[Digest], lost: Iterable[Digest]) -> None:
    """Say in a target's database which blobs are there and which are not. Raises sqlite3.Error."""
    rows.execute("BEGIN IMMEDIATE")
    backups.set_states(rows, present=found, missing=lost)
    rows.execute("COMMIT")


def extend_leases(rows: Rows, lease_until: int) -> None:
    """Let no lease of a target's database end before a time, in epoch seconds. Raises
    sqlite3.Error."""
    extended = COLLECT_ROWS
    while extended:
        rows.execute("BEGIN IMMEDIATE")
        extended = leases.extend(rows, lease_until, COLLECT_ROWS)
        rows.execute("COMMIT")


def finish_target(record: BackupRecord, target: DataDirectory, files: Files) -> None:
    """Make the target a data directory: from here on it may be served. Raises OSError."""
    for database in (target.database, target.stats_database):
        if files.regular_size(database) is not None:
            _sync(files, database)
    files.sync_directory(target.root)
    files.reached("restore.before")
    write_format(target, files, record.instance)
    files.reached("restore.after")
    files.remove(target.unfinished_restore)
    files.sync_directory(target.root)


def _copy(files: Files, source: Path, target: Path) -> DatabaseFile:
    """Copy a file, synced; what it holds."""
    hasher, offset = hashlib.sha256(), 0
    reader = files.open_to_read(source)
    try:
        with new_file(files, target) as writer:
            while part := os.pread(reader, BACKUP_BYTES, offset):
                hasher.update(part)
                files.write_at(writer, part, offset)
                offset += len(part)
            files.truncate(writer, offset)
    finally:
        os.close(reader)
    return DatabaseFile(target.name, offset, hasher.hexdigest())


def _summed(path: Path) -> tuple[int, str]:
    hasher, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(BACKUP_BYTES):
            hasher.update(part)
            size += len(part)
    return size, hasher.hexdigest()


def _sync(files: Files, path: Path) -> None:
    descriptor = files.open_to_append(path)
    try:
        files.sync(descriptor)
    finally:
        os.close(descriptor)
