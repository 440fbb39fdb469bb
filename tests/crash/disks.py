"""File systems that tests mount for themselves: small ones, and ones that can be taken away."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 4096
FS_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32) of the kernel's fs.h; the XFS test suite cuts the power with it."""
WITHOUT_LOG = 2
MNT_DETACH = 2
CLONE_NEWNS = 0x00020000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
UNMOUNT_SECS_MAX = 10.0


class NoMount(Exception):
    """This process may not mount, or lacks a tool; the message says which."""


@dataclass(frozen=True)
class Disk:
    """A mounted file system."""

    path: Path

    @property
    def free_bytes(self) -> int:
        """What may still be written."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leaving: int = 0) -> None:
        """Write a file until only so many bytes are free; again, to fill what became free."""
        with (self.path / "filler").open("ab") as filler:
            descriptor = filler.fileno()
            size = os.fstat(descriptor).st_size
            while (missing := self.free_bytes - leaving) >= BLOCK_BYTES:
                length = missing // BLOCK_BYTES * BLOCK_BYTES
                try:
                    os.posix_fallocate(descriptor, size, length)
                except OSError as error:  # somebody else was there first, with a part of it
                    if error.errno != errno.ENOSPC:
                        raise
                size = os.fstat(descriptor).st_size

    def make_room(self) -> None:
        """Remove that file."""
        (self.path / "filler").unlink()

    def abort(self) -> None:
        """Make an ext4 file system read-only as an error of the disk does, open files or not."""
        _run("mount", "-o", "remount,abort", str(self.path))

    def remount_writable(self) -> None:
        """What an operator may try without unmounting it. Raises CalledProcessError."""
        command = ["mount", "-o", "remount,rw", str(self.path)]
        subprocess.run(command, check=True, capture_output=True)

    def cut_power(self) -> None:
        """Let nothing more reach the disk, and forget what was not synced."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", WITHOUT_LOG))
        finally:
            os.close(descriptor)


def unshare_mounts() -> None:
    """Give this process mounts of its own, for good. Raises NoMount.

    A process that makes a copy of all mounts, as container tools do, would keep a file system alive
    that is to be unmounted, and mounting it again would find it as broken as it was.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise NoMount(f"unshare: {os.strerror(ctypes.get_errno())}")
    if libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise NoMount(f"private mounts: {os.strerror(ctypes.get_errno())}")


@contextmanager
def tmpfs(path: Path, size: int) -> Iterator[Disk]:
    """A file system in memory. Raises NoMount."""
    with _mounted(path, "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs") as disk:
        yield disk


def make_ext4(image: Path, size: int) -> None:
    """A file with an empty ext4 file system. Raises NoMount."""
    with image.open("wb") as file:
        file.truncate(size)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))


@contextmanager
def ext4(image: Path, path: Path) -> Iterator[Disk]:
    """The ext4 file system of an image. Raises NoMount."""
    with _mounted(path, "-t", "ext4", "-o", "loop", str(image)) as disk:
        yield disk


class BreakableDisk:
    """An ext4 file system in a file, which can be mounted again after it broke. Raises NoMount."""

    def __init__(self, directory: Path, size: int) -> None:
        self._image, self.path = directory / "disk.img", directory / "disk"
        self._mounts = ExitStack()
        make_ext4(self._image, size)
        self.disk = self._mounts.enter_context(ext4(self._image, self.path))

    def mount_again(self) -> None:
        """As after a reboot: the journal is replayed."""
        self._mounts.close()
        self.disk = self._mounts.enter_context(ext4(self._image, self.path))

    def close(self) -> None:
        """Unmount."""
        self._mounts.close()


@contextmanager
def _mounted(path: Path, *arguments: str) -> Iterator[Disk]:
    path.mkdir(exist_ok=True)
    _run("mount", *arguments, str(path))
    try:
        yield Disk(path)
    finally:
        _unmount(path)


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise NoMount(f"there is no {command[0]}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoMount(f"{' '.join(command[:4])}: {done.stderr.strip()}")


def _unmount(path: Path) -> None:
    """Unmount; a process that was killed a moment ago may still be in the way."""
    deadline = time.monotonic() + UNMOUNT_SECS_MAX
    while True:
        done = subprocess.run(["umount", str(path)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(path), MNT_DETACH)
            raise NoMount(f"could not be unmounted: {done.stderr.strip()}")
        time.sleep(0.05)
