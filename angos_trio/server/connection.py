"""One HTTP/1.1 connection: requests in turn, each handled in the connection's own task.

h11 holds the protocol's rules and Hypercorn's HTTP stream those of ASGI. Differences from
Hypercorn's own connection, and why: bodies are pulled by the application, so nothing piles up and
`100 Continue` goes out at the first read; every send has a deadline; an answer given before the
end of a body takes in a little more and then closes, and leaves no task behind.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import h11
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.protocol.events import Body, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.typing import ConnectionState

from angos_trio.errors import only_error
from angos_trio.identity import CERTIFICATE_EXTENSION, DRAIN_EXTENSION, FILE_EXTENSION
from angos_trio.limits.lists import SOCKET_MESSAGE_BYTES_MAX
from angos_trio.limits.requests import (
    FIRST_SECS_MAX,
    HEADER_BYTES_MAX,
    HEADER_SECS_MAX,
    IDLE_SECS_MAX,
    LINGER_BYTES_MAX,
    LINGER_SECS_MAX,
)
from angos_trio.records import Frozen
from angos_trio.server.transport import StalledError, Transport
from angos_trio.server.websocket import WebSocket, asks_for_socket
from angos_trio.telemetry.log import logger

_log = logger("server")
STREAM_ID: Final = 1
_BODY_END: Final = {"type": "http.request", "body": b"", "more_body": False}
_DISCONNECT: Final = {"type": "http.disconnect"}
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}

AsgiApp = Callable[..., Awaitable[None]]


class ServerSettings(Frozen):
    """What every connection of a listener shares."""

    app: AsgiApp
    config: HypercornConfig
    stall_secs: float


def hypercorn_config() -> HypercornConfig:
    """Hypercorn's configuration as its streams want it: no logs, no server name."""
    config = HypercornConfig()
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    config.websocket_max_message_size = SOCKET_MESSAGE_BYTES_MAX
    return config


class _FileSlice:
    """Stands for bytes of a file while h11 counts them."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


class _FileStream(HTTPStream):
    """Hypercorn's stream with the private extension by which a file is sent."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.send_file: Callable[[int, int, int], Awaitable[None]]

    async def app_send(self, message: Any) -> None:
        if message is not None and message["type"] == FILE_EXTENSION:
            if self.state != ASGIHTTPState.RESPONSE:
                raise RuntimeError("a file is sent before the response has started")
            await self.send_file(message["fd"], message["offset"], message["length"])
            return
        await super().app_send(message)


class Connection:
    """Serves one connection from its first byte to its close."""

    def __init__(self, transport: Transport, settings: ServerSettings) -> None:
        self._transport = transport
        self._settings = settings
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES_MAX)
        self._unsent = b""
        self._scope: Any = None
        self._idle_scope: trio.CancelScope | None = None
        self._handling: trio.CancelScope | None = None
        self._is_draining = False
        self._drain = trio.Event()
        self._has_asked = False
        self._ask_by = math.inf
        self._unread = 0
        self._has_taken_end = False

    async def serve(self) -> None:
        """Handle requests until the peer, an error or a drain ends the connection."""
        try:
            if await self._begin():
                while await self._cycle():
                    self._protocol.start_next_cycle()
                await self._say_goodbye()
        except (StalledError, OSError):
            self._transport.abort()
        except Exception:
            _log.exception("connection.crashed")
            self._transport.abort()
        finally:
            self._transport.close()

    def drain(self) -> None:
        """End the connection now if it is idle, else after the request at hand; one that nothing
        was asked on has a moment for its first request."""
        self._is_draining = True
        self._drain.set()
        self._ask_by = trio.current_time() + (0 if self._has_asked else FIRST_SECS_MAX)
        if self._idle_scope is not None:
            self._idle_scope.deadline = self._ask_by

    async def _begin(self) -> bool:
        """What comes before the first request: a drain has little patience for it."""
        has_begun = False
        with trio.CancelScope(deadline=self._ask_by) as self._idle_scope:
            has_begun = await self._transport.begin()
        self._idle_scope = None
        return has_begun

    async def _cycle(self) -> bool:
        """One request and its answer; whether another may follow."""
        request = await self._next_request()
        if request is None:
            return False
        self._has_asked = True
        if asks_for_socket(request):
            return await self._socket_cycle(request)
        stream = self._new_stream()
        await stream.handle(_as_event(request))
        self._scope["extensions"].update(self._extensions())
        self._scope["extensions"][FILE_EXTENSION] = {}
        with trio.CancelScope() as self._handling:
            await self._run_application(self._scope, self._receive, stream.app_send)
        if self._handling.cancelled_caught:
            raise OSError("the client left")
        self._handling = None
        await stream.app_send(None)
        await self._flush()
        return await self._settle()

    async def _socket_cycle(self, request: h11.Request) -> bool:
        """A WebSocket to its end; whether it was refused and another request may follow."""
        after_head, _ = self._protocol.trailing_data
        socket = WebSocket(self._transport, self._settings.config, self._stream_send, after_head)
        try:
            await socket.serve(_as_event(request), self._extensions(), self._run_application)
        except BaseExceptionGroup as group:
            raise only_error(group) from None
        if socket.is_accepted:
            return False
        await self._flush()
        return await self._settle()

    def _extensions(self) -> dict[str, Any]:
        """What is handed on with every request, besides what ASGI knows."""
        extensions: dict[str, Any] = {DRAIN_EXTENSION: self._drain}
        if self._transport.certificate is not None:
            extensions[CERTIFICATE_EXTENSION] = self._transport.certificate
        return extensions

    async def _run_application(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._settings.app(scope, receive, send)
        except (StalledError, OSError):
            raise
        except Exception:
            _log.exception("application.crashed")

    def end_if_abandoned(self) -> None:
        """Cancel the request at hand when its client has left.

        A client that ended its side may only have finished speaking. It is told `102 Processing`
        (RFC 2518 10.1): if it left, the answer is a reset, which the next look finds. Once there is
        an answer, whatever goes on for ever ends.
        """
        if self._handling is None or self._protocol.their_state is h11.SEND_BODY:
            return
        if self._transport.is_reset():
            self._handling.cancel()
        elif self._transport.has_ended():
            if self._protocol.our_state is h11.SEND_BODY:
                self._drain.set()
            elif self._may_probe():
                head = h11.InformationalResponse(status_code=102, headers=[], reason=b"Processing")
                self._transport.send_now(self._protocol.send(head) or b"")

    def _may_probe(self) -> bool:
        """An answer has not begun, and the client knows what an interim one is."""
        protocol = self._protocol
        return protocol.our_state is h11.SEND_RESPONSE and protocol.their_http_version == b"1.1"

    def _new_stream(self) -> _FileStream:
        settings, transport = self._settings, self._transport
        stream = _FileStream(
            settings.app,
            settings.config,
            None,  # a worker context, which the stream keeps and never asks
            self,
            transport.is_secure,
            transport.peer,
            transport.local,
            self._stream_send,
            STREAM_ID,
        )
        stream.send_file = self._send_file
        return stream

    async def spawn_app(
        self, app: AsgiApp, config: HypercornConfig, scope: Any, send: Any
    ) -> Callable[[Any], Awaitable[None]]:
        """What Hypercorn's stream calls to start the application; here it only keeps the scope."""
        self._scope = scope
        return _put_nothing

    async def _next_request(self) -> h11.Request | None:
        """The next request's head; None when there is none, or it was refused."""
        deadline = trio.current_time() + IDLE_SECS_MAX
        has_begun = False
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint, speaks_tls=self._speaks_tls())
                return None
            if isinstance(event, h11.Request):
                status = _head_refusal(event)
                if status is not None:
                    await self._refuse(status)
                    return None
                self._unread = _announced_length(event)
                self._has_taken_end = False
                if not _announces_body(event):
                    # Its end is there already: taken now, a client that leaves can be noticed.
                    self._has_taken_end = self._protocol.next_event() is not h11.NEED_DATA
                return event
            if event is not h11.NEED_DATA:
                return None
            content = await self._receive_head(deadline - trio.current_time())
            if content is None:
                return None
            self._protocol.receive_data(content)
            if not has_begun:
                # The whole head has this long, however it trickles.
                has_begun = True
                deadline = trio.current_time() + HEADER_SECS_MAX

    async def _receive_head(self, within_secs: float) -> bytes | None:
        if self._is_draining and self._has_asked and not self._protocol.trailing_data[0]:
            return None
        with trio.CancelScope(deadline=math.inf if self._has_asked else self._ask_by) as scope:
            self._idle_scope = scope
            try:
                return await self._transport.receive(max(0.0, within_secs), may_extend=False)
            except StalledError:
                if self._protocol.trailing_data[0]:
                    await self._refuse(408)
            finally:
                self._idle_scope = None
        return None

    def _speaks_tls(self) -> bool:
        """Whether what was received begins like a TLS handshake record (RFC 8446 5.1)."""
        return self._protocol.trailing_data[0].startswith(b"\x16\x03")

    async def _refuse(self, status: int, *, speaks_tls: bool = False) -> None:
        """Answer what is not HTTP, or breaks its rules, with a bare status, and close."""
        if self._protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        # Many clients try HTTPS first, at each command: that is no reason to warn.
        if speaks_tls:
            _log.info("tls.refused", client=self._transport.peer_address)
        else:
            _log.warning("request.refused", status=status, client=self._transport.peer_address)
        headers = [("content-length", "0"), ("connection", "close")]
        reason = _REASONS.get(status, b"")
        try:
            await self._send_event(h11.Response(status_code=status, headers=headers, reason=reason))
            await self._send_event(h11.EndOfMessage())
            await self._flush()
        except (h11.LocalProtocolError, OSError, StalledError):
            return

    async def _receive(self) -> dict[str, Any]:
        """The application's `receive`: the next part of the body, pulled from the socket."""
        if self._has_taken_end:
            self._has_taken_end = False
            return dict(_BODY_END)
        try:
            event = await self._next_part()
        except (h11.RemoteProtocolError, StalledError, OSError):
            return dict(_DISCONNECT)
        if isinstance(event, h11.Data):
            body = self._with_what_is_here(event)
            self._unread -= len(body)
            return {"type": "http.request", "body": body, "more_body": True}
        return dict(_BODY_END if isinstance(event, h11.EndOfMessage) else _DISCONNECT)

    def _with_what_is_here(self, first: h11.Data) -> bytes:
        """A part of the body, joined with the parts that h11 has taken in with it."""
        parts = [first.data]
        while self._protocol.their_state is h11.SEND_BODY:
            try:
                following = self._protocol.next_event()
            except h11.RemoteProtocolError:
                break  # the state tells the next call
            if not isinstance(following, h11.Data):
                self._has_taken_end = isinstance(following, h11.EndOfMessage)
                break
            parts.append(following.data)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    async def _next_part(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED] | None:
        """The body's next event; None when the request has ended."""
        while self._protocol.their_state is h11.SEND_BODY:
            if self._protocol.they_are_waiting_for_100_continue:
                await self._send_event(h11.InformationalResponse(status_code=100, headers=[]))
                await self._flush()
            event = self._protocol.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._protocol.receive_data(await self._transport.receive(self._settings.stall_secs))
        return None

    async def _stream_send(self, event: Event) -> None:
        """What Hypercorn's stream sends, as h11 events. A head waits for the first of its body."""
        if isinstance(event, Response) and event.status_code == 101:
            await self._send_event(
                h11.InformationalResponse(status_code=101, headers=event.headers, reason=b"")
            )
            await self._flush()
        elif isinstance(event, Response):
            headers = [*event.headers, *self._settings.config.response_headers("h11")]
            if self._must_close():
                headers.append((b"connection", b"close"))
            reason = _REASONS.get(event.status_code, b"")
            await self._send_event(
                h11.Response(status_code=event.status_code, headers=headers, reason=reason)
            )
        elif isinstance(event, Body):
            await self._send_event(h11.Data(data=event.data))
            await self._flush()
        elif isinstance(event, EndBody):
            await self._send_event(h11.EndOfMessage())
            await self._flush()
        elif isinstance(event, StreamClosed):
            return

    def _must_close(self) -> bool:
        """Whether it is known before the answer that no other request can follow it."""
        return (
            self._is_draining
            or self._protocol.they_are_waiting_for_100_continue
            or self._protocol.their_state is h11.ERROR
            or self._unread > LINGER_BYTES_MAX
        )

    async def _send_event(self, event: h11.Event) -> None:
        content = self._protocol.send(event)
        self._unsent += content or b""

    async def _flush(self) -> None:
        content, self._unsent = self._unsent, b""
        if content:
            await self._transport.send(content)

    async def _send_file(self, descriptor: int, offset: int, length: int) -> None:
        await self._flush()
        if length == 0:
            return
        parts = self._protocol.send_with_data_passthrough(
            h11.Data(data=_FileSlice(length))  # type: ignore[arg-type]
        )
        for part in parts or []:
            if isinstance(part, _FileSlice):
                await self._transport.send_file(descriptor, offset, length)
            else:
                await self._transport.send(part)

    async def _settle(self) -> bool:
        """After an answer: whether the connection can be used again."""
        protocol = self._protocol
        if protocol.our_state in (h11.SEND_BODY, h11.ERROR):
            # The application ended in the middle of its answer: the peer must see a broken one.
            self._transport.abort()
            raise OSError("answer is incomplete")
        if protocol.our_state is not h11.DONE:
            return False
        if protocol.their_state is h11.SEND_BODY and not await self._discard_body():
            return False
        return protocol.their_state is h11.DONE and not self._is_draining

    async def _discard_body(self) -> bool:
        """Take in the rest of a refused body, up to a bound; whether it has ended."""
        if self._protocol.they_are_waiting_for_100_continue:
            return False
        taken = 0
        with trio.move_on_after(LINGER_SECS_MAX):
            while taken < LINGER_BYTES_MAX:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    return False
                taken += len(message["body"])
                if not message["more_body"]:
                    return True
        return False

    async def _say_goodbye(self) -> None:
        """Close so that the last answer arrives even if the peer is still sending."""
        if self._protocol.their_state in (h11.SEND_BODY, h11.ERROR):
            await self._transport.linger()


async def _put_nothing(message: Any) -> None:
    """Hypercorn's stream tells the application of a disconnect; `receive` does that here."""


def _as_event(request: h11.Request) -> Request:
    return Request(
        stream_id=STREAM_ID,
        headers=list(request.headers),
        http_version=request.http_version.decode(),
        method=request.method.decode("ascii").upper(),
        raw_path=_origin_form(request.target),
        state=ConnectionState({}),
    )


def _origin_form(target: bytes) -> bytes:
    """A request target without scheme and host, which RFC 9112 3.2.2 lets a client send."""
    for scheme in (b"http://", b"https://"):
        if target[: len(scheme)].lower() == scheme:
            rest = target[len(scheme) :]
            slash = rest.find(b"/")
            return rest[slash:] if slash >= 0 else b"/"
    return target


def _head_refusal(request: h11.Request) -> int | None:
    """The status of a head that h11 lets pass and we do not.

    `Content-Length` beside `Transfer-Encoding` has two readings, by which requests are smuggled;
    h11 bounds a head only while it is incomplete.
    """
    names = {name for name, _ in request.headers}
    if b"content-length" in names and b"transfer-encoding" in names:
        return 400
    if not _origin_form(request.target).startswith(b"/"):
        return 400
    lines = sum(len(name) + len(value) + len(b": \r\n") for name, value in request.headers)
    return 431 if len(request.target) + lines > HEADER_BYTES_MAX else None


def _announces_body(request: h11.Request) -> bool:
    """Whether more than nothing is announced: `Content-Length: 0` has ended with the head."""
    names = {name for name, _ in request.headers}
    return b"transfer-encoding" in names or _announced_length(request) > 0


def _announced_length(request: h11.Request) -> int:
    """Bytes of the body, as far as the head tells; h11 has checked that it is a number."""
    return next((int(value) for name, value in request.headers if name == b"content-length"), 0)
