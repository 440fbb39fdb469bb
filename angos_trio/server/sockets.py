"""Sockets that are listened on: bound here, or handed over by systemd; and whose turn it is.

Nothing here waits or needs an event loop, so that they can be bound before processes are forked.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import mmap
import os
import socket
import stat
from pathlib import Path
from typing import Final

import trio

from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.processes import WORKERS_MAX
from angos_trio.limits.requests import ACCEPT_DELAY_SECS, ACCEPT_DELAY_SECS_MAX, BACKLOG
from angos_trio.net.control import unix_address
from angos_trio.net.listeners import who_is_at
from angos_trio.records import Frozen

_FIRST_HANDED: Final = 3
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
HEALTH_NAME: Final = "health"
"""The name (`FileDescriptorName=`) of sockets for `[server.health]`; all others are for requests.
"""
_NO_FAMILY: Final = (
    ": this service may make no socket of its own; a socket unit hands it over, or the drop-in "
    "outbound.conf allows it"
)


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to each address of a host. Raises OperatorError with the reason."""
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            made = socket.socket(family, kind, protocol)
            bound.append(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(address)
            made.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        for made in bound:
            made.close()
        raise OperatorError(
            f"cannot listen on {host} port {port}: {_why_not(error, host, port)}"
        ) from error
    return bound


def _why_not(error: OSError | UnicodeError, host: str, port: int) -> str:
    """Why nobody can listen there, and what to do about it."""
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, UnicodeError | socket.gaierror):
        return f"{reason}; server.bind_address wants an address of this host"
    if error.errno == errno.EADDRINUSE:
        holder = who_is_at(host, port)
        who = "a process that this user cannot see" if holder is None else holder.describe()
        return f"{reason}, by {who}; stop that, or set another server.port"
    if error.errno == errno.EACCES:
        return (
            f"{reason}; a low port is root's: let systemd hand it over (angos-trio.socket), or set "
            "server.port to 1024 or above"
        )
    if error.errno == errno.EAFNOSUPPORT:
        return f"{reason}{_NO_FAMILY}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{reason}; this host does not have this address (ip address shows those it has)"
    return cause_and_cure(error)


class HandedOver(Frozen):
    """Listening sockets from systemd: for requests, and for `[server.health]`."""

    requests: tuple[socket.socket, ...] = ()
    probes: tuple[socket.socket, ...] = ()


def handed_over() -> HandedOver:
    """The listening sockets that systemd hands to this process, else none. Raises OperatorError
    for one that cannot be listened on.

    sd_listen_fds(3): they follow descriptor 2 when `LISTEN_PID` is ours. The variables are taken
    out of the environment.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not (count.isascii() and count.isdecimal()):
        return HandedOver()
    requests: list[socket.socket] = []
    probes: list[socket.socket] = []
    for place in range(int(count)):
        name = names[place] if place < len(names) else ""
        taken = _taken(_FIRST_HANDED + place, name)
        (probes if name == HEALTH_NAME else requests).append(taken)
    return HandedOver(tuple(requests), tuple(probes))


def _taken(descriptor: int, name: str) -> socket.socket:
    """A descriptor that was handed over, as the socket that it must be. Raises OperatorError."""
    what = f"descriptor {descriptor} ({name})" if name else f"descriptor {descriptor}"
    refusal = f"{what} was handed over, and is not a listening stream socket: use ListenStream="
    try:
        os.set_inheritable(descriptor, False)
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise OperatorError(refusal)
        taken = socket.socket(fileno=descriptor)
        is_listening = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise OperatorError(f"{what} was to be handed over: {error.strerror}") from error
    if taken.family not in _FAMILIES or taken.type != socket.SOCK_STREAM or not is_listening:
        raise OperatorError(f"{refusal} with Accept=no")
    return taken


def places_of(sockets: list[socket.socket]) -> tuple[str, ...]:
    """What people call the sockets: ports, and paths of Unix sockets; each once."""
    addresses = [
        path_of(each) if each.family == socket.AF_UNIX else str(each.getsockname()[1])
        for each in sockets
    ]
    return tuple(dict.fromkeys(addresses))


def path_of(listener: socket.socket) -> str:
    """Where a Unix socket is: a path, or an abstract name, which begins with `@` as in a unit."""
    name: str | bytes = listener.getsockname()
    return name if isinstance(name, str) else f"@{os.fsdecode(name[1:])}"


def is_local(listener: socket.socket) -> bool:
    """Whether only this machine can connect to it."""
    if listener.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def listen_for_operator(path: Path, folder: int) -> socket.socket:
    """A Unix socket that only our user can connect to. Raises OperatorError.

    `folder` is a descriptor of the directory that it is in. The caller holds that directory's
    lock: what is there is an earlier instance's.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        made.bind(unix_address(path, folder))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise OperatorError(f"cannot listen on {path}: {cause_and_cure(error)}") from error
    finally:
        os.umask(before)
    return made


def listeners_of(sockets: list[socket.socket]) -> list[trio.SocketListener]:
    """The same for this process's event loop."""
    return [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in sockets]


class Turns:
    """How many connections each worker has, in memory that all share: who has fewest goes first.

    One number for each worker, written by that worker alone.
    """

    def __init__(self, workers: int) -> None:
        assert 1 <= workers <= WORKERS_MAX
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._counts = memoryview(self._memory).cast("Q")[:workers]

    def tell(self, worker: int, connections: int) -> None:
        """A worker, from 0 on, has so many connections now."""
        self._counts[worker] = connections

    def total(self) -> int:
        """How many connections all have together."""
        return sum(self._counts)

    def delay_secs(self, worker: int) -> float:
        """How long a worker leaves a new connection to the others."""
        return turn_delay_secs(self._counts[worker], min(self._counts))


def turn_delay_secs(own: int, fewest: int) -> float:
    """The wait of a worker that has more connections than another: longer the more it has."""
    return float(min(ACCEPT_DELAY_SECS * (own - fewest), ACCEPT_DELAY_SECS_MAX))


class TurnListener(trio.abc.Listener[trio.SocketStream]):
    """A listener of several processes, which takes a connection when it is this worker's turn."""

    def __init__(self, inner: trio.SocketListener, turns: Turns, worker: int) -> None:
        self._inner = inner
        self._turns = turns
        self._worker = worker

    async def accept(self) -> trio.SocketStream:
        """The next connection that no other worker took."""
        while True:
            await trio.lowlevel.wait_readable(self._inner.socket)
            await trio.sleep(self._turns.delay_secs(self._worker))
            with trio.move_on_after(ACCEPT_DELAY_SECS_MAX):
                return await self._inner.accept()

    async def aclose(self) -> None:
        """Close the listener in this process."""
        await self._inner.aclose()
