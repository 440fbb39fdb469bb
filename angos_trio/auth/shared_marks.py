"""Marks that end, in memory that all processes of the registry share.

Made before the processes are forked, so that what one has seen to be right is known to all. Nothing
waits for anybody: a mark that is written by two at once is lost at worst, and is then made anew.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

MARK_BYTES: Final = 32
_SLOT: Final = struct.Struct(f"{MARK_BYTES}sd")
_WAYS: Final = 8
"""Places where a mark may stand: as many as a look has to go through."""


class SharedMarks:
    """At most `slots` marks of 32 bytes that nobody can guess, each with its end in seconds of the
    machine's monotonic clock. Where the places of a mark are taken, the one that ends first goes.
    """

    def __init__(self, slots: int) -> None:
        self._sets = max(1, slots // _WAYS)
        self._memory = mmap.mmap(-1, self._sets * _WAYS * _SLOT.size)

    def until(self, mark: bytes) -> float:
        """When the mark ends; 0 for one that is not there."""
        for offset in self._places(mark):
            found, until = _SLOT.unpack_from(self._memory, offset)
            if found == mark:
                return float(until)
        return 0.0

    def put(self, mark: bytes, until: float) -> None:
        """Let the mark be there until then."""
        ends: list[tuple[float, int]] = []
        for offset in self._places(mark):
            found, end = _SLOT.unpack_from(self._memory, offset)
            if found == mark:
                ends = [(0.0, offset)]
                break
            ends.append((end, offset))
        # The end is written last: half a mark is never one that counts.
        _, offset = min(ends)
        _SLOT.pack_into(self._memory, offset, b"", 0.0)
        _SLOT.pack_into(self._memory, offset, mark, until)

    def _places(self, mark: bytes) -> range:
        first = int.from_bytes(mark[:8]) % self._sets * _WAYS * _SLOT.size
        return range(first, first + _WAYS * _SLOT.size, _SLOT.size)
