"""Files of certificates, keys and revocation lists, and whether they have changed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from angos_trio import locks
from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.callers import PKI_FILE_BYTES_MAX
from angos_trio.limits.certificates import PKI_LOCK_LOOK_SECS

FileState = tuple[int, int, int, int] | None
"""What changes with a file's content: device, inode, time and size; None when it is not there."""

PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
PRIVATE_DIRECTORY_MODE: Final = 0o700
NEXT: Final = ".next"
"""The end of the name under which a file waits to take its place."""
BEFORE: Final = ".before"
"""The end of the name under which a file is kept until the one that took its place may stay."""


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
    return _state(found)


def _state(found: os.stat_result) -> FileState:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def next_of(path: Path) -> Path:
    """Where the next content of a file waits."""
    return path.with_name(path.name + NEXT)


def before_of(path: Path) -> Path:
    """Where a file is kept that may come back."""
    return path.with_name(path.name + BEFORE)


def stage(path: Path, content: bytes, mode: int) -> None:
    """Write the next content of a file beside it, whole and synced, or nothing. Raises OSError."""
    target = next_of(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(target, flags, PRIVATE_MODE)
    try:
        with _naming(path):
            _give(descriptor, path.parent, mode)
            _write(descriptor, content)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(target)
        raise
    finally:
        os.close(descriptor)


def put_in_place(path: Path) -> None:
    """What waits takes its place, for good. Raises OSError."""
    move(next_of(path), path)


def link(path: Path, name: Path) -> None:
    """Give a file a second name, which must not be there yet, for good. Raises OSError."""
    os.link(path, name, follow_symlinks=False)
    sync_directory(name.parent)


def move(path: Path, target: Path) -> None:
    """Give a file another name, for good, also if something has that. Raises OSError."""
    os.replace(path, target)
    sync_directory(target.parent)


def replace(path: Path, content: bytes, mode: int) -> None:
    """Give a file another content at once; it survives a power cut. Raises OSError."""
    stage(path, content, mode)
    try:
        put_in_place(path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(next_of(path))
        raise


def check_target(option: str, path: Path) -> None:
    """Refuse to write where something stands that is no file of its own, such as `/dev/stdout`: a
    new file would take its place; or where there is no directory. Raises OperatorError."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OperatorError(
                f"{option}: {path} is there and is no ordinary file: name another one"
            )
        if not path.parent.is_dir():
            raise OperatorError(f"{option}: {path.parent} is no directory")
    except OSError as error:
        raise OperatorError(f"{option}: {words_of(error)}") from error


def make_ready(option: str, folder: Path, names: Sequence[str], size: int) -> bool:
    """Make a directory that can take files of these names, as large as that in all, or refuse it
    before anything is done; whether it is new. Raises OperatorError."""
    is_new = not folder.exists()
    try:
        if folder.is_symlink() and is_new:
            raise OperatorError(f"{option}: {folder} is a link to nowhere: name another directory")
        if not is_new and not folder.is_dir():
            raise OperatorError(
                f"{option}: {folder} is there and is no directory: name another one"
            )
        make_directory(folder, PRIVATE_DIRECTORY_MODE)
        for name in names:
            if (folder / name).is_dir():
                raise OperatorError(f"{option}: {folder / name} is a directory: name another one")
        _prove_room(folder, size)
    except OSError as error:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise OperatorError(f"{option}: {words_of(error)}") from error
    return is_new


def _prove_room(folder: Path, size: int) -> None:
    probe = folder / ".angos-trio"
    try:
        stage(probe, bytes(size), PRIVATE_MODE)
        remove(next_of(probe))
    except OSError as error:
        error.filename = str(folder)
        raise


def write_new(path: Path, content: bytes) -> None:
    """Write a private file that must not be there yet, whole or not at all. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
    try:
        with _naming(path):
            _write(descriptor, content)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def append(path: Path, line: bytes) -> None:
    """Write a line after the end of a private file, for good or not at all. Raises OSError."""
    is_new = not path.exists()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, PRIVATE_MODE)
    try:
        size = os.fstat(descriptor).st_size
        try:
            with _naming(path):
                if is_new:
                    _give(descriptor, path.parent, PRIVATE_MODE)
                _write(descriptor, line)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if is_new:
        sync_directory(path.parent)


def cut(path: Path, size: int) -> None:
    """Cut a file to a size, for good. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file if it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync_directory(path.parent)


def make_directory(path: Path, mode: int) -> None:
    """Make a directory and those above it; one that is there stays as it is. Raises OSError."""
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=mode, exist_ok=True)
    path.chmod(mode)
    _own(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path.parent, must_close=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, secs: float) -> Iterator[None]:
    """Hold the lock of a file, which is made if it is not there. Raises TimeoutError when another
    process holds it for so long, and OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    ends_at = time.monotonic() + secs
    while True:
        descriptor = os.open(path, flags, PRIVATE_MODE)
        try:
            if os.fstat(descriptor).st_nlink == 1:  # or a file of root's may be given away by it
                _own(descriptor, path.parent)
            locks.wait_for(descriptor, ends_at - time.monotonic(), PKI_LOCK_LOOK_SECS)
            if _state_of(str(path)) == _state(os.fstat(descriptor)):
                yield
                return
        finally:
            os.close(descriptor)
        # Whoever had it took it away, and this one is nobody else's lock any more.


def words_of(error: OSError) -> str:
    """What a failed step on a file comes to: the cause, and the cure where there is one.

    Of two names it is the second that cannot be had, mostly: what stands there is to give way.
    """
    name = error.filename if error.filename2 is None else error.filename2
    path = "" if name is None else f"{name}: "
    if error.errno == errno.EPERM and os.geteuid() == 0:
        return (
            f"{path}not permitted, even to root: lsattr -d shows whether the file or its directory "
            "is immutable (i), and chattr -i takes that away"
        )
    if error.errno == errno.EBUSY:
        return f"{path}something is mounted there, and holds it: umount it (findmnt shows it)"
    if error.errno == errno.EISDIR:
        return f"{path}this is a directory, and a file belongs there: move it away"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}no permission: run the command as root, or as the owner of the directory"
    if error.errno == errno.EROFS:
        return f"{path}the file system is read-only: mount it so that it can be written"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{path}the disk is full: make room and try again"
    if error.errno == errno.ELOOP:
        return f"{path}this is a symbolic link, which is not followed here: remove it"
    return f"{path}{error.strerror or error}"


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What fails on an open file has no name of its own."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _give(descriptor: int, directory: Path, mode: int) -> None:
    """Mode and owner of a new file."""
    os.fchmod(descriptor, mode)
    _own(descriptor, directory)


def _own(descriptor: int, directory: Path, *, must_close: bool = False) -> None:
    """What root makes in somebody's directory is theirs: their registry is to read it."""
    try:
        owner = os.stat(directory)
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        if must_close:
            os.close(descriptor)
