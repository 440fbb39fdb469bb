"""A command's request over a Unix socket, to a registry that answers, hangs or breaks off."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.limits.processes import CONTROL_ANSWER_BYTES_MAX
from angos_trio.net.control import Answer, Conversation, Request, ask, is_listening

POST = Request("POST", "/v2/_ext/_keys", b'{"a": 1}')
SECS = 10.0
HEAD = b"HTTP/1.1 200 OK\r\n"
Peer = Callable[[socket.socket], None]


@contextmanager
def answering(path: Path, peer: Peer) -> Iterator[str]:
    """Somebody who listens on the path and does this with the first connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    peer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield str(path)
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def saying(content: bytes) -> Peer:
    """Reads the request, answers these bytes and closes."""

    def peer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(content)

    return peer


def test_request_is_sent_whole_and_its_answer_read(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def peer(connection: socket.socket) -> None:
        while not b"".join(heard).endswith(POST.body):
            heard.append(connection.recv(65_536))
        connection.sendall(HEAD + b"Link: </x>\r\nContent-Length: 2\r\n\r\nok")

    with answering(tmp_path / "s", peer) as address:
        assert ask(address, POST, SECS) == Answer(
            200, {"link": "</x>", "content-length": "2"}, b"ok"
        )

    lines = b"".join(heard).split(b"\r\n")
    assert lines[0] == b"POST /v2/_ext/_keys HTTP/1.1"
    assert b"Host: localhost" in lines
    assert b"Content-Length: 8" in lines
    assert sum(line.lower().startswith(b"host:") for line in lines) == 1


def test_answer_without_a_body_is_read(tmp_path: Path) -> None:
    with answering(tmp_path / "s", saying(b"HTTP/1.1 204 No Content\r\n\r\n")) as address:
        assert ask(address, Request("DELETE", "/x"), SECS) == Answer(204, {}, b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        HEAD + b"Content-Length: 10\r\n\r\nhalf",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        HEAD + b"X: " + b"y" * 100_000,
    ],
)
def test_answer_that_breaks_off_may_have_been_done(tmp_path: Path, content: bytes) -> None:
    with (
        answering(tmp_path / "s", saying(content)) as address,
        pytest.raises(OperatorError, match="may have done it"),
    ):
        ask(address, POST, SECS)


def hang(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.recv(1)


def hang_in_the_body(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(HEAD + b"Content-Length: 10\r\n\r\nhalf")
    connection.recv(1)


def trickle(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\nx\r\n")
        time.sleep(0.01)


@pytest.mark.parametrize("peer", [hang, hang_in_the_body, trickle])
def test_registry_that_hangs_is_given_up(tmp_path: Path, peer: Peer) -> None:
    begun_at = time.monotonic()
    with (
        answering(tmp_path / "s", peer) as address,
        pytest.raises(OperatorError, match="does not answer"),
    ):
        ask(address, POST, 0.1)

    assert time.monotonic() - begun_at < 5


def test_endless_answer_is_given_up(tmp_path: Path) -> None:
    size = CONTROL_ANSWER_BYTES_MAX + 1
    content = HEAD + f"Content-Length: {size}\r\n\r\n".encode() + bytes(size)
    with (
        answering(tmp_path / "s", saying(content)) as address,
        pytest.raises(OperatorError, match="larger than"),
    ):
        ask(address, POST, SECS)


def test_socket_that_somebody_listens_on(tmp_path: Path) -> None:
    with answering(tmp_path / "s", lambda connection: None) as address:
        assert is_listening(address, SECS)


def test_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert not is_listening(str(path), SECS)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.exists()
    assert not is_listening(str(path), SECS)


def test_what_is_no_socket_is_told(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    assert not is_listening(str(tmp_path / "s"), SECS)
    with pytest.raises(OperatorError, match="cannot be opened"):
        is_listening(str(tmp_path / "s" / "below"), SECS)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def lines_of(*answers: bytes, heard: list[bytes] | None = None) -> Peer:
    """Answers each part that comes with one of these."""

    def peer(connection: socket.socket) -> None:
        for answer in answers:
            part = connection.recv(65_536)
            if heard is not None:
                heard.append(part)
            connection.sendall(answer)
        connection.recv(65_536)

    return peer


def test_each_line_is_answered_by_a_line(tmp_path: Path) -> None:
    heard: list[bytes] = []
    peer = lines_of(CHUNKED + b"4\r\none\n\r\n", b"4\r\ntwo\n\r\n", heard=heard)
    with answering(tmp_path / "s", peer) as address:
        conversation = Conversation(address, "/talk", SECS)
        assert conversation.exchange(b"a") == b"one"
        assert conversation.exchange(b"") == b"two"
        conversation.close()

    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /talk HTTP/1.1\r\nHost: localhost\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert [body, heard[1]] == [b"2\r\na\n\r\n", b"1\r\n\n\r\n"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "went away"),
        (b"nonsense\r\n\r\n", "went away"),
        (CHUNKED, "went away"),
        (CHUNKED + b"2\r\non", "went away"),
        (CHUNKED + b"2\r\non\r\n0\r\n\r\n", "went away"),
        (CHUNKED + b"zz\r\n", "went away"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "refuses with 404"),
    ],
)
def test_conversation_that_breaks_off_is_said(tmp_path: Path, answer: bytes, reason: str) -> None:
    with answering(tmp_path / "s", saying(answer)) as address:
        conversation = Conversation(address, "/talk", SECS)
        with pytest.raises(OperatorError, match=reason):
            conversation.exchange(b"")
        conversation.close()


def test_conversation_waits_no_longer_than_it_was_told(tmp_path: Path) -> None:
    with answering(tmp_path / "s", lines_of(b"")) as address:
        conversation = Conversation(address, "/talk", 0.2)
        with pytest.raises(OperatorError, match="does not answer"):
            conversation.exchange(b"")
        conversation.close()


def test_conversation_needs_somebody_who_listens(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="went away"):
        Conversation(str(tmp_path / "s"), "/talk", SECS)
