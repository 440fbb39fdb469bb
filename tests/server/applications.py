"""Small ASGI applications that do one thing, to see what the server does around them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import trio

from angos_trio.identity import FILE_EXTENSION


async def answer(send: Any, status: int, body: bytes, **headers: str) -> None:
    """One whole answer."""
    fields = {"content-length": str(len(body)), **headers}
    encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def echo(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Takes the whole body, then tells what the request was."""
    size, is_whole = 0, False
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            await answer(send, 400, b"")
            return
        size += len(message["body"])
        is_whole = not message["more_body"]
    told = {
        "method": scope["method"],
        "path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "body_bytes": size,
    }
    await answer(send, 200, json.dumps(told).encode())


async def refuse(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Answers 413 without a look at the body."""
    await answer(send, 413, b"no")


async def break_off(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Fails in the way that the path names."""
    path = scope["path"]
    if path == "/before":
        raise RuntimeError("before the answer")
    if path == "/silent":
        return
    headers = [(b"content-length", b"100")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "/head":
        raise RuntimeError("after the head")
    await send({"type": "http.response.body", "body": b"x" * 10, "more_body": True})
    if path == "/short":
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    if path == "/body":
        raise RuntimeError("in the body")


class Waiting:
    """Does not read before `go`, and counts what it is given afterwards."""

    def __init__(self) -> None:
        self.is_asked = trio.Event()
        self.go = trio.Event()

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        self.is_asked.set()
        await self.go.wait()
        await echo(scope, receive, send)

    async def release(self) -> None:
        """Let it go on; to be run in the server's loop."""
        self.go.set()

    async def wait_asked(self) -> None:
        """Return when a request is being handled; to be run in the server's loop."""
        with trio.fail_after(5):
            await self.is_asked.wait()


class OneFile:
    """Answers with a file through the private extension, announcing `announced` bytes."""

    def __init__(self, path: str, announced: int) -> None:
        self.path = path
        self.announced = announced

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        assert FILE_EXTENSION in scope["extensions"]
        headers = [(b"content-length", str(self.announced).encode())]
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send(
                {
                    "type": FILE_EXTENSION,
                    "fd": descriptor,
                    "offset": 0,
                    "length": self.announced,
                }
            )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            os.close(descriptor)
