"""Locks of open files (flock(2)). A lock goes with the process that holds it, however it ends."""

from __future__ import annotations

import fcntl
import time


def take(descriptor: int) -> bool:
    """Whether the file is ours alone from now on, until it is closed. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for(descriptor: int, secs: float, look_secs: float) -> None:
    """Take a lock as soon as it is free; a look each `look_secs`. Blocks. Raises TimeoutError when
    another process still holds it after `secs`, and OSError."""
    ends_at = time.monotonic() + secs
    while not take(descriptor):
        if time.monotonic() >= ends_at:
            raise TimeoutError
        time.sleep(look_secs)


def is_held(descriptor: int) -> bool:
    """Whether another process has it at this moment; if not, it is ours, shared, until the file is
    closed. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
