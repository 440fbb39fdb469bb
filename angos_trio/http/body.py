"""Request bodies that are pulled, never piled up.

Quart collects a body in the background without back-pressure. Here nothing is received before it
is asked for, so what is in flight is one message, and `100 Continue` goes out at the first read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from quart_trio.wrappers.request import TrioBody

from angos_trio.limits.requests import SMALL_BODY_BYTES_MAX


class ClientGoneError(Exception):
    """The client left, or brought nothing for too long, before its body was complete."""


class BodyTooLargeError(Exception):
    """A body that is read whole is larger than its bound, in bytes."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        super().__init__(f"body is larger than {bytes_max} bytes")


class RequestBody(TrioBody):
    """An iterator of the body's parts; cancelling a step of it loses nothing."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(expected_content_length, max_content_length)
        self._receive: Callable[[], Awaitable[Any]] | None = None
        self._is_complete = False

    def attach(self, receive: Callable[[], Awaitable[Any]]) -> None:
        """Take the connection's receive function."""
        self._receive = receive

    def __aiter__(self) -> RequestBody:
        return self

    async def __anext__(self) -> bytes:
        if self._is_complete or self._receive is None:
            raise StopAsyncIteration
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if not message.get("more_body", False):
            self._is_complete = True
        part: bytes = message.get("body", b"")
        if part or not self._is_complete:
            return part
        raise StopAsyncIteration

    async def hear(self) -> bool:
        """Take in what a WebSocket's client says, and forget it; whether it is still there."""
        if self._receive is None:
            return False
        message = await self._receive()
        return bool(message["type"] != "websocket.disconnect")

    async def read(self, bytes_max: int) -> bytes:
        """The whole body. Raises BodyTooLargeError as soon as it is larger than the bound."""
        parts: list[bytes] = []
        size = 0
        async for part in self:
            size += len(part)
            if size > bytes_max:
                raise BodyTooLargeError(bytes_max)
            parts.append(part)
        return b"".join(parts)

    def __await__(self) -> Generator[Any, None, bytes]:
        return self.read(SMALL_BODY_BYTES_MAX).__await__()
