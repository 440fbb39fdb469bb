"""What a handler answers: a status, headers, and bytes or a part of a file."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

import msgspec
import trio

from angos_trio.identity import FILE_EXTENSION
from angos_trio.limits.lists import LINES_BYTES_MAX, LIST_PIECE_BYTES
from angos_trio.limits.requests import FILE_READ_BYTES
from angos_trio.oci.codes import OciError
from angos_trio.records import Frozen, Mutable, field
from angos_trio.registry.pull import BrokenOffError, Span
from angos_trio.telemetry.log import logger

_log = logger("http")


class FilePart(Mutable):
    """`length` bytes of an open file; whoever holds the part closes the descriptor."""

    descriptor: int
    offset: int
    length: int

    def close(self) -> None:
        """Close the descriptor; twice is fine."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Reply(Mutable):
    """An answer. The reply owns the file of its body and closes it however sending ends."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | FilePart = b""
    cookies: list[str] = field(default_factory=list)
    """Values of `Set-Cookie`, of which each is a header of its own (RFC 6265 3)."""

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return self.body.length if isinstance(self.body, FilePart) else len(self.body)

    async def send(self, scope: Mapping[str, Any], send: Any) -> None:
        """Send it as ASGI messages."""
        try:
            headers = self.headers
            if self.status != 204 and self.status != 304:
                headers.setdefault("Content-Length", str(self.length))
            start = {
                "type": "http.response.start",
                "status": self.status,
                "headers": [*_fields(headers), *self._cookie_fields()],
            }
            await send(start)
            if isinstance(self.body, FilePart):
                await _send_file(self.body, scope, send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await send({"type": "http.response.body", "body": self.body, "more_body": False})
        finally:
            self.close()

    def _cookie_fields(self) -> list[tuple[bytes, bytes]]:
        return [(b"set-cookie", cookie.encode("latin-1")) for cookie in self.cookies]

    def close(self) -> None:
        """Close what the reply owns."""
        if isinstance(self.body, FilePart):
            self.body.close()


def _nothing_to_close() -> None:
    return


class StreamReply(Reply):
    """An answer whose bytes come from elsewhere while they are sent; `size` is None where nobody
    knows how many. What cannot be had to its end ends the connection."""

    size: int | None = None
    pieces: AsyncGenerator[bytes | Span, None] | None = None
    """None: there is nothing to send, as for HEAD."""
    let_go: Callable[[], None] = _nothing_to_close

    async def send(self, scope: Mapping[str, Any], send: Any) -> None:
        """Send it as ASGI messages."""
        headers = self.headers
        if self.size is not None:
            headers = {**headers, "Content-Length": str(self.size)}
        fields = _fields(headers)
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": fields})
            if self.pieces is not None:
                async with aclosing(self.pieces) as pieces:
                    async for piece in pieces:
                        await self._send_piece(piece, scope, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except BrokenOffError as error:
            # To the server as if the client's connection had ended: so it shall.
            _log.warning("answer.broken_off", reason=str(error))
            raise ConnectionAbortedError(str(error)) from None
        finally:
            self.close()

    async def _send_piece(self, piece: bytes | Span, scope: Mapping[str, Any], send: Any) -> None:
        if isinstance(piece, bytes):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            return
        await _send_file(FilePart(piece.descriptor, piece.offset, piece.length), scope, send)

    def close(self) -> None:
        """Let go of where they come from."""
        self.let_go()


_CLOSE_NORMAL: Final = 1000


class Say(Protocol):
    """Sends one JSON document, and waits until the client has room for it."""

    async def __call__(self, document: object) -> None: ...

    async def all(self, documents: Iterable[object]) -> None:
        """Several, together where that is possible. The next is asked for once there is room."""


class _Lines(Frozen):
    """Says JSON as lines of the body."""

    send: Any

    async def __call__(self, document: object) -> None:
        await self.all([document])

    async def all(self, documents: Iterable[object]) -> None:
        lines = bytearray()
        for document in documents:
            lines += _json(document) + b"\n"
            if len(lines) >= LINES_BYTES_MAX:
                await self._put(bytes(lines))
                lines.clear()
        if lines:
            await self._put(bytes(lines))

    async def _put(self, content: bytes) -> None:
        await self.send({"type": "http.response.body", "body": content, "more_body": True})


class _Frames(Frozen):
    """Says JSON as messages of a WebSocket."""

    send: Any

    async def __call__(self, document: object) -> None:
        await self.send({"type": "websocket.send", "text": _json(document).decode()})

    async def all(self, documents: Iterable[object]) -> None:
        for document in documents:
            await self(document)


async def _say_nothing(say: Say) -> None:
    return


async def _say_no_more(say: Say) -> tuple[int, str]:
    return _CLOSE_NORMAL, ""


class LinesReply(Reply):
    """An answer of lines of JSON, each sent when there is something to say. `talk` may read the
    request's body meanwhile."""

    talk: Callable[[Say], Awaitable[None]] = _say_nothing

    async def send(self, scope: Mapping[str, Any], send: Any) -> None:
        """Send it as ASGI messages."""
        headers = {**self.headers, "Content-Type": "application/x-ndjson"}
        fields = _fields(headers)
        await send({"type": "http.response.start", "status": self.status, "headers": fields})
        if scope["method"] != "HEAD":
            await self.talk(_Lines(send))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _no_entries() -> AsyncGenerator[object, None]:
    return
    yield


class ListReply(Reply):
    """A JSON object of which the last value is a list that is sent as it is read: `first` are the
    keys before it."""

    key: str = ""
    entries: AsyncGenerator[object, None] = field(default_factory=_no_entries)
    first: Mapping[str, object] = field(default_factory=dict)

    async def send(self, scope: Mapping[str, Any], send: Any) -> None:
        """Send it as ASGI messages; whatever ends it early ends the connection too."""
        headers = {"Content-Type": "application/json", **self.headers}
        fields = _fields(headers)
        await send({"type": "http.response.start", "status": self.status, "headers": fields})
        if scope["method"] != "HEAD":
            async with aclosing(self.entries), aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        piece = bytearray(_json({**self.first, self.key: []})[:-2])
        separator = b""
        async for entry in self.entries:
            piece += separator + _json(entry)
            separator = b","
            if len(piece) >= LIST_PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece) + b"]}"


class SocketReply(Reply):
    """Accept a WebSocket. `talk` returns the code and the reason to close it with (RFC 6455 7.4);
    it hears the client meanwhile."""

    talk: Callable[[Say], Awaitable[tuple[int, str]]] = _say_no_more

    async def send(self, scope: Mapping[str, Any], send: Any) -> None:
        """Send it as ASGI messages."""
        await send({"type": "websocket.accept", "headers": _fields(self.headers)})
        code, reason = await self.talk(_Frames(send))
        await send({"type": "websocket.close", "code": code, "reason": reason})


async def _send_file(part: FilePart, scope: Mapping[str, Any], send: Any) -> None:
    if scope["method"] == "HEAD":
        return
    if FILE_EXTENSION in scope.get("extensions", {}):
        await send(
            {
                "type": FILE_EXTENSION,
                "fd": part.descriptor,
                "offset": part.offset,
                "length": part.length,
            }
        )
        return
    offset, end = part.offset, part.offset + part.length
    while offset < end:
        content = await trio.to_thread.run_sync(
            os.pread, part.descriptor, min(FILE_READ_BYTES, end - offset), offset
        )
        if not content:
            raise OSError("file ended before its length")
        offset += len(content)
        await send({"type": "http.response.body", "body": content, "more_body": True})


def _fields(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]


def _json(document: object) -> bytes:
    return msgspec.json.encode(document, enc_hook=_plain_text)


def json_reply(status: int, document: object, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer."""
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, _json(document))


def _plain_text(value: object) -> str:
    """Checked text, such as a digest, as the text that it is."""
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def error_reply(error: OciError, request_id: str) -> Reply:
    """The error body of the distribution specification; a 5xx tells nothing but the request id."""
    entry: dict[str, object] = {"code": error.code, "message": error.message}
    if error.status >= 500:
        entry["detail"] = {"request_id": request_id}
    elif error.detail is not None:
        entry["detail"] = error.detail
    return json_reply(error.status, {"errors": [entry]}, error.headers)
