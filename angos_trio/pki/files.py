"""Files of certificates, keys and revocation lists, and whether they have changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.callers import PKI_FILE_BYTES_MAX

FileState = tuple[int, int, int, int] | None
"""What changes with a file's content: device, inode, time and size; None when it is not there."""


def read_file(key: str, path: str) -> bytes:
    """The content of a file that a key of the configuration names. Raises OperatorError.

    A pipe or a device is refused, and not waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", closefd=True) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OperatorError(f"{key}: {path}: this is no file")
            content = file.read(PKI_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = cause_and_cure(error) if isinstance(error, OSError) else str(error)
        raise OperatorError(f"{key}: {path}: {reason}") from error
    if len(content) > PKI_FILE_BYTES_MAX:
        raise OperatorError(f"{key}: {path}: over {PKI_FILE_BYTES_MAX} bytes")
    return content


def states_of(paths: Sequence[str]) -> tuple[FileState, ...]:
    """The state of each file; symbolic links are followed, so a link that is moved is a change."""
    return tuple(map(_state_of, paths))


def _state_of(path: str) -> FileState:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
