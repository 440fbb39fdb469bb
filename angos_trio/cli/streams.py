"""Standard output and standard error when whoever read them has left."""

from __future__ import annotations

import os
import select
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
