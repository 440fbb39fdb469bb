"""Requests as they stand on the wire, over TCP or a Unix socket: nothing of them is put right."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SECS_MAX: Final = 30.0
"""For an answer, on a machine that is busy."""
PIECE_BYTES: Final = 1 << 16


class NoAnswerError(Exception):
    """The connection ended, twice, before there was an answer; or none came in time."""


class UnsendableError(Exception):
    """No client could send this."""


@dataclass(frozen=True)
class Wanted:
    """A request."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_endless(self) -> bool:
        """Whether its answer goes on until somebody ends it."""
        return "follow=true" in self.target

    def told(self) -> str:
        """So that somebody can repeat it, without who asked."""
        headers = {key: value[:80] for key, value in self.headers.items() if key != "Authorization"}
        return f"{self.method} {self.target[:300]} {headers} {self.body[:200]!r}"


@dataclass(frozen=True)
class Answered:
    """An answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes
    secs: float


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECS_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Asker:
    """Asks one registry, at HOST:PORT or at the path of a Unix socket; always with `headers`."""

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    _connection: http.client.HTTPConnection | None = None

    def ask(self, wanted: Wanted) -> Answered:
        """Raises NoAnswerError, UnsendableError."""
        try:
            return self._ask(wanted)
        except (OSError, http.client.HTTPException):
            # The registry closes a connection after some refusals, which may show only now.
            self.close()
        try:
            return self._ask(wanted)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswerError(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask(self, wanted: Wanted) -> Answered:
        if self._connection is None:
            is_path = self.address.startswith("/")
            self._connection = (
                _UnixConnection(self.address)
                if is_path
                else http.client.HTTPConnection(self.address, timeout=SECS_MAX)
            )
        begun_at = time.perf_counter()
        self._send(self._connection, wanted)
        response = self._connection.getresponse()
        body = response.read1(PIECE_BYTES) if wanted.is_endless else response.read()
        headers: dict[str, list[str]] = {}
        for name, value in response.getheaders():
            headers.setdefault(name.lower(), []).append(value)
        if wanted.is_endless or response.will_close:
            self.close()
        return Answered(response.status, headers, body, time.perf_counter() - begun_at)

    def _send(self, connection: http.client.HTTPConnection, wanted: Wanted) -> None:
        lengths = {"content-length", "transfer-encoding"}
        headers = {
            **{
                name: value for name, value in wanted.headers.items() if name.lower() not in lengths
            },
            **self.headers,
        }
        if wanted.body or wanted.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(wanted.body))
        try:
            connection.putrequest(wanted.method, wanted.target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value.encode("latin-1"))
        except (ValueError, http.client.InvalidURL) as error:
            self.close()
            raise UnsendableError(str(error)) from error
        connection.endheaders(wanted.body or None)
