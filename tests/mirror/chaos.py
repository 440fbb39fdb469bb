"""Between two registries: a proxy that passes answers on as they are, or does something to them."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

HOST: Final = "127.0.0.1"
LATENCY_SECS: Final = 0.3
SILENCE_SECS_MAX: Final = 30.0
RECEIVE_BYTES: Final = 1 << 16


@dataclass
class Answer:
    """An answer of the registry behind the proxy, whole."""

    head: bytes
    body: bytes

    def with_length(self, length: int) -> bytes:
        """The head, which says another length."""
        lines = [
            line
            for line in self.head.split(b"\r\n")
            if not line.lower().startswith(b"content-length:")
        ]
        return b"\r\n".join([*lines, b"Content-Length: %d" % length])


Mangle = Callable[[Answer, socket.socket], None]


def _send(answer: Answer, client: socket.socket) -> None:
    client.sendall(answer.head + b"\r\n\r\n" + answer.body)


def _late(answer: Answer, client: socket.socket) -> None:
    time.sleep(LATENCY_SECS)
    _send(answer, client)


def _reset(answer: Answer, client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _reset_half_way(answer: Answer, client: socket.socket) -> None:
    client.sendall(answer.head + b"\r\n\r\n" + answer.body[: len(answer.body) // 2])
    _reset(answer, client)


def _cut_off(answer: Answer, client: socket.socket) -> None:
    client.sendall(answer.head + b"\r\n\r\n" + answer.body[:-1])


def _flip(answer: Answer, client: socket.socket) -> None:
    middle = len(answer.body) // 2
    body = bytearray(answer.body)
    if body:
        body[middle] ^= 1
    _send(Answer(answer.head, bytes(body)), client)


def _longer(answer: Answer, client: socket.socket) -> None:
    body = answer.body + b"x"
    client.sendall(answer.with_length(len(body)) + b"\r\n\r\n" + body)


def _shorter(answer: Answer, client: socket.socket) -> None:
    body = answer.body[:-1]
    client.sendall(answer.with_length(len(body)) + b"\r\n\r\n" + body)


def _silent(answer: Answer, client: socket.socket) -> None:
    """Until the other side has had enough, and closes."""
    client.settimeout(SILENCE_SECS_MAX)
    client.recv(1)


def _silent_half_way(answer: Answer, client: socket.socket) -> None:
    client.sendall(answer.head + b"\r\n\r\n" + answer.body[: len(answer.body) // 2])
    _silent(answer, client)


def _page(answer: Answer, client: socket.socket) -> None:
    body = b"<html>Sign in to this network</html>"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d" % len(body)
    client.sendall(head + b"\r\n\r\n" + body)


def _other_digest(answer: Answer, client: socket.socket) -> None:
    lines = answer.head.split(b"\r\n")
    told = b"Docker-Content-Digest: sha256:" + b"0" * 64
    kept = [line for line in lines if not line.lower().startswith(b"docker-content-digest:")]
    _send(Answer(b"\r\n".join([*kept, told]), answer.body), client)


def _noise(answer: Answer, client: socket.socket) -> None:
    client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def status(number: int, *headers: bytes) -> Mangle:
    """An answer of this status in the place of the right one."""

    def mangle(answer: Answer, client: socket.socket) -> None:
        lines = [b"HTTP/1.1 %d Because" % number, b"Content-Length: 0", *headers]
        client.sendall(b"\r\n".join(lines) + b"\r\n\r\n")

    return mangle


FAULTS: Final[dict[str, Mangle]] = {
    "latency": _late,
    "reset": _reset,
    "reset half way": _reset_half_way,
    "truncated": _cut_off,
    "flipped byte": _flip,
    "longer": _longer,
    "shorter": _shorter,
    "silence": _silent,
    "silence half way": _silent_half_way,
    "page": _page,
    "other digest": _other_digest,
    "noise": _noise,
    "401": status(401),
    "403": status(403),
    "404": status(404),
    "429": status(429, b"Retry-After: 2"),
    "500": status(500),
    "502": status(502),
    "redirect loop": status(307, b"Location: /v2/"),
    "redirect to metadata": status(307, b"Location: http://169.254.169.254/latest/meta-data/"),
}


@dataclass
class ChaosProxy:
    """Listens on `port`. What is asked for is in `asked`, by method and path; `fault` is done to
    answers about paths that `concerns` says."""

    target: int
    port: int
    fault: str | None = None
    concerns: Callable[[str], bool] = lambda path: True
    asked: list[str] = field(default_factory=list)

    def serve(self, client: socket.socket) -> None:
        """One connection, one request."""
        with client, suppress(OSError):
            request = _head_of(client)
            method, path, _ = request.split(b" ", 2)
            self.asked.append(f"{method.decode()} {path.decode()}")
            answer = self._answer(request, is_head=method == b"HEAD")
            is_wrong = self.fault is not None and self.concerns(path.decode())
            FAULTS[self.fault](answer, client) if is_wrong and self.fault else _send(answer, client)

    def _answer(self, request: bytes, *, is_head: bool) -> Answer:
        with socket.create_connection((HOST, self.target)) as behind:
            behind.sendall(request)
            received = b""
            while part := behind.recv(RECEIVE_BYTES):
                received += part
        head, _, body = received.partition(b"\r\n\r\n")
        return Answer(head, b"" if is_head else body)


def _head_of(client: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        part = client.recv(RECEIVE_BYTES)
        if not part:
            raise OSError("the client left")
        received += part
    return received


@contextmanager
def chaos_before(target: int) -> Iterator[ChaosProxy]:
    """A proxy before a port of this host, for the length of a `with` block."""
    with socket.create_server((HOST, 0)) as listener:
        proxy = ChaosProxy(target, listener.getsockname()[1])
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    thread = threading.Thread(target=proxy.serve, args=(client,))
                    thread.start()
                    threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()
