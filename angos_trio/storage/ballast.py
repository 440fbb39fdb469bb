"""Space that is given up when the disk is full, so that deletes can still be committed."""

from __future__ import annotations

from pathlib import Path

from angos_trio.storage.files import Files


class Ballast:
    """A file of `size` bytes, really allocated; a size of 0 means none is kept."""

    def __init__(self, files: Files, path: Path, size: int) -> None:
        self._files = files
        self._path = path
        self._size = size

    def release(self) -> None:
        """Give the space up; costs nothing when it is given up already."""
        try:
            self._files.remove(self._path)
        except OSError:
            return

    def restore(self, reserve: int) -> bool:
        """Take the space again if the reserve stays free beside it; whether it is there now."""
        if self._size == 0:
            return True
        try:
            if self._files.regular_size(self._path) == self._size:
                return True
            if self._files.free_bytes(self._path.parent) < self._size + reserve:
                return False
            self._files.allocate(self._path, self._size)
        except OSError:
            return False
        return True
