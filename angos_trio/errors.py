"""Errors that are for the operator, not for a client; and the one error of a nursery's group."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

_REAL = (Exception, KeyboardInterrupt, SystemExit)
"""What is no cancellation."""


class OperatorError(Exception):
    """Shown on one line by the command line, which then exits with 1; never a traceback."""


_OWN_IT: Final = "chown or chmod it for the user who runs this, or run this as its owner"
_MAKE_ROOM: Final = "free space there, or use another disk"
_CURES: Final[Mapping[int | None, str]] = {
    errno.EACCES: _OWN_IT,
    errno.EPERM: _OWN_IT,
    errno.EROFS: "mount it writable; if the kernel made it so, dmesg says why",
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.ENOENT: "correct the name, or make it",
    errno.ENOTDIR: "a part of the name is no directory: correct it",
    errno.EEXIST: "a directory is wanted: correct the name",
    errno.EISDIR: "a file is wanted: correct the name",
    errno.EIO: "the disk fails: dmesg says more",
    errno.EMFILE: "raise the limit: ulimit -n, or LimitNOFILE= of the unit",
    errno.ENFILE: "the host has too many files open",
}


def cause_and_cure(error: OSError) -> str:
    """What the system says, and what to do about it where that is known."""
    cause = error.strerror or str(error)
    cure = _CURES.get(error.errno)
    return cause if cure is None else f"{cause}; {cure}"


def only_error(group: BaseException) -> BaseException:
    """The first real error of a nursery's group; a cancellation only when there is nothing else."""
    first = group
    while isinstance(first, BaseExceptionGroup):
        errors, _ = first.split(_REAL)
        first = (errors or first).exceptions[0]
    return first
