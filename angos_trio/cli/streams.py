"""Standard output and standard error when whoever read them has left, or they cannot be written."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO


def has_left(stream: TextIO) -> bool:
    """Whether nobody reads it any more."""
    look = select.poll()
    look.register(stream.fileno(), 0)  # errors are told of in any case
    return bool(look.poll(0))


def mute(stream: TextIO) -> None:
    """What is still written goes nowhere: Python would write it at its end, and fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def say(line: str) -> None:
    """A line on standard error. Where that is closed, or full, the work goes on without."""
    if sys.stderr is None:  # print() would take it for standard output
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        mute(sys.stderr)


def settle(stream: TextIO | None) -> None:
    """Write what waits, or drop it: Python would try it again at its end."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        mute(stream)
