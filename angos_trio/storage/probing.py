"""A look at a disk and at a directory that nobody serves yet: what it is like, for whoever asks."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from pathlib import Path
from typing import Final

from angos_trio.clock import wall_seconds
from angos_trio.records import Frozen

_OURS: Final = ".doctor-"
_OLD_SECS: Final = 3600.0
"""Who made it is not at it any more."""


class Room(Frozen):
    """Of a file system: bytes that an ordinary process may still write, all bytes, and names that
    it may still make; None where these are not counted."""

    free_bytes: int
    bytes: int
    free_names: int | None


def sqlite_version() -> tuple[int, ...]:
    """Of the SQLite that is linked in."""
    return sqlite3.sqlite_version_info


def room_of(path: Path) -> Room:
    """The room where a path is. Raises OSError."""
    found = os.statvfs(path)
    names = found.f_favail if found.f_files else None
    return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, names)


def measure_syncs(directory: Path, count: int, size: int, secs_max: float) -> list[float]:
    """How long it took to make small writes survive, in microseconds each: a file of its own in the
    directory, written at its end and synced up to `count` times. It is gone afterwards.

    Raises OSError. Never takes much longer than `secs_max`, but for a disk that hangs: then the
    file is left, and the next look removes it.
    """
    _remove_old(directory)
    path = directory / f"{_OURS}{uuid.uuid4().hex}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        taken: list[float] = []
        deadline = time.monotonic() + secs_max
        while len(taken) < count and time.monotonic() < deadline:
            os.write(descriptor, os.urandom(size))
            begun_at = time.perf_counter()
            os.fsync(descriptor)
            taken.append((time.perf_counter() - begun_at) * 1e6)
        return taken
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(path)


def _remove_old(directory: Path) -> None:
    # It cannot lose its name before it is synced: some file systems sync nothing without a name.
    for left in directory.glob(f"{_OURS}*"):
        with contextlib.suppress(OSError):
            if wall_seconds() - left.stat().st_mtime > _OLD_SECS:
                left.unlink()


def newest_change(directory: Path, limit: int) -> float | None:
    """When something in a data directory was written last, by its files' times in epoch seconds;
    None where nothing is. Looks at so many names at most: those at the top, copies and uploads."""
    newest: float | None = None
    looked_at = 0
    for place in (directory, directory / "copies", directory / "uploads"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as names:
            for name in names:
                looked_at += 1
                if looked_at > limit:
                    return newest
                with contextlib.suppress(FileNotFoundError):
                    at = name.stat(follow_symlinks=False).st_mtime
                    newest = at if newest is None else max(newest, at)
    return newest
