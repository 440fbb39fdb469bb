"""Small files that have served, kept to serve again.

Making a file takes ext4 the longer the more files were removed within the last minutes, since it
steps over each of their inodes: with two small files made and removed for each blob that was a
quarter of the time of a push of small images.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from pathlib import Path

from angos_trio.limits.storage import SPARE_FILES_MAX
from angos_trio.storage.files import Files


class Spares:
    """The spare files of one process; `prefix` is the beginning of their paths. Verbs block."""

    def __init__(self, files: Files, prefix: Path) -> None:
        self._files = files
        self._prefix = prefix
        self._numbers = itertools.count()
        self._paths: deque[str] = deque()

    def write_new(self, path: str, content: bytes) -> None:
        """Write a small file that does not exist yet, whole or not at all; not synced.

        After a power loss it may hold what another held before: its content says whose it is.
        """
        try:
            spare = self._paths.pop()
        except IndexError:
            self._files.write_new(path, content)
            return
        try:
            self._files.write_over(spare, content)
            self._files.move(spare, path)
        except OSError:
            with contextlib.suppress(OSError):
                self._files.remove(spare)
            raise

    def give_back(self, path: str) -> None:
        """Remove a small file, or keep it for later; one that is gone already is fine."""
        if len(self._paths) >= SPARE_FILES_MAX:
            self._files.remove(path)
            return
        spare = f"{self._prefix}.{next(self._numbers)}"
        try:
            self._files.move(path, spare)
        except FileNotFoundError:
            return
        except OSError:
            self._files.remove(path)
            return
        self._paths.append(spare)

    def close(self) -> None:
        """Remove them all; what a disk refuses is removed by a later start."""
        while self._paths:
            with contextlib.suppress(OSError):
                self._files.remove(self._paths.pop())
