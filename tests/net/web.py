"""A small HTTP server on a loopback socket, in threads, that answers as the test says."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

SECS_MAX = 10.0


@dataclass(frozen=True)
class Request:
    """What a client asked; names of headers as they came."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True)
class Reply:
    """What is answered. `raw` stands for the whole of it; `hangs` says nothing more after it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hangs: bool = False

    def encoded(self) -> bytes:
        """The bytes on the wire."""
        if self.raw is not None:
            return self.raw
        lines = [f"HTTP/1.1 {self.status} Said", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def json_reply(document: object, **headers: str) -> Reply:
    """A reply with a JSON document."""
    return Reply(body=json.dumps(document).encode(), headers=headers)


Handler = Callable[[Request], Reply]


class Web:
    """Listens; `asked` has every request so far, `connections` counts what was accepted."""

    def __init__(self, handler: Handler | Reply, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.asked: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def targets(self) -> list[str]:
        """What was asked for, in order."""
        return [request.target for request in self.asked]

    def close(self) -> None:
        """Stop listening, and let go of clients that hang."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(SECS_MAX)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(SECS_MAX)
        with connection, contextlib.suppress(OSError):
            if self._tls is None:
                self._answer(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._answer(secured)

    def _answer(self, connection: socket.socket) -> None:
        request = _read_request(connection)
        if request is None:
            return
        self.asked.append(request)
        reply = self.handler if isinstance(self.handler, Reply) else self.handler(request)
        connection.sendall(reply.encoded())
        if reply.hangs:
            self._over.wait(SECS_MAX)


def _read_request(connection: socket.socket) -> Request | None:
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(65536)
        if not received:
            return None
        head += received
        if not head[:1].isalpha():
            return Request("", "", ())
    first, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    return Request(method, target, tuple((name, value.strip(" ")) for name, _, value in pairs))


@contextlib.contextmanager
def web(handler: Handler | Reply, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A server for as long as the block runs."""
    serving = Web(handler, tls)
    try:
        yield serving
    finally:
        serving.close()
