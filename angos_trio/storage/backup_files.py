"""The files of a backup: taken, looked at and brought back, one directory of blobs after another.

Every function blocks and works on the blobs whose digests begin with one prefix, so that several
threads can do the same side by side. `rows` is a copy of the database that nobody changes.
"""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from angos_trio.limits.housekeeping import BACKUP_BYTES, BACKUP_ROWS
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import ALGORITHMS, Digest, new_hash
from angos_trio.records import Frozen, Mutable, field
from angos_trio.storage.backup_place import BackupPlace
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.metadata import backups
from angos_trio.storage.metadata.backups import Wanted
from angos_trio.storage.transactions import Rows

PREFIXES: Final = tuple(
    f"{algorithm}:{number:02x}" for algorithm in ALGORITHMS for number in range(256)
)
"""Every directory of blobs."""
_NO_LINK: Final = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES}
)
Passed = Callable[[int], None]
"""Told of so many bytes that went by."""


class Taken(Mutable):
    """What became of the blobs of a prefix. `lost`: the registry has them no more, or wrong, and an
    earlier backup has not either."""

    kept: int = 0
    linked: int = 0
    copied: int = 0
    copied_bytes: int = 0
    lost: list[Digest] = field(default_factory=list)


class Looked(Mutable):
    """What was found of the blobs of a prefix: the good ones with their bytes, and why the others
    are not. `found` and `lost` are those of which the database says something else."""

    blobs: int = 0
    bytes: int = 0
    damaged: list[tuple[Digest, str]] = field(default_factory=list)
    found: list[Digest] = field(default_factory=list)
    lost: list[Digest] = field(default_factory=list)


class DamagedError(Exception):
    """A file is not what its name says; the message says what it is."""


def _blobs(rows: Rows, prefix: str) -> Iterator[Wanted]:
    after = ""
    while page := backups.blobs(rows, prefix, after, BACKUP_ROWS):
        yield from page
        after = page[-1].digest


class Taker(Frozen):
    """Takes blobs from a data directory into a backup."""

    source: DataDirectory
    place: BackupPlace
    files: Files
    passed: Passed

    def take(self, rows: Rows, prefix: str) -> Taken:
        """Take all that the backup does not have. Raises OSError."""
        taken = Taken()
        directory = self.place.blob_directory(prefix)
        for wanted in _blobs(rows, prefix):
            if not directory.exists():
                _make_directories(self.files, directory)
            if wanted.is_present:
                self._take(wanted, taken)
        if taken.linked or taken.copied:
            self.files.sync_directory(directory)
        return taken

    def _take(self, wanted: Wanted, taken: Taken) -> None:
        source, target = self.source.blob(wanted.digest), self.place.blob(wanted.digest)
        there = _status(target)
        if there is not None and there.st_size == wanted.size:
            original = _status(source)
            if original is not None and self._replace_by_link(wanted, original, there):
                taken.linked += 1
            else:
                taken.kept += 1
            return
        try:
            self._require_size(source, wanted)
            if there is None and link_file(self.files, source, target):
                taken.linked += 1
                return
            taken.copied_bytes += self._copy(source, target, wanted)
            taken.copied += 1
        except (DamagedError, FileNotFoundError):
            taken.lost.append(wanted.digest)

    def _require_size(self, source: str, wanted: Wanted) -> None:
        found = self.files.regular_size(source)
        if found != wanted.size:
            raise DamagedError(f"{found} bytes instead of {wanted.size}")

    def _replace_by_link(
        self, wanted: Wanted, original: os.stat_result, there: os.stat_result
    ) -> bool:
        """Take the registry's file in the place of another of the same size: a push may have healed
        what was damaged and is damaged here. Its digest is looked at first."""
        is_same = (original.st_dev, original.st_ino) == (there.st_dev, there.st_ino)
        if is_same or original.st_dev != there.st_dev:
            return False
        source = self.source.blob(wanted.digest)
        staged = self.place.staging / uuid.uuid4().hex
        if not link_file(self.files, source, staged):
            return False
        try:
            verify_file(self.files, staged, wanted, self.passed)
            self.files.move(staged, self.place.blob(wanted.digest))
        except DamagedError:
            return False
        finally:
            self.files.remove(staged)
        return True

    def _copy(self, source: str, target: Path, wanted: Wanted) -> int:
        staged = self.place.staging / uuid.uuid4().hex
        copy_file(self.files, source, staged, wanted, self.passed)
        self.files.publish(staged, target)
        return wanted.size


def drop_unnamed(rows: Rows, place: BackupPlace, files: Files, prefix: str) -> int:
    """Remove the blobs of which the database knows nothing; how many. Raises OSError.

    What the registry has lost stays: the backup may have the last copy.
    """
    dropped = 0
    for name in _names(place.blob_directory(prefix)):
        digest = _digest(prefix, name)
        if digest is not None and not backups.is_known(rows, digest):
            files.remove(place.blob(digest))
            dropped += 1
    return dropped


def verify_blobs(
    rows: Rows, place: BackupPlace, files: Files, prefix: str, passed: Passed
) -> Looked:
    """Read every blob that should be there. Raises OSError when the disk cannot be read at all."""
    looked = Looked()
    for wanted in _blobs(rows, prefix):
        if not wanted.is_present:
            continue
        try:
            verify_file(files, place.blob(wanted.digest), wanted, passed)
        except (DamagedError, FileNotFoundError) as error:
            looked.damaged.append((wanted.digest, _reason(error)))
        else:
            looked.blobs += 1
            looked.bytes += wanted.size
    return looked


class Restorer(Frozen):
    """Brings blobs of a backup into a data directory, each with bytes of its own."""

    place: BackupPlace
    target: DataDirectory
    files: Files
    passed: Passed

    def restore(self, rows: Rows, prefix: str) -> Looked:
        """Copy all that are good, also those that the registry had lost. Raises OSError when the
        target refuses."""
        looked = Looked()
        directory: str | None = None
        for wanted in _blobs(rows, prefix):
            source = self.place.blob(wanted.digest)
            staged = self.target.trashed(wanted.digest)
            try:
                copy_file(self.files, source, staged, wanted, self.passed)
            except (DamagedError, FileNotFoundError) as error:
                if wanted.is_present:
                    looked.damaged.append((wanted.digest, _reason(error)))
                    looked.lost.append(wanted.digest)
                continue
            self.files.publish(staged, self.target.blob(wanted.digest))
            directory = self.target.blob_directory(wanted.digest)
            looked.blobs += 1
            looked.bytes += wanted.size
            if not wanted.is_present:
                looked.found.append(wanted.digest)
        if directory is not None:
            self.files.sync_directory(directory)
        return looked


def link_file(files: Files, source: str | Path, target: Path) -> bool:
    """Whether the file could be given a second name; if not it is to be copied. Raises OSError."""
    try:
        files.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    return True


def copy_file(
    files: Files, source: str | Path, target: str | Path, wanted: Wanted, passed: Passed
) -> None:
    """Copy a blob into a new file, synced. Raises DamagedError, and OSError; then there is none."""
    reader = _open(files, source)
    try:
        with new_file(files, target) as writer:
            _pour(files, reader, writer, wanted, passed)
    finally:
        os.close(reader)


@contextmanager
def new_file(files: Files, target: str | Path) -> Iterator[int]:
    """A descriptor to write a file by, which is synced at the end; there is none after an error."""
    writer = files.open_to_append(target)
    try:
        yield writer
        files.sync(writer)
    except BaseException:
        files.remove(target)
        raise
    finally:
        os.close(writer)


def verify_file(files: Files, path: str | Path, wanted: Wanted, passed: Passed) -> None:
    """Raise DamagedError for a file that is not the blob; OSError for one that cannot be read."""
    reader = _open(files, path)
    try:
        _pour(files, reader, None, wanted, passed)
    finally:
        os.close(reader)


def _pour(files: Files, reader: int, writer: int | None, wanted: Wanted, passed: Passed) -> None:
    found = os.fstat(reader)
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError("not a file")
    if found.st_size != wanted.size:
        raise DamagedError(f"{found.st_size} bytes instead of {wanted.size}")
    hasher = new_hash(wanted.digest.algorithm)
    offset = 0
    while part := _read(reader, offset):
        hasher.update(part)
        if writer is not None:
            files.write_at(writer, part, offset)
        offset += len(part)
        passed(len(part))
    if hasher.hexdigest() != wanted.digest.hex:
        raise DamagedError("another digest")


def _open(files: Files, path: str | Path) -> int:
    try:
        return files.open_to_read(path)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EIO):  # others are of the command, not of the file
            raise DamagedError(f"cannot be opened: {error.strerror}") from error
        raise


def _read(reader: int, offset: int) -> bytes:
    try:
        return os.pread(reader, BACKUP_BYTES, offset)
    except OSError as error:  # of the disk that is read, and not of the one that is written
        raise DamagedError(f"cannot be read: {error.strerror}") from error


def _reason(error: Exception) -> str:
    return "no file" if isinstance(error, FileNotFoundError) else str(error)


def _make_directories(files: Files, directory: Path) -> None:
    """The directory and the two above it, synced."""
    for path in (directory.parent.parent, directory.parent, directory):
        if not path.exists():
            files.make_directory(path)
            files.sync_directory(path.parent)


def _status(path: str | Path) -> os.stat_result | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _digest(prefix: str, name: str) -> Digest | None:
    """The blob that a file of a directory is; None for a name that is not ours."""
    algorithm, _, start = prefix.partition(":")
    try:
        return Digest(f"{algorithm}:{name}") if name.startswith(start) else None
    except OciError:
        return None
