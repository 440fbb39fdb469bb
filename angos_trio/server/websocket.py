"""A WebSocket on a connection: its handshake, and what both sides say then (RFC 6455).

Hypercorn's stream holds the protocol's rules. What differs from Hypercorn's own connection, and
why: every send has a deadline; a client that is silent is asked whether it is there, and cut off;
messages that the application does not take keep the client waiting; nothing is compressed, since a
small message could then become a large one here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import h11
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.protocol.events import Data, EndData, Event, Request, Response, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Ping
from wsproto.frame_protocol import CloseReason

from angos_trio.limits.lists import (
    SOCKET_MESSAGES_WAITING_MAX,
    SOCKET_PING_SECS,
    SOCKET_STALL_SECS_MAX,
)
from angos_trio.limits.requests import LINGER_SECS_MAX
from angos_trio.server.transport import StalledError, Transport

STREAM_ID: Final = 1
_DISCONNECT: Final = {"type": "websocket.disconnect", "code": CloseReason.ABNORMAL_CLOSURE.value}
SendHttp = Callable[[Event], Awaitable[None]]


def asks_for_socket(request: h11.Request) -> bool:
    """Whether a request is the handshake of a WebSocket; of another version counts too, since that
    wants an answer (RFC 6455 4.2.2). Other upgrades are ignored (RFC 9110 7.8)."""
    said = dict(request.headers)
    tokens = {token.strip().lower() for token in said.get(b"connection", b"").split(b",")}
    return (
        request.method == b"GET"
        and request.http_version == b"1.1"
        and b"upgrade" in tokens
        and said.get(b"upgrade", b"").strip().lower() == b"websocket"
    )


class WebSocket:
    """One of them, from the handshake to the close."""

    def __init__(
        self, transport: Transport, config: HypercornConfig, send_http: SendHttp, after_head: bytes
    ) -> None:
        """`send_http` sends an answer that refuses, and the one that accepts; `after_head` is what
        came behind the request."""
        self._transport = transport
        self._send_http = send_http
        self._received = after_head
        self._sending = trio.Lock()
        self._accepted = trio.Event()
        self._over = trio.Event()
        self._to_application, self._messages = trio.open_memory_channel[Any](
            SOCKET_MESSAGES_WAITING_MAX
        )
        self._scope: Any = None
        self._stream = WSStream(
            None,  # type: ignore[arg-type]  # the application, which is given to `spawn_app` only
            config,
            None,  # type: ignore[arg-type]  # a worker context, for what is not used here
            self,  # type: ignore[arg-type]  # a task group, of which only `spawn_app` is
            transport.is_secure,
            transport.peer,
            transport.local,
            self._send,
            STREAM_ID,
        )

    @property
    def is_accepted(self) -> bool:
        """Whether this was a WebSocket; else an answer has refused it."""
        return self._accepted.is_set()

    async def serve(
        self, request: Request, extensions: dict[str, Any], run: Callable[..., Awaitable[None]]
    ) -> None:
        """Let the application answer and talk, to the end. `run(scope, receive, send)` runs it.

        Raises StalledError, or OSError when the client is gone.
        """
        headers = [each for each in request.headers if each[0] != b"sec-websocket-extensions"]
        await self._stream.handle(dataclasses.replace(request, headers=headers))
        if self._scope is None:
            return  # the handshake was malformed, and has its answer
        self._scope["extensions"].update(extensions)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear, nursery.cancel_scope)
            await run(self._scope, self._messages.receive, self._stream.app_send)
            await self._end()
            nursery.cancel_scope.cancel()

    async def spawn_app(
        self, app: Any, config: Any, scope: Any, send: Any
    ) -> Callable[[Any], Awaitable[None]]:
        """What Hypercorn's stream calls to start the application; here it only keeps the scope."""
        self._scope = scope
        return self._to_application.send

    async def _end(self) -> None:
        """The application has ended: see that the client is told, and give it time to agree."""
        if not self.is_accepted:
            await self._stream.app_send(None)
            return
        if self._stream.state is ASGIWebsocketState.CONNECTED:
            code = CloseReason.INTERNAL_ERROR.value
            await self._stream.app_send({"type": "websocket.close", "code": code, "reason": None})
        with trio.move_on_after(LINGER_SECS_MAX):
            await self._over.wait()

    async def _hear(self, all_of_it: trio.CancelScope) -> None:
        """Take in what the client says until it leaves; then the application has a moment."""
        await self._accepted.wait()
        try:
            while not self._over.is_set():
                content = self._received or await self._next()
                self._received = b""
                if not content:
                    break
                await self._stream.handle(Data(STREAM_ID, content))
                if self._stream.connection.state is ConnectionState.LOCAL_CLOSING:
                    # We have closed, or it broke the rules: only its own close counts any more.
                    self._stream.buffer.clear()
                    self._part_from(all_of_it)
            if self._stream.connection.state is ConnectionState.OPEN and self._over.is_set():
                broken = CloseConnection(code=CloseReason.PROTOCOL_ERROR)
                await self._put(self._stream.connection.send(broken))
        except (StalledError, OSError):
            all_of_it.cancel()
        else:
            self._over.set()
            self._part_from(all_of_it)

    def _part_from(self, all_of_it: trio.CancelScope) -> None:
        """Tell the application that nobody listens, and let it end."""
        latest = trio.current_time() + LINGER_SECS_MAX
        all_of_it.deadline = min(all_of_it.deadline, latest)
        with suppress(trio.WouldBlock):
            self._to_application.send_nowait(dict(_DISCONNECT))

    async def _next(self) -> bytes:
        """What comes next. Raises StalledError when the client is silent for too long."""
        try:
            return await self._transport.receive(SOCKET_PING_SECS, may_extend=False)
        except StalledError:
            if self._stream.connection.state is ConnectionState.OPEN:
                await self._put(self._stream.connection.send(Ping()))
            return await self._transport.receive(SOCKET_PING_SECS, may_extend=False)

    async def _send(self, event: Event) -> None:
        """What Hypercorn's stream sends."""
        if isinstance(event, Data):
            await self._put(event.data)
        elif isinstance(event, StreamClosed):
            self._over.set()
        elif isinstance(event, EndData):
            return
        else:
            await self._send_http(event)
            if isinstance(event, Response) and event.status_code == 101:
                stall_secs = min(self._transport.stall_secs, SOCKET_STALL_SECS_MAX)
                self._transport.stall_secs = stall_secs
                self._accepted.set()

    async def _put(self, content: bytes) -> None:
        """Send one frame after the other: the application and the protocol both do."""
        async with self._sending:
            await self._transport.send(content)
