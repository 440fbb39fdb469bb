"""Requests of a command to a registry that runs, over its control socket. Blocks, with deadlines.

A connection for each request, which the registry closes: so what came is read to its end first,
within one deadline and one bound, and then parsed by the standard library.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from angos_trio.errors import OperatorError
from angos_trio.limits.housekeeping import BACKUP_LINE_BYTES_MAX
from angos_trio.limits.processes import CONTROL_ANSWER_BYTES_MAX
from angos_trio.limits.requests import RECEIVE_BYTES
from angos_trio.records import Frozen

_UNIX_PATH_MAX: Final = 100


class Request(Frozen):
    """What the operator asks: `target` is a path with its query, `body` is JSON."""

    method: str
    target: str
    body: bytes = b""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that it is sent with."""
        typed = {"Content-Type": "application/json"} if self.body else {}
        return {"Host": "localhost", "Content-Length": str(len(self.body)), **typed}


class Answer(Frozen):
    """What the registry says; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Conversation:
    """A request whose body is lines, each of which is answered by a line. For one thread at a time.

    Every method raises OperatorError when the registry refuses, is silent for too long, or goes
    away.
    """

    def __init__(self, address: str, target: str, secs: float) -> None:
        """Connect. `secs` is how long an answer may take."""
        headers = {"Host": "localhost", "Transfer-Encoding": "chunked", "Connection": "close"}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        self._head = "\r\n".join([f"POST {target} HTTP/1.1", *lines, "", ""]).encode()
        self._answer: http.client.HTTPResponse | None = None
        with _explained():
            self._connection = _connected(address, secs)

    def exchange(self, line: bytes) -> bytes:
        """Say a line and wait for the answer to it, both without their ends."""
        with _explained():
            said = line + b"\n"
            chunk = b"%x\r\n%s\r\n" % (len(said), said)
            self._connection.sendall(self._head + chunk)
            self._head = b""
            if self._answer is None:
                self._answer = http.client.HTTPResponse(self._connection, method="POST")
                self._answer.begin()
                if self._answer.status != 200:
                    raise OperatorError(f"the registry refuses with {self._answer.status}")
            heard = self._answer.readline(BACKUP_LINE_BYTES_MAX)
            if not heard.endswith(b"\n"):
                raise http.client.IncompleteRead(heard)
            return heard[:-1]

    def close(self) -> None:
        """Leave; the registry notices at once."""
        self._connection.close()
        if self._answer is not None:
            self._answer.close()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise _silent() from None
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise OperatorError(f"the registry went away: {reason}") from error


def unix_address(path: Path, folder: int) -> str:
    """A Unix socket's address; `folder` is a descriptor of the directory that it is in.

    The kernel takes 107 bytes; a longer way is gone through the directory's descriptor.
    """
    is_long = len(os.fsencode(path)) > _UNIX_PATH_MAX
    return f"/proc/self/fd/{folder}/{path.name}" if is_long else str(path)


def is_listening(address: str, secs: float) -> bool:
    """Whether somebody listens on a Unix socket. Raises OperatorError when we may not know."""
    try:
        with _connected(address, secs):
            return True
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except TimeoutError:
        raise _silent() from None
    except OSError as error:
        raise OperatorError(f"the control socket cannot be opened: {error.strerror}") from error


def ask(address: str, request: Request, secs: float) -> Answer:
    """Send a request and wait for the whole answer. Raises OperatorError when there is none."""
    deadline = time.monotonic() + secs
    try:
        with _connected(address, secs) as connection:
            connection.sendall(_head(request) + request.body)
            return _parse(_read(connection, deadline), request.method)
    except TimeoutError:
        raise _silent() from None
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise OperatorError(
            f"the registry went away before it answered, and may have done it: {reason}"
        ) from error


def _head(request: Request) -> bytes:
    headers = {**request.headers, "Connection": "close"}
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _read(connection: socket.socket, deadline: float) -> bytes:
    """All that comes; it may not be endless and not come for ever."""
    content = bytearray()
    while (left_secs := deadline - time.monotonic()) > 0:
        connection.settimeout(left_secs)
        part = connection.recv(RECEIVE_BYTES)
        if not part:
            return bytes(content)
        content += part
        if len(content) > CONTROL_ANSWER_BYTES_MAX:
            raise OperatorError(f"the answer is larger than {CONTROL_ANSWER_BYTES_MAX} bytes")
    raise TimeoutError


class _Received:
    """What was received, as far as the parser of the standard library wants a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> io.BytesIO:
        """The content as a file."""
        return io.BytesIO(self._content)


def _parse(content: bytes, method: str) -> Answer:
    if b"\r\n\r\n" not in content:  # the parser takes a head that breaks off for a whole one
        raise http.client.IncompleteRead(content)
    answer = http.client.HTTPResponse(cast(socket.socket, _Received(content)), method=method)
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, headers, answer.read())


def _connected(address: str, secs: float) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(secs)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def _silent() -> OperatorError:
    return OperatorError("the registry runs but does not answer; its log may say why")
