"""Outbound HTTP whose answer is taken as it comes: one request on a connection of its own.

`HttpClient` is for small answers, taken whole within one deadline. Here a body may be of any size
and have no deadline but silence, and nobody is connected to whose address has not been looked at:
whatever a name said a moment ago, what counts is where the connection goes.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11
import trio

from angos_trio.limits.mirror import (
    CONNECT_ADDRESSES_MAX,
    CONNECT_STEP_SECS,
    EXCHANGE_HEAD_BYTES_MAX,
    EXCHANGE_RECEIVE_BYTES,
)
from angos_trio.net.addresses import Address
from angos_trio.net.client import NetError, reason_of
from angos_trio.net.names import use_own_threads
from angos_trio.net.wire import Wire
from angos_trio.records import Frozen

Allows = Callable[[Address], bool]
_BROKEN: Final = "the answer is no HTTP, or breaks off"
_PORTS: Final = {"http": 80, "https": 443}
_FAILURES: Final = (OSError, UnicodeError, h11.ProtocolError, trio.ClosedResourceError)
_ENDED: Final = (
    BrokenPipeError,
    ConnectionResetError,
    ConnectionAbortedError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    trio.ClosedResourceError,
)


class SilentError(NetError):
    """Nothing came for too long, or nobody answered."""


class Waits(Frozen):
    """Seconds: for a connection with TLS, and for the next byte of an answer."""

    connect_secs: float
    silence_secs: float


class Asked(Frozen):
    """A request; without a body where that is None. Values of headers are sent as latin-1."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None


class Exchange:
    """An answer whose head is there. Whoever has one closes it; names of headers are in lower case,
    and of a repeated one the values are joined by commas (RFC 9110 5.3)."""

    def __init__(
        self,
        response: h11.Response,
        connection: h11.Connection,
        wire: Wire,
        address: Address,
        silence_secs: float,
        method: str,
    ) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = _joined(response)
        self.address = address
        self._connection = connection
        self._wire = wire
        self._silence_secs = silence_secs
        self._begun = b""
        self._left: int | None = None
        """Bytes of a body of a known length, which are taken past h11: it copies each three times.
        None: h11 knows where it ends."""
        if method != "HEAD" and self.length is not None and "transfer-encoding" not in self.headers:
            self._begun, self._left = connection.trailing_data[0], self.length

    @property
    def length(self) -> int | None:
        """Bytes of the body as the head announces them."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    async def receive(self, bytes_max: int = EXCHANGE_RECEIVE_BYTES) -> bytes:
        """What comes next of the body, so much of it at most if its length is known; empty at its
        end.

        Raises NetError, also for a body that is shorter or longer than the head says.
        """
        try:
            if self._left is not None:
                return await self._next_of_known(self._left, bytes_max)
            event = await self._next()
        except _FAILURES as error:
            raise NetError(_reason(error)) from None
        if isinstance(event, h11.Data):
            return bytes(event.data)
        return b""

    async def _next_of_known(self, left: int, bytes_max: int) -> bytes:
        if left == 0:
            return b""
        part, self._begun = self._begun[:bytes_max], self._begun[bytes_max:]
        if not part:
            part = await self._received(bytes_max)
            if not part:
                raise NetError(_BROKEN)
        part = part[:left]
        self._left = left - len(part)
        return part

    async def _next(self) -> object:
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                self._connection.receive_data(await self._received(EXCHANGE_RECEIVE_BYTES))
            elif not isinstance(event, h11.Data) or event.data:
                return event

    async def _received(self, bytes_max: int) -> bytes:
        try:
            with trio.fail_after(self._silence_secs):
                return await self._wire.receive(bytes_max)
        except trio.TooSlowError:
            raise SilentError(f"nothing came for {self._silence_secs:g} s") from None

    async def read(self, bytes_max: int) -> bytes:
        """The whole body. Raises NetError when it is longer than `bytes_max`."""
        parts, size = [], 0
        while part := await self.receive():
            parts.append(part)
            size += len(part)
            if size > bytes_max:
                raise NetError(f"the answer is longer than {bytes_max} bytes")
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection at once; twice is fine."""
        self._wire.close()


def _joined(response: h11.Response) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def exchange(asked: Asked, tls: ssl.SSLContext, waits: Waits, allows: Allows) -> Exchange:
    """Send a request and wait for the head of the answer.

    `allows` says of each address that the host has whether it may be connected to. Follows no
    redirect, and looks at no variable of the environment. Raises NetError; SilentError where
    nobody answered in time.
    """
    use_own_threads()
    url = urlsplit(asked.url)
    try:
        with trio.fail_after(waits.connect_secs):
            wire, address = await _connected(url, tls, allows)
    except trio.TooSlowError:
        raise SilentError(f"no connection within {waits.connect_secs:g} s") from None
    except _FAILURES as error:
        raise NetError(_reason(error)) from None
    is_handed_over = False
    try:
        connection = h11.Connection(
            our_role=h11.CLIENT, max_incomplete_event_size=EXCHANGE_HEAD_BYTES_MAX
        )
        with trio.fail_after(waits.silence_secs):
            response = await _head(asked, url, connection, wire)
        answer = Exchange(response, connection, wire, address, waits.silence_secs, asked.method)
        is_handed_over = True
        return answer
    except trio.TooSlowError:
        raise SilentError(f"no answer within {waits.silence_secs:g} s") from None
    except _FAILURES as error:
        raise NetError(_reason(error)) from None
    finally:
        if not is_handed_over:
            wire.close()


async def _connected(url: SplitResult, tls: ssl.SSLContext, allows: Allows) -> tuple[Wire, Address]:
    host = url.hostname or ""
    port = url.port or _PORTS[url.scheme]
    connected, address = await _connected_socket(host, port, allows)
    wire = Wire(connected)
    try:
        if url.scheme == "https":
            await wire.secure(tls, host)
    except BaseException:
        wire.close()
        raise
    return wire, address


async def _connected_socket(
    host: str, port: int, allows: Allows
) -> tuple[trio.socket.SocketType, Address]:
    """A connection to the first allowed address that answers."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(family, where, _address_of(str(where[0]))) for family, _, _, _, where in found]
    allowed = [each for each in addresses if allows(each[2])][:CONNECT_ADDRESSES_MAX]
    if not allowed:
        raise NetError(f"the address of {host} is not one that may be asked")
    for number, (family, where, address) in enumerate(allowed):
        is_last = number == len(allowed) - 1
        connected = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            with trio.move_on_after(math.inf if is_last else CONNECT_STEP_SECS):
                await connected.connect(where)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connected, address
        except OSError:
            connected.close()
            if is_last:
                raise
        except BaseException:
            connected.close()
            raise
        connected.close()
    raise SilentError(f"{host} does not answer")


def _address_of(text: str) -> Address:
    """The address that a socket is connected to; an IPv4 one also where it is written as IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


async def _head(
    asked: Asked, url: SplitResult, connection: h11.Connection, wire: Wire
) -> h11.Response:
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    # `identity`: what a digest names are the bytes as they are.
    own = [("Host", url.netloc), ("Accept-Encoding", "identity"), ("Connection", "close")]
    if asked.body is not None:
        own.append(("Content-Length", str(len(asked.body))))
    headers = [
        (name.encode("ascii"), value.encode("latin-1")) for name, value in [*own, *asked.headers]
    ]
    request = h11.Request(method=asked.method, target=target.encode("ascii"), headers=headers)
    sent = connection.send(request) or b""
    if asked.body:
        sent += connection.send(h11.Data(data=asked.body)) or b""
    sent += connection.send(h11.EndOfMessage()) or b""
    await wire.send(sent)
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await wire.receive(EXCHANGE_RECEIVE_BYTES))
        elif isinstance(event, h11.Response):
            return event
        elif isinstance(event, h11.ConnectionClosed):
            raise NetError("the connection was closed without an answer")


def _reason(error: BaseException) -> str:
    if isinstance(error, h11.ProtocolError):
        return _BROKEN
    if isinstance(error, _ENDED):
        return "the connection was closed"
    return reason_of(error)
