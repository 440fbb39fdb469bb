"""Log lines on a stream, as whole lines; what cannot be written never ends who logs."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

EventDict = MutableMapping[str, Any]


def with_lost(event: EventDict, lost: int) -> EventDict:
    """The same, with how many lines before it were lost, where some were."""
    return {**event, "lost_lines": lost} if lost else event


def has_room(stream: TextIO) -> bool:
    """Whether a line can be written to it at once."""
    try:
        descriptor = stream.fileno()
    except OSError:  # one that is in memory only
        return True
    look = select.poll()
    look.register(descriptor, select.POLLOUT)
    return bool(look.poll(0))


class Lines:
    """Takes log lines. One that cannot be written, since nobody reads any more or the disk is full,
    is lost; the next that can be tells how many were."""

    def __init__(self, stream: TextIO, render: Callable[[EventDict], str]) -> None:
        self._stream = stream
        self._render = render
        self._lost = 0

    def msg(self, event: EventDict) -> None:
        """Write one, or lose it."""
        try:
            _write(self._stream, f"{self._render(with_lost(event, self._lost))}\n")
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    debug = info = warning = error = critical = exception = msg


def _write(stream: TextIO, text: str) -> None:
    """Past the stream's buffer: what fails there is kept, and fails again at each flush, also at
    the one that Python makes at the end. Raises OSError."""
    try:
        descriptor = stream.fileno()
    except OSError:  # one that is in memory only
        stream.write(text)
        return
    left = memoryview(text.encode(errors="backslashreplace"))
    while left:
        left = left[os.write(descriptor, left) :]
