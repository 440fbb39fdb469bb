"""A receiver of webhooks that shares no code with the sender: plain sockets and threads of the
standard library. It can fail, hang, and be away, and it remembers every message that it was sent.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK_BYTES = 64
WAIT_SECS_MAX = 30.0
HANG_SECS = 30.0


def hmac_sha256(key: bytes, message: bytes) -> str:
    """As RFC 2104 defines it, in hexadecimal."""
    if len(key) > BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    key = key.ljust(BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


@dataclass(frozen=True)
class Received:
    """A message as it came; `status` is what it was answered with, 0 for one that got none."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    at: float

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, token: str) -> bool:
        """Whether the signature is that of these bytes."""
        wanted = "sha256=" + hmac_sha256(token.encode(), self.body)
        return self.headers.get("x-registry-signature-256") == wanted


Answer = Callable[[int, dict[str, Any]], int]
"""The status of an answer by the number of the message and its document; 0: none, for long."""


class Receiver:
    """Listens on a port of its own, and again on the same one after it was away."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or (lambda number, document: 204)
        self.received: list[Received] = []
        self.headers: dict[str, str] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?from=registry"

    @property
    def taken(self) -> list[Received]:
        """Those that were answered with a yes."""
        with self._lock:
            return [each for each in self.received if 200 <= each.status < 300]

    def start(self) -> None:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: what matters is in `received`."""

        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Be away: nobody listens on the port."""
        self._over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            number = len(self.received)
            status = self.answer(number, json.loads(body))
            found = Received(request.path, headers, body, status, time.monotonic())
            self.received.append(found)
        if status == 0:
            self._over.wait(HANG_SECS)
            request.close_connection = True
            return
        request.send_response(status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def wait(self, is_so: Callable[[], bool], secs: float = WAIT_SECS_MAX) -> None:
        """Return when something is so. Raises AssertionError."""
        deadline = time.monotonic() + secs
        while not is_so():
            assert time.monotonic() < deadline, [each.document for each in self.received]
            time.sleep(0.02)

    def wait_for(self, count: int, secs: float = WAIT_SECS_MAX) -> list[Received]:
        """The first messages that it said yes to."""
        self.wait(lambda: len(self.taken) >= count, secs)
        return self.taken


@contextmanager
def receiver(answer: Answer | None = None) -> Iterator[Receiver]:
    """One for as long as the block runs."""
    made = Receiver(answer)
    try:
        yield made
    finally:
        made.stop()
