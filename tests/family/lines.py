"""Connections of which one knows the worker, and requests over them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.crash.client import Answer
from tests.family.family import POLL_SECS, WORKERS, Wrong

ANSWER_SECS_MAX = 30.0
FIND_SECS_MAX = 30.0
BROKEN = (BrokenPipeError, ConnectionResetError, http.client.IncompleteRead)
"""How a request fails whose process was killed; http.client's own errors are kinds of these."""
WORKER_HEADER = "x-angos-worker"


def connected(address: str) -> http.client.HTTPConnection:
    """A connection that is never opened again behind one's back."""
    connection = http.client.HTTPConnection(address, timeout=ANSWER_SECS_MAX)
    connection.connect()
    connection.auto_open = 0
    return connection


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request and its whole answer."""
    connection.request(method, path, body, dict(headers or {}))
    return answer_of(connection)


def answer_of(connection: http.client.HTTPConnection) -> Answer:
    """The answer to what was sent."""
    response = connection.getresponse()
    named = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, named, response.read())


def worker_of(answer: Answer) -> str:
    """The worker that answered. Raises Wrong when it does not say."""
    try:
        return answer.headers[WORKER_HEADER]
    except KeyError:
        raise Wrong(f"an answer without a worker: {answer}") from None


def connect_to(address: str, worker: str) -> http.client.HTTPConnection:
    """A connection to one worker: others are opened until it takes one. Raises Wrong."""
    deadline = time.monotonic() + FIND_SECS_MAX
    others: list[http.client.HTTPConnection] = []
    try:
        while time.monotonic() < deadline:
            connection = connected(address)
            try:
                found = worker_of(exchange(connection, "GET", "/v2/"))
            except BROKEN:
                connection.close()
                continue
            if found == worker:
                return connection
            others.append(connection)
            if len(others) > 3 * len(WORKERS):  # it is being started: give it time
                others.pop(0).close()
                time.sleep(POLL_SECS)
    finally:
        for other in others:
            other.close()
    raise Wrong(f"{worker} takes no connection")


@dataclass
class Line:
    """Requests to one worker, over one connection as long as that lasts."""

    address: str
    worker: str
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, answered by this worker. Raises Wrong when another answers."""
        answer = exchange(self.open(), method, path, body, headers)
        if worker_of(answer) != self.worker:
            raise Wrong(f"{method} {path}: {worker_of(answer)} answers for {self.worker}")
        return answer

    def expect(
        self,
        status: int,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The same; Raises Wrong when it has another status."""
        answer = self.ask(method, path, body, headers)
        if answer.status != status:
            raise Wrong(
                f"{method} {path} through {self.worker}: {answer.status} {answer.body[:200]!r}, "
                f"expected {status}"
            )
        return answer

    def open(self) -> http.client.HTTPConnection:
        """The connection, made where there is none."""
        if self._connection is None or self._connection.sock is None:
            self._connection = connect_to(self.address, self.worker)
        return self._connection

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def lines_to(address: str) -> Iterator[list[Line]]:
    """A line to each worker, opened together."""
    lines = [Line(address, worker) for worker in WORKERS]
    try:
        for line in lines:
            line.open()
        yield lines
    finally:
        for line in lines:
            line.close()


@dataclass
class SlowRequest:
    """A request over a line whose body is sent in pieces, as the test wants them."""

    line: Line
    sent: int = 0

    def begin(self, method: str, path: str, size: int, headers: Mapping[str, str]) -> None:
        """Send the head."""
        connection = self.line.open()
        connection.putrequest(method, path)
        for name, value in {**headers, "Content-Length": str(size)}.items():
            connection.putheader(name, value)
        connection.endheaders()

    def send(self, piece: bytes) -> None:
        """Send a piece of the body."""
        self.line.open().send(piece)
        self.sent += len(piece)

    def answer(self) -> Answer:
        """The answer, once all is sent."""
        return answer_of(self.line.open())

    def is_cut_off(self) -> bool:
        """Whether the connection is closed, or an error was answered, before the body's end."""
        with suppress(*BROKEN):
            return self.answer().status >= 400
        return True
