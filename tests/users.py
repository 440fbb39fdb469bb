"""Programs that may do no more than any user, where the tests run as root.

They stay root by number, since root's own Python may be in a directory that nobody else can enter,
but without a single capability: files of others are closed to them, and low ports.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.skips import leave_out

SOMEBODY_ELSE: Final = 12_345
"""The number of a user that nothing here runs as."""
_PR_SET_SECUREBITS: Final = 28
_NOROOT_LOCKED: Final = 0x03
_libc = ctypes.CDLL(None, use_errno=True)


def without_rights() -> dict[str, Any]:
    """Options for `subprocess`. Leaves the test out where the tests are not root's."""
    if os.geteuid() != 0:
        leave_out("only root can make files of another user, and give its rights away")
    return {"preexec_fn": _give_rights_away}


def _give_rights_away() -> None:
    """What is executed next has no capabilities (capabilities(7), SECBIT_NOROOT)."""
    if _libc.prctl(_PR_SET_SECUREBITS, _NOROOT_LOCKED, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def give_to_another(path: Path, mode: int) -> None:
    """Let a file, or a directory with all in it, be another user's."""
    for each in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):  # who runs there may remove it meanwhile
            os.chown(each, SOMEBODY_ELSE, SOMEBODY_ELSE, follow_symlinks=False)
    path.chmod(mode)
