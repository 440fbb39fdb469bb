"""What a handler answers: a status, headers, and bytes or a part of a file."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec
import trio

from angos_trio.identity import FILE_EXTENSION
from angos_trio.limits import FILE_READ_BYTES, LIST_PIECE_BYTES
from angos_trio.oci.codes import OciError


@dataclass(slots=True)
class FilePart:
    """`length` bytes of an open file; whoever holds the part closes the descriptor."""

    descriptor: int
    offset: int
    length: int

    def close(self) -> None:
        """Close the descriptor; twice is fine."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@dataclass(slots=True)
class Reply:
    """An answer. The reply owns the file of its body and closes it however sending ends."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | FilePart = b""

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
                "headers": [
                    (name.lower().encode("latin-1"), value.encode("latin-1"))
                    for name, value in headers.items()
                ],
            }
            await send(start)
            if isinstance(self.body, FilePart):
                await _send_file(self.body, scope, send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await send({"type": "http.response.body", "body": self.body, "more_body": False})
        finally:
            self.close()

    def close(self) -> None:
        """Close what the reply owns."""
        if isinstance(self.body, FilePart):
            self.body.close()


Say = Callable[[object], Awaitable[None]]
"""Sends one line of JSON."""


async def _say_nothing(say: Say) -> None:
    return


@dataclass(slots=True)
class LinesReply(Reply):
    """An answer of lines of JSON, each sent when there is something to say. `talk` may read the
    request's body meanwhile."""

    talk: Callable[[Say], Awaitable[None]] = _say_nothing

    async def send(self, scope: Mapping[str, Any], send: Any) -> None:
        """Send it as ASGI messages."""
        headers = {**self.headers, "Content-Type": "application/x-ndjson"}
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": fields})

        async def say(document: object) -> None:
            line = _encode(document) + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})

        await self.talk(say)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _no_entries() -> AsyncGenerator[object, None]:
    return
    yield


@dataclass(slots=True)
class ListReply(Reply):
    """A JSON object of which the last value is a list that is sent as it is read: `first` are the
    keys before it."""

    key: str = ""
    entries: AsyncGenerator[object, None] = field(default_factory=_no_entries)
    first: Mapping[str, object] = field(default_factory=dict)

    async def send(self, scope: Mapping[str, Any], send: Any) -> None:
        """Send it as ASGI messages; whatever ends it early ends the connection too."""
        headers = {"Content-Type": "application/json", **self.headers}
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": fields})
        if scope["method"] != "HEAD":
            async with aclosing(self.entries), aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        piece = bytearray(_encode({**self.first, self.key: []})[:-2])
        separator = b""
        async for entry in self.entries:
            piece += separator + _encode(entry)
            separator = b","
            if len(piece) >= LIST_PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece) + b"]}"


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


def json_reply(status: int, document: object, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer."""
    content = _encode(document)
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, content)


def _encode(document: object) -> bytes:
    return msgspec.json.encode(document, enc_hook=_plain_text)


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
