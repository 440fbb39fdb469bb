"""A network of its own: an address that is not this host's loopback, and no way out."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.machine import Failure, NotRunnable, command, require

CLONE_NEWNET = 0x4000_0000  # linux/sched.h; os.unshare and os.setns are there from Python 3.12 on


@contextmanager
def own_network(*addresses: str) -> Iterator[None]:
    """A network namespace for this thread and all that it starts, which owns these addresses.

    It has no name and no link to the machine's network: it is gone when its last process is.
    """
    ip = require("ip")
    machine = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("unshare", CLONE_NEWNET)
        try:
            _furnish(ip, addresses)
            yield
        finally:
            _call("setns", machine, CLONE_NEWNET)
    finally:
        os.close(machine)


def _furnish(ip: str, addresses: tuple[str, ...]) -> None:
    try:
        command(ip, "link", "set", "lo", "up")
        for address in addresses:
            command(ip, "address", "add", f"{address}/32", "dev", "lo")
    except Failure as failure:
        raise NotRunnable(f"needs a network namespace with addresses: {failure}") from None


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise NotRunnable(f"needs a network namespace of its own: {name}: {reason}")
