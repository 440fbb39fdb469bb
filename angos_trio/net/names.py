"""Looking up names of hosts, in threads of its own."""

from __future__ import annotations

import socket
from typing import Any

import trio

from angos_trio.limits.callers import NAME_LOOKUP_THREADS


def use_own_threads() -> None:
    """Let this run of Trio look names up as this module does, unless somebody else has a way."""
    previous = trio.socket.set_custom_hostname_resolver(_Resolver())
    if previous is not None:
        trio.socket.set_custom_hostname_resolver(previous)


class _Resolver(trio.abc.HostnameResolver):
    """Looks names up in threads of its own. A server of names that is dead keeps a thread for up to
    half a minute, whatever the deadline of who asked; those that serve files must not go like
    that."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(NAME_LOOKUP_THREADS)

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As `socket.getaddrinfo`."""
        return await trio.to_thread.run_sync(
            socket.getaddrinfo,
            host,
            port,
            family,
            type,
            proto,
            flags,
            limiter=self._threads,
            abandon_on_cancel=True,
        )

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        """As `socket.getnameinfo`."""
        return await trio.to_thread.run_sync(
            socket.getnameinfo, sockaddr, flags, limiter=self._threads, abandon_on_cancel=True
        )
