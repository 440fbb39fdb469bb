"""How httpx connects: each call has a pool of its own, takes in only so many bytes, and whatever it
opened is closed with it.

httpx loads httpcore, and both take 50 ms; only a client imports this.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import httpcore
import httpx
import trio


class TooMuchError(Exception):
    """More was received than may be."""


class Transport(httpx.AsyncHTTPTransport):
    """Verifies servers by the given context and by nothing else; knows no proxy.

    Raises TooMuchError when more than `bytes_max` bytes are received, heads included.
    """

    def __init__(self, tls: ssl.SSLContext, bytes_max: int) -> None:
        # Not that of httpx: it has no way to a network of our own.
        self._network = _Network(bytes_max)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=tls, network_backend=self._network)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the pool, and what is not in it any more."""
        try:
            await super().__aexit__(exc_type, exc_value, traceback)
        finally:
            with trio.CancelScope(shield=True):
                await self._network.close()


class _Network(httpcore.AsyncNetworkBackend):
    """As httpcore has it for Trio, but it remembers its sockets: those of a call that is cancelled
    while TLS begins would stay open until the garbage collector comes by."""

    def __init__(self, bytes_max: int) -> None:
        self._trio = httpcore.TrioBackend()
        self._bytes_max = bytes_max
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (its interface)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of the host that answers."""
        stream = await self._trio.connect_tcp(host, port, timeout, local_address, socket_options)
        self._opened.append(stream)
        return _Counted(stream, self._bytes_max)

    async def close(self) -> None:
        """Close every socket at once; those that are closed already do not mind."""
        for stream in self._opened:
            await stream.aclose()


class _Counted(httpcore.AsyncNetworkStream):
    """A stream that brings so many bytes and not one more."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, bytes_left: int) -> None:
        self._stream = stream
        self._bytes_left = bytes_left

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """What comes next. Raises TooMuchError."""
        received = await self._stream.read(max_bytes, timeout)
        self._bytes_left -= len(received)
        if self._bytes_left < 0:
            raise TooMuchError
        return received

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send all of it."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """The same connection inside TLS; what is counted is what came out of it."""
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _Counted(stream, self._bytes_left)

    def get_extra_info(self, info: str) -> Any:
        """What the stream knows of itself."""
        return self._stream.get_extra_info(info)
