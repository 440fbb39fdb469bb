"""Python, the machine, and what the kernel and this shell give a process."""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import socket
import ssl
import struct
import sys
import sysconfig
from collections.abc import Iterator
from typing import Final

from angos_trio.appliance.doctor import Finding, bad, note, ok, warn
from angos_trio.limits.appliance import DESCRIPTORS_MIN
from angos_trio.records import Frozen
from angos_trio.storage.probing import sqlite_version

Version = tuple[int, ...]
PYTHON_MIN: Final = (3, 11)
PYTHON_MAX: Final = (3, 14)
SQLITE_MIN: Final = (3, 34)
OPENSSL_MIN: Final = (1, 1, 1)
GLIBC_MIN: Final = (2, 28)
MACHINES: Final = ("x86_64", "aarch64")
_GET_ONE: Final = "install a CPython from 3.11 to 3.14 of your distribution and start with that"


class Interpreter(Frozen):
    """What runs us. `libc` is None where it is not glibc."""

    version: Version
    implementation: str
    bits: int
    is_free_threaded: bool
    machine: str
    libc: Version | None
    sqlite: Version
    openssl: Version


def this_interpreter() -> Interpreter:
    """The one that runs this."""
    return Interpreter(
        version=tuple(sys.version_info[:3]),
        implementation=sys.implementation.name,
        bits=struct.calcsize("P") * 8,
        is_free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        machine=platform.machine(),
        libc=_glibc(),
        sqlite=sqlite_version(),
        openssl=_openssl(),
    )


def _openssl() -> Version:
    """From its third version on the number of a correction stands in another place."""
    major, minor, third, patch, _ = ssl.OPENSSL_VERSION_INFO
    return (major, minor, patch if major >= 3 else third)


def _glibc() -> Version | None:
    try:
        said = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return None
    name, _, version = said.partition(" ")
    parts = version.split(".")
    return tuple(map(int, parts)) if name == "glibc" and all(map(str.isdecimal, parts)) else None


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def judge_python(python: Interpreter) -> Iterator[Finding]:
    """Whether this Python can run the registry."""
    name = f"{python.implementation} {_dotted(python.version)}, {python.bits} bits"
    if python.implementation != "cpython":
        yield bad(f"{name}: the compiled parts are for CPython", _GET_ONE)
    elif not PYTHON_MIN <= python.version[:2] <= PYTHON_MAX:
        yield bad(f"{name}: not from 3.11 to 3.14", _GET_ONE)
    elif python.is_free_threaded:
        yield bad(f"{name}, free-threaded: compiled parts are missing for it", _GET_ONE)
    elif python.bits != 64:
        yield bad(f"{name}: the compiled parts are for 64 bits", _GET_ONE)
    else:
        yield ok(name)
    newer = "update this Python, or the library that it is linked to"
    for what, found, least in (
        ("SQLite", python.sqlite, SQLITE_MIN),
        ("OpenSSL", python.openssl, OPENSSL_MIN),
    ):
        said = f"{what} {_dotted(found)}"
        if found < least:
            yield bad(f"{said}: older than {_dotted(least)}", newer)
        else:
            yield ok(said)


def judge_machine(python: Interpreter) -> Iterator[Finding]:
    """Whether the compiled parts that are shipped run on this machine."""
    if python.machine not in MACHINES:
        yield bad(
            f"{python.machine}: angos-trio is made for {' and '.join(MACHINES)}",
            "take a host of one of these",
        )
    else:
        yield ok(python.machine)
    if python.libc is None:
        yield bad(
            "no glibc (musl?): the compiled parts of the one file need glibc",
            "take a host with glibc 2.28 or newer (Debian 10, RHEL 8), or install from wheels",
        )
    elif python.libc < GLIBC_MIN:
        yield bad(
            f"glibc {_dotted(python.libc)}: older than {_dotted(GLIBC_MIN)}",
            "take a newer distribution (Debian 10, RHEL 8, Ubuntu 20.04 or newer)",
        )
    else:
        yield ok(f"glibc {_dotted(python.libc)}")


def judge_limits(open_files: int, core_bytes: int) -> Iterator[Finding]:
    """Limits of this process, which what is started from this shell has too. -1 is no limit."""
    if 0 <= open_files < DESCRIPTORS_MIN:
        yield note(
            f"{open_files} open files for what is started from here: each client takes one or two",
            f"ulimit -n {DESCRIPTORS_MIN} before serve; the unit of systemd has LimitNOFILE=65536",
        )
    else:
        yield ok(f"{'any number of' if open_files < 0 else open_files} open files")
    if core_bytes:
        yield note(
            "a crash would write a core file, with keys and passwords in it",
            "ulimit -c 0, or LimitCORE=0 in a unit",
        )


def look_at_limits() -> Iterator[Finding]:
    """The limits of this process."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    core_bytes, _ = resource.getrlimit(resource.RLIMIT_CORE)
    return judge_limits(open_files, core_bytes)


def look_at_kernel() -> Iterator[Finding]:
    """Whether the kernel does what the registry asks of it: tried, not guessed."""
    tried = {"memfd_create": _try_memory, "flock": _try_lock, "sendfile": _try_sendfile}
    missing = []
    for name, attempt in tried.items():
        try:
            attempt()
        except (OSError, AttributeError) as error:
            missing.append(f"{name} ({error})")
    if missing:
        yield warn(
            f"{platform.release()} refuses {', '.join(missing)}",
            "a sandbox or a container may filter it: allow it, or take a newer kernel",
        )
    else:
        yield ok(f"{platform.release()}: {', '.join(tried)}")


def _try_memory() -> None:
    os.close(os.memfd_create("doctor", os.MFD_CLOEXEC))


def _try_lock() -> None:
    descriptor = os.memfd_create("doctor", os.MFD_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def _try_sendfile() -> None:
    descriptor = os.memfd_create("doctor", os.MFD_CLOEXEC)
    one, other = socket.socketpair()
    try:
        os.write(descriptor, b"sent")
        os.sendfile(one.fileno(), descriptor, 0, 4)
    finally:
        os.close(descriptor)
        one.close()
        other.close()
