"""Outbound WebSockets: what the other side says, until it closes, within deadlines and bounds."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from angos_trio.errors import only_error
from angos_trio.limits.lists import (
    EVENT_BYTES_MAX,
    EVENTS_CONNECT_SECS_MAX,
    EVENTS_DISCONNECT_SECS_MAX,
    EVENTS_SILENCE_SECS_MAX,
)
from angos_trio.net.client import NetError, reason_of
from angos_trio.net.names import use_own_threads
from angos_trio.records import Frozen

_PORTS: Final = {"ws": 80, "wss": 443}
_ABNORMAL: Final = 1006
"""The code of a connection that ended without one (RFC 6455 7.4.1)."""


class RejectedError(Exception):
    """The handshake was answered with a status of HTTP; the message is the registry's reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A `ws` or `wss` URL, whom to trust and what to show there."""

    url: str
    tls: ssl.SSLContext | None = None
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)


class Closed(Frozen):
    """How the other side closed."""

    code: int
    reason: str


async def listen(endpoint: Endpoint, hear: Callable[[str], None]) -> Closed:
    """Hand on each message until the other side closes. What `hear` raises ends it.

    Raises RejectedError, or NetError when there is no connection, or nothing comes for a minute.
    """
    use_own_threads()
    try:
        async with trio.open_nursery() as nursery:
            connection = await _connect(endpoint, nursery)
            try:
                closed = await _listen(connection, hear)
            finally:
                with trio.CancelScope(shield=True) as leaving:
                    leaving.deadline = trio.current_time() + EVENTS_DISCONNECT_SECS_MAX
                    await connection.aclose()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _known(group) from None
    return closed


async def _connect(endpoint: Endpoint, nursery: trio.Nursery) -> WebSocketConnection:
    """A connection whose handshakes are done, of TLS first: its errors say what is wrong."""
    parts = urlsplit(endpoint.url)
    host = parts.hostname or ""
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in endpoint.headers]
    with trio.fail_after(EVENTS_CONNECT_SECS_MAX):
        stream: Any = await trio.open_tcp_stream(host, parts.port or _PORTS[parts.scheme])
        if endpoint.tls is not None:
            stream = trio.SSLStream(
                stream, endpoint.tls, server_hostname=host, https_compatible=True
            )
            await stream.do_handshake()
        return await wrap_client_stream(
            nursery,
            stream,
            parts.netloc,
            f"{parts.path}?{parts.query}",
            extra_headers=headers,
            message_queue_size=1,
            max_message_size=EVENT_BYTES_MAX,
        )


def _known(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a nursery's group is for the caller."""
    error = only_error(group)
    if isinstance(error, ConnectionRejected):
        return RejectedError(error.status_code, _reason_in(error.body))
    if isinstance(error, trio.TooSlowError):
        return NetError(f"no answer within {EVENTS_CONNECT_SECS_MAX:g} s")
    if isinstance(error, HandshakeError | trio.BrokenResourceError | OSError):
        return NetError(reason_of(error))
    return error


async def _listen(connection: WebSocketConnection, hear: Callable[[str], None]) -> Closed:
    while True:
        try:
            with trio.fail_after(EVENTS_SILENCE_SECS_MAX):
                text = await connection.get_message()
        except ConnectionClosed as error:
            if error.reason is None:
                return Closed(_ABNORMAL, "")
            return Closed(error.reason.code, error.reason.reason or "")
        except trio.TooSlowError:
            raise NetError(f"nothing came for {EVENTS_SILENCE_SECS_MAX:g} s") from None
        hear(text if isinstance(text, str) else text.decode())


def _reason_in(body: bytes | None) -> str:
    """The message of an error body of the distribution specification."""
    try:
        return str(json.loads(body or b"")["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        return "without a reason"
