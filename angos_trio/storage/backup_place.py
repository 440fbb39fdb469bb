"""A directory with a backup: its layout, its record and the lock that keeps two apart.

The record names the copies of the databases that belong together, and putting another record in its
place is the one step by which a new backup takes the place of an earlier one.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.housekeeping import BACKUP_RECORD_BYTES_MAX
from angos_trio.oci.digest import Digest
from angos_trio.records import Frozen, asdict
from angos_trio.storage.files import Files
from angos_trio.storage.snapshots import METADATA

FORMAT: Final = 1
_OURS: Final = frozenset({"backup.lock", "backup.json.tmp", "blobs", "staging"})
_NAME = re.compile(r"(metadata|stats)-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\.db(\.tmp)?", re.ASCII)


class DatabaseFile(Frozen):
    """A copy of a database: its name beside the record, its size and the SHA-256 of its bytes."""

    name: str
    bytes: int
    sha256: str


class BackupRecord(Frozen):
    """`backup.json`. Times are epoch seconds; `bytes` are those of the blobs; `damaged` counts the
    blobs that could not be taken, since the registry had lost them."""

    format: int
    instance: str
    version: str
    created_at: int
    databases: Mapping[str, DatabaseFile]
    namespaces: int
    manifests: int
    tags: int
    blobs: int
    bytes: int
    damaged: int


class BackupPlace(Frozen):
    """Where things are."""

    root: Path

    @property
    def record(self) -> Path:
        """What is there, and which files it is made of."""
        return self.root / "backup.json"

    @property
    def lock(self) -> Path:
        """Held by who writes a backup, and shared by those who read it."""
        return self.root / "backup.lock"

    @property
    def staging(self) -> Path:
        """Files that are being copied."""
        return self.root / "staging"

    def blob_directory(self, prefix: str) -> Path:
        """The directory of the blobs whose digest begins so: `sha256:ab`."""
        algorithm, _, start = prefix.partition(":")
        return self.root / "blobs" / algorithm / start

    def blob(self, digest: Digest) -> Path:
        """A blob's file."""
        return self.root / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex


def decode_record(content: bytes) -> BackupRecord:
    """The record of a backup. Raises OperatorError for one that cannot be read."""
    try:
        found = json.loads(content)
        if isinstance(found, dict) and found.get("format", FORMAT) != FORMAT:
            raise OperatorError(
                f"written in format {found['format']!a}; this version reads format {FORMAT}"
            )
        databases = {name: _struct(DatabaseFile, each) for name, each in found["databases"].items()}
        record: BackupRecord = _struct(BackupRecord, {**found, "databases": databases})
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise OperatorError(f"not the record of a backup: {error}") from None
    for database, file in databases.items():
        match = _NAME.fullmatch(file.name)
        if match is None or match[1] != database or match[2]:
            raise OperatorError(f"not the record of a backup: a file called {file.name!a}")
    if METADATA not in databases:
        raise OperatorError("not the record of a backup: it names no database")
    return record


def encode_record(record: BackupRecord) -> bytes:
    """The content of `backup.json`."""
    return json.dumps(asdict(record), indent=2).encode() + b"\n"


def _struct(kind: type[Any], found: Mapping[str, Any]) -> Any:
    """A record. Raises ValueError, LookupError, TypeError."""
    for name, wanted in kind.__annotations__.items():
        value = found[name]
        is_count = type(value) is int and value >= 0
        if (wanted == "int" and not is_count) or (wanted == "str" and not isinstance(value, str)):
            raise ValueError(f"{name} is {value!a}")
    return kind(**found)


def read_record(place: BackupPlace) -> BackupRecord | None:
    """What is in a place; None when no backup is. Raises OperatorError."""
    try:
        with place.record.open("rb") as file:
            content = file.read(BACKUP_RECORD_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(f"{place.record}: {cause_and_cure(error)}") from error
    if len(content) > BACKUP_RECORD_BYTES_MAX:
        raise OperatorError(f"{place.record}: not the record of a backup: too large")
    try:
        return decode_record(content)
    except OperatorError as error:
        raise OperatorError(f"{place.record}: {error}") from None


def write_record(place: BackupPlace, files: Files, record: BackupRecord) -> None:
    """Let what the record names be the backup. Raises OSError."""
    files.replace(place.record, encode_record(record), sync=True)


@contextmanager
def locked_to_write(place: BackupPlace, files: Files) -> Iterator[BackupRecord | None]:
    """The place for whoever makes a backup in it, made where it is not there; what is in it now.

    Raises OperatorError when it is in use, or holds what is no backup; OSError.
    """
    place.root.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if not place.root.exists():
        files.make_directory(place.root)
        files.sync_directory(place.root.parent)
    _require_ours(place)
    files.open_private(place.lock)  # it says whose the directory is, also before there is a record
    descriptor = os.open(place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(place, descriptor, fcntl.LOCK_EX)
        yield read_record(place)
    finally:
        os.close(descriptor)


@contextmanager
def locked_to_read(place: BackupPlace) -> Iterator[BackupRecord]:
    """The backup in a place, for whoever reads it. Raises OperatorError; OSError."""
    try:
        os.stat(place.lock)
        descriptor = os.open(place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise OperatorError(f"{place.root}: there is no backup") from None
    try:
        _lock(place, descriptor, fcntl.LOCK_SH)
        record = read_record(place)
        if record is None:
            raise OperatorError(f"{place.root}: there is no backup; making one has not ended yet")
        yield record
    finally:
        os.close(descriptor)


def _lock(place: BackupPlace, descriptor: int, kind: int) -> None:
    """The directory itself is locked: a copy of it by hard links has files in common with it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OperatorError(f"{place.root}: another command works on this backup") from None


def _require_ours(place: BackupPlace) -> None:
    """Nothing is changed in a directory that has something else in it."""
    names = set(os.listdir(place.root))
    if "backup.json" in names or not names - {"lost+found"}:
        return
    if "backup.lock" not in names or not all(
        name in _OURS or _NAME.fullmatch(name) for name in names - {"lost+found"}
    ):
        raise OperatorError(f"{place.root}: is not empty and holds no backup")


def clear_leftovers(place: BackupPlace, files: Files) -> None:
    """Remove what backups that did not come to their end left, and the databases that the record
    does not name. Blocks. Raises OSError, OperatorError.

    Blobs stay: those that are not named any more go when a new backup is complete.
    """
    record = read_record(place)
    files.make_directory(place.staging)
    for name in os.listdir(place.staging):
        files.remove(place.staging / name)
    named = set() if record is None else {file.name for file in record.databases.values()}
    for name in os.listdir(place.root):
        if _NAME.fullmatch(name) and name not in named:
            files.remove(place.root / name)
