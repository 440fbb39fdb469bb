"""The only module that changes the disk. Every verb blocks; callers run it in a thread.

`Files` is a class so that the crash tests can stand in for it with one that fails, tears or stops
at a chosen verb.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

from angos_trio.records import Frozen

_DIRECTORY_MODE: Final = 0o750
_PRIVATE_MODE: Final = 0o600
_BLOB_MODE: Final = 0o440
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_disk_full(error: OSError) -> bool:
    """Whether the error says that there is no room."""
    return error.errno in _FULL


class Standing(Frozen):
    """What stands under a name: size in bytes, time in epoch seconds. `mark` differs once another
    has taken its place, or it was written to."""

    is_file: bool
    is_directory: bool
    size: int
    modified_at: float
    mark: tuple[int, int, int]

    @staticmethod
    def of(found: os.stat_result) -> Standing:
        """From what the system says."""
        return Standing(
            stat.S_ISREG(found.st_mode),
            stat.S_ISDIR(found.st_mode),
            found.st_size,
            found.st_mtime,
            (found.st_ino, found.st_size, found.st_mtime_ns),
        )


class Files:
    """The verbs. Paths are text or Path, sizes and offsets are bytes."""

    def reached(self, point: str) -> None:
        """A point between two durable steps, for the double that stops there; does nothing."""

    def make_directory(self, path: Path) -> None:
        """Make a directory; one that exists stays."""
        path.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)

    def write_new(self, path: str | Path, content: bytes) -> None:
        """Write a small file that must not exist yet, whole or not at all; not synced."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_MODE)
        try:
            self.write_at(descriptor, content, 0)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)

    def replace(self, path: str | Path, content: bytes, *, sync: bool) -> None:
        """Put a small file in the place of another at once; `sync` makes it survive power loss."""
        temporary = f"{path}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_MODE)
        try:
            self.write_at(descriptor, content, 0)
            if sync:
                self.sync(descriptor)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            os.close(descriptor)
        if sync:
            self.sync_directory(os.path.dirname(path))

    def write_over(self, path: str | Path, content: bytes) -> None:
        """Give a small file another content; not synced, and torn when it fails on the way."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self.write_at(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))  # last: the file keeps its block
        finally:
            os.close(descriptor)

    def append(self, path: str | Path, content: bytes) -> None:
        """Write after the end of a small file that is there; not synced."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self.write_at(descriptor, content, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)

    def move(self, path: str | Path, target: str | Path) -> None:
        """Give a file another name, over whatever stands there; not synced."""
        os.rename(path, target)

    def open_private(self, path: str | Path) -> None:
        """Make an empty file that only its owner may read; one that exists stays as it is."""
        os.close(self.open_to_append(path))

    def open_to_append(self, path: str | Path) -> int:
        """A descriptor to write at any offset of a file, made if it is not there."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_MODE)

    def open_to_read(self, path: str | Path) -> int:
        """A descriptor to read a file, never following a link."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def write_at(self, descriptor: int, content: bytes | memoryview, offset: int) -> None:
        """Write all of the content at the offset."""
        view = memoryview(content)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view = view[written:]
            offset += written

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to the size."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Make the file's content and length survive power loss."""
        os.fsync(descriptor)

    def flush(self, descriptor: int) -> None:
        """Bring what was written so far to the disk, so that the last sync is short."""
        os.fdatasync(descriptor)

    def sync_directory(self, path: str | Path) -> None:
        """Make the names in a directory survive power loss."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def publish(self, staged: str | Path, target: str | Path) -> None:
        """Move a synced file to its final name, over whatever stands there, read-only from then.

        The mode comes second: a file that kept its name must stay writable, to be resumed.
        """
        os.rename(staged, target)
        with contextlib.suppress(OSError):
            os.chmod(target, _BLOB_MODE)

    def link(self, path: str | Path, target: str | Path) -> None:
        """Give a file a second name, which must not exist yet; not synced."""
        os.link(path, target, follow_symlinks=False)

    def remove(self, path: str | Path) -> None:
        """Remove a file; one that is gone already is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def allocate(self, path: str | Path, size: int) -> None:
        """A file that really occupies the size, or none: what was begun is removed."""
        descriptor = self.open_to_append(path)
        try:
            os.posix_fallocate(descriptor, 0, size)
            os.ftruncate(descriptor, size)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)

    def regular_size(self, path: str | Path) -> int | None:
        """The size of a regular file; None when there is none of that name."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def look(self, path: str | Path) -> Standing | None:
        """What stands under a name, no link followed; None for nothing."""
        try:
            return Standing.of(os.lstat(path))
        except FileNotFoundError:
            return None

    def free_bytes(self, path: str | Path) -> int:
        """What an unprivileged process may still write to the file system."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize
