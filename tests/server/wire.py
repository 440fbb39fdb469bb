"""A client that sends exactly the bytes it is told to, and reads answers one by one."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

HOST = "127.0.0.1"
TIMEOUT_SECS = 10.0
POLL_SECS = 0.005
BROKEN = (ConnectionError, ssl.SSLEOFError)
WITHOUT_BODY = frozenset({204, 304})


@dataclass(frozen=True)
class Answer:
    """One answer: header names in lower case; `is_whole` is False when the body broke off."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool = True


class Wire:
    """A connection, to be used in a `with` block."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        timeout_secs: float = TIMEOUT_SECS,
        buffer_bytes: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(timeout_secs)
        if buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        try:
            self.socket.connect(address)
            if tls is not None:
                # A peer that ends without a word of it has not ended in order.
                tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
                self.socket = tls.wrap_socket(
                    self.socket, server_hostname=address[0], suppress_ragged_eofs=False
                )
        except OSError:
            self.socket.close()
            raise
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def reset(self) -> None:
        """Leave as a client does that was killed: the peer gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> None:
        """Send a request; `Host` and, for a body, `Content-Length` are added."""
        fields = list(headers.items() if isinstance(headers, dict) else headers)
        if not any(name.lower() == "host" for name, _ in fields):
            fields.insert(0, ("Host", "localhost"))
        if body is not None:
            fields.append(("Content-Length", str(len(body))))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def head(self) -> tuple[int, dict[str, str]]:
        """The status and headers of the next answer, a 100 among them."""
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), f"no answer: {line!r}"
        headers: dict[str, str] = {}
        while (field := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def answer(self, method: str = "GET") -> Answer:
        """The next answer; `method` is that of its request, because HEAD has no body."""
        status, headers = self.head()
        if method == "HEAD" or status in WITHOUT_BODY or status < 200:
            return Answer(status, headers, b"")
        length = int(headers["content-length"])
        body = self.read(length)
        return Answer(status, headers, body, len(body) == length)

    def read(self, size: int) -> bytes:
        """That many bytes, or fewer when the connection breaks off."""
        try:
            return self._file.read(size)
        except BROKEN:
            return b""

    def line(self) -> bytes:
        """The next line, without its end."""
        return self._file.readline().rstrip(b"\r\n")

    def some(self) -> bytes:
        """What comes next; nothing when it is the end."""
        try:
            return self._file.read1(65536)
        except BROKEN:
            return b""

    def ask(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Answer:
        """Send a request and read its answer."""
        self.request(method, target, headers, body)
        return self.answer(method)

    def is_ended(self) -> bool:
        """Whether the peer has closed in order; waits for that or for a byte, which fails."""
        left = self._file.read(1)
        assert left == b"", f"the peer goes on: {left!r}"
        return True

    def is_over(self) -> bool:
        """Whether the peer has closed, in order or not; waits for that."""
        try:
            return self._file.read(1) == b""
        except BROKEN:
            return True

    def is_reset(self) -> bool:
        """Whether the peer has broken the connection off."""
        try:
            while self._file.read(65536):
                continue
        except BROKEN:
            return self._is_hung_up()
        return False

    def _is_hung_up(self) -> bool:
        poller = select.poll()
        poller.register(self.socket.fileno(), 0)
        return any(events & select.POLLHUP for _, events in poller.poll(0))


def eventually(
    is_so: Callable[[], bool],
    what: Callable[[], str] = lambda: "it did not come about",
    within_secs: float = TIMEOUT_SECS,
) -> None:
    """Wait until a condition holds; fail with `what` says when it does not in time."""
    deadline = time.monotonic() + within_secs
    while not is_so():
        assert time.monotonic() < deadline, what()
        time.sleep(POLL_SECS)
