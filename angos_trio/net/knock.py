"""Knocking at a registry's door: one GET, and how far it came when it fails.

For a command that is to say why: `exchange` keeps a failure to a line for logs, here it stays what
it was.
"""

from __future__ import annotations

import enum
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import h11
import trio

from angos_trio.limits.callers import KNOCK_BODY_BYTES_MAX, KNOCK_SECS_MAX
from angos_trio.limits.mirror import CONNECT_ADDRESSES_MAX, EXCHANGE_HEAD_BYTES_MAX
from angos_trio.net.names import use_own_threads
from angos_trio.net.wire import Wire
from angos_trio.records import Frozen

Result = TypeVar("Result")
_RECEIVE_BYTES: Final = 16 * 1024


class Stage(enum.Enum):
    """How far it came."""

    NAME = "name"
    CONNECTION = "connection"
    TLS = "tls"
    ANSWER = "answer"


class KnockError(Exception):
    """It came so far; `cause` is None when the time was over. `certificate` is what the other side
    has shown before, in DER."""

    certificate: bytes | None = None

    def __init__(self, stage: Stage, cause: BaseException | None, address: str = "") -> None:
        super().__init__(stage.value, cause)
        self.stage = stage
        self.cause = cause
        self.address = address


class Door(Frozen):
    """Where to knock: the name that is meant, and the address where it is looked for."""

    host: str
    port: int
    authority: str
    """As it stands in a URL."""
    address: str | None = None


class Knocked(Frozen):
    """What came back: names of headers are in lower case, the body is cut where it is long.

    `certificate` is that of the other side in DER; None without TLS.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    certificate: bytes | None
    address: str


async def knock(door: Door, tls: ssl.SSLContext | None, path: str) -> Knocked:
    """Ask for a path, over TLS if there is a context; each step has a deadline.

    Raises KnockError.
    """
    use_own_threads()
    addresses = await _within(Stage.NAME, "", partial(_addresses, door))
    wire, address = await _connected(addresses[:CONNECT_ADDRESSES_MAX], door.port)
    certificate = None
    try:
        if tls is not None:
            await _within(Stage.TLS, address, partial(wire.secure, tls, door.host))
        certificate = wire.peer_certificate()
        asked = partial(_ask, wire, door.authority, path)
        status, headers, body = await _within(Stage.ANSWER, address, asked)
        return Knocked(status, headers, body, certificate, address)
    except KnockError as error:
        error.certificate = certificate
        raise
    finally:
        wire.close()


async def _within(stage: Stage, address: str, step: Callable[[], Awaitable[Result]]) -> Result:
    """A step with its deadline: what goes wrong in it is a KnockError that names it."""
    try:
        with trio.fail_after(KNOCK_SECS_MAX):
            return await step()
    except trio.TooSlowError:
        raise KnockError(stage, None, address) from None
    except (OSError, UnicodeError, h11.ProtocolError) as error:
        raise KnockError(stage, error, address) from None


async def _addresses(door: Door) -> list[str]:
    if door.address is not None:
        return [door.address]
    found = await trio.socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[0]) for _, _, _, _, where in found))


async def _connected(addresses: Sequence[str], port: int) -> tuple[Wire, str]:
    """A connection to the first address that answers; the error is that of the last one."""
    for number, address in enumerate(addresses, 1):
        try:
            return await _within(Stage.CONNECTION, address, partial(_wire, address, port)), address
        except KnockError:
            if number == len(addresses):
                raise
    raise KnockError(Stage.NAME, None)


async def _wire(address: str, port: int) -> Wire:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connected = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await connected.connect((address, port))
    except BaseException:
        connected.close()
        raise
    return Wire(connected)


async def _ask(wire: Wire, authority: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=EXCHANGE_HEAD_BYTES_MAX)
    headers = [("Host", authority), ("Accept-Encoding", "identity"), ("Connection", "close")]
    request = connection.send(h11.Request(method="GET", target=path, headers=headers)) or b""
    await wire.send(request + (connection.send(h11.EndOfMessage()) or b""))
    status, found, body = 0, dict[str, str](), b""
    while len(body) < KNOCK_BODY_BYTES_MAX:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await wire.receive(_RECEIVE_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
            found = {name.decode("latin-1"): each.decode("latin-1") for name, each in event.headers}
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    if status == 0:
        raise ConnectionResetError(errno.ECONNRESET, "closed without an answer")
    return status, found, body
