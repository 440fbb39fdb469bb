"""One connection: requests in turn, and what breaks the rules of HTTP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing

from angos_trio.limits.requests import HEADER_BYTES_MAX, WATCH_SECS
from tests.server.applications import Waiting, break_off, echo, refuse
from tests.server.in_process import InProcessServer, in_process
from tests.server.log_lines import LogLines
from tests.server.secured import Secured, both
from tests.server.wire import Answer, Wire, eventually

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def log(log_lines: LogLines) -> LogLines:
    """The log of each test."""
    return log_lines


@pytest.fixture(scope="module")
def server(secured: Secured | None) -> Iterator[InProcessServer]:
    """A server around `echo`."""
    with in_process(echo, secured=secured) as running:
        yield running


@pytest.fixture
def wire(server: InProcessServer) -> Iterator[Wire]:
    """A connection to `server`."""
    with server.wire() as connected:
        yield connected


def body_bytes(answer: Answer) -> int:
    size: int = json.loads(answer.body)["body_bytes"]
    return size


@both
def test_connection_is_kept_for_many_requests(wire: Wire) -> None:
    for number in range(20):
        answer = wire.ask("PUT", f"/a/{number}?b={number}", body=b"x" * number)
        assert answer.status == 200
        assert json.loads(answer.body) == {
            "method": "PUT",
            "path": f"/a/{number}",
            "query": f"b={number}",
            "body_bytes": number,
        }
        assert "connection" not in answer.headers
        assert answer.headers["date"].endswith("GMT")
        assert "server" not in answer.headers


@both
def test_pipelined_requests_are_answered_in_turn(wire: Wire) -> None:
    requests = [
        f"POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {number}\r\n\r\n{'x' * number}"
        for number in range(10)
    ]
    wire.send("".join(requests).encode())

    answers = [json.loads(wire.answer().body) for _ in requests]

    assert [item["path"] for item in answers] == [f"/{number}" for number in range(10)]
    assert [item["body_bytes"] for item in answers] == list(range(10))


@both
def test_request_may_arrive_byte_by_byte(wire: Wire) -> None:
    for byte in b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":
        wire.send(bytes([byte]))

    assert body_bytes(wire.answer()) == 3


def test_chunked_body_with_extensions_and_trailers(wire: Wire) -> None:
    wire.request("POST", "/", {"Transfer-Encoding": "chunked"})
    wire.send(b"3;a=b\r\nabc\r\n")
    wire.send(b"A\r\n0123456789\r\n0\r\nX-Trailer: y\r\n\r\n")

    assert body_bytes(wire.answer()) == 13
    assert wire.ask("GET", "/again").status == 200


def test_head_has_headers_only(wire: Wire) -> None:
    answer = wire.ask("HEAD", "/")

    assert int(answer.headers["content-length"]) > 0
    assert wire.ask("GET", "/").status == 200


@both
@pytest.mark.parametrize("keep_alive", [True, False])
def test_http_1_0_is_served_and_closed(wire: Wire, keep_alive: bool) -> None:
    line = "Connection: keep-alive\r\n" if keep_alive else ""
    wire.send(f"GET / HTTP/1.0\r\n{line}\r\n".encode())

    assert wire.answer().status == 200
    assert wire.is_ended()


@both
def test_connection_close_is_obeyed_and_repeated(wire: Wire) -> None:
    answer = wire.ask("GET", "/", {"Connection": "close"})

    assert answer.headers["connection"] == "close"
    assert wire.is_ended()


def test_client_that_only_ends_its_own_side_gets_its_answer(wire: Wire) -> None:
    wire.request("POST", "/", body=b"x" * 1000)
    wire.socket.shutdown(socket.SHUT_WR)

    assert body_bytes(wire.answer()) == 1000
    assert wire.is_ended()


@pytest.mark.parametrize("header", [{"Upgrade": "h2c", "Connection": "upgrade"}, {}])
def test_upgrade_is_ignored(wire: Wire, header: dict[str, str]) -> None:
    assert wire.ask("GET", "/", header).status == 200
    assert wire.ask("POST", "/", {**header}, b"abc").status == 200


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 2, 3",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: -1",
        "Content-Length: 1e3",
        "Content-Length: 99999999999999999999999",
        "Host: b",
        "X\x00Y: z",
        "no colon",
    ],
)
def test_head_with_two_readings_is_400(server: InProcessServer, lines: str) -> None:
    with server.wire() as wire:
        wire.send(
            f"POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\nGET /next HTTP/1.1\r\n\r\n".encode()
        )
        answer = wire.answer()
        assert answer.status == 400
        assert answer.headers["connection"] == "close"
        assert wire.is_ended()
    server.expect_idle()


@both
@pytest.mark.parametrize(
    "first", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"\x00" * 100]
)
def test_what_is_not_http_is_400(wire: Wire, first: bytes) -> None:
    wire.send(first + b"\r\n\r\n")

    assert wire.answer().status == 400
    assert wire.is_ended()


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2"])
def test_other_versions_do_not_break_anything(wire: Wire, version: str) -> None:
    wire.send(f"GET / {version}\r\nHost: a\r\n\r\n".encode())

    assert wire.answer().status in (200, 400, 505)


def test_equal_lengths_given_twice_are_one(wire: Wire) -> None:
    answer = wire.ask("POST", "/", [("Content-Length", "3")], b"abc")

    assert answer.status in (200, 400)


@both
@pytest.mark.parametrize("shape", ["one header", "many headers", "target", "no end"])
@pytest.mark.parametrize("is_slow", [False, True])
def test_head_over_its_bound_is_431(server: InProcessServer, shape: str, is_slow: bool) -> None:
    big = HEADER_BYTES_MAX + 1000
    head = {
        "one header": f"GET / HTTP/1.1\r\nHost: a\r\nX: {'y' * big}\r\n\r\n",
        "many headers": "GET / HTTP/1.1\r\nHost: a\r\n" + "X-Y: z\r\n" * (big // 6) + "\r\n",
        "target": f"GET /{'x' * big} HTTP/1.1\r\nHost: a\r\n\r\n",
        "no end": "GET / HTTP/1.1\r\nHost: a\r\n" + "X-Y: z\r\n" * (big // 6),
    }[shape].encode()
    with server.wire() as wire:
        if is_slow:
            wire.send(head[:1000])
            time.sleep(0.01)
            wire.send(head[1000:])
        else:
            wire.send(head)
        answer = wire.answer()
        assert answer.status == 431
        assert wire.is_ended()


def test_large_head_below_the_bound_is_taken(wire: Wire) -> None:
    assert wire.ask("GET", "/", {"X": "y" * (HEADER_BYTES_MAX - 2000)}).status == 200


def test_refused_head_is_logged_without_its_text(server: InProcessServer, log: LogLines) -> None:
    with server.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: c2VjcmV0\r\nbroken\r\n\r\n")
        assert wire.answer().status == 400

    (line,) = log.wait_for("request.refused")
    assert line["status"] == 400
    assert "c2VjcmV0" not in log.text


def test_continue_is_sent_when_the_body_is_first_read() -> None:
    waiting = Waiting()
    with in_process(waiting) as server, server.wire() as wire:
        wire.request("PUT", "/", {"Expect": "100-continue", "Content-Length": "5"})
        server.call(waiting.wait_asked)
        wire.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            wire.socket.recv(1)
        wire.socket.settimeout(5)
        server.call(waiting.release)
        # a file that has timed out cannot be read from again
        assert wire.socket.recv(1000) == b"HTTP/1.1 100 \r\n\r\n"
        wire.send(b"01234")
        assert b'"body_bytes": 5' in wire.socket.recv(1000)


@both
def test_continue_is_not_waited_for_by_every_client(wire: Wire) -> None:
    wire.request("PUT", "/", {"Expect": "100-continue", "Content-Length": "5"})
    wire.send(b"01234")
    answer = wire.answer()
    if answer.status == 100:
        answer = wire.answer()

    assert body_bytes(answer) == 5
    assert wire.ask("GET", "/").status == 200


def test_continue_is_sent_for_chunked_bodies_too(wire: Wire) -> None:
    wire.request("PUT", "/", {"Expect": "100-continue", "Transfer-Encoding": "chunked"})
    assert wire.answer().status == 100
    wire.send(b"3\r\nabc\r\n0\r\n\r\n")

    assert body_bytes(wire.answer()) == 3


@both
def test_refused_body_is_not_asked_for(secured: Secured | None) -> None:
    with in_process(refuse, secured=secured) as server:
        with server.wire() as wire:
            wire.request("PUT", "/", {"Expect": "100-continue", "Content-Length": "5"})
            answer = wire.answer()
            assert answer.status == 413
            assert answer.headers["connection"] == "close"
            assert wire.is_ended()
        server.expect_idle()


@both
@pytest.mark.parametrize(("path", "is_begun"), [("/head", True), ("/body", True), ("/cut", True)])
def test_answer_that_breaks_off_is_reset_and_never_looks_whole(
    secured: Secured | None, path: str, is_begun: bool, log: LogLines
) -> None:
    with in_process(break_off, secured=secured) as server:
        with server.wire() as wire:
            wire.request("GET", path)
            assert wire.is_reset()
        server.expect_idle()
        with server.wire() as wire:
            assert wire.ask("GET", "/before").status == 500
    log.begin()


@pytest.mark.parametrize("path", ["/before", "/silent"])
def test_application_without_an_answer_is_500(path: str, log: LogLines) -> None:
    with in_process(break_off) as server, server.wire() as wire:
        answer = wire.ask("GET", path)
        assert answer.status == 500
        assert answer.body == b""
        assert wire.is_ended()
    log.begin()


@both
def test_answer_shorter_than_announced_is_not_ended_in_order(
    secured: Secured | None, log: LogLines
) -> None:
    with in_process(break_off, secured=secured) as server, server.wire() as wire:
        wire.request("GET", "/short")
        assert wire.is_reset()
    log.begin()


@both
@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
def test_client_that_leaves_cancels_its_handler(
    secured: Secured | None, leave: Callable[[Wire], None]
) -> None:
    waiting = Waiting()
    clock = trio.testing.MockClock(rate=20)
    with in_process(waiting, clock=clock, secured=secured) as server:
        with server.wire() as wire:
            wire.request("GET", "/")
            server.call(waiting.wait_asked)
            leave(wire)
        try:
            server.expect_idle()
        finally:
            server.call(waiting.release)


@both
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_client_that_only_stops_speaking_is_waited_for(
    secured: Secured | None, version: str
) -> None:
    waiting = Waiting()
    clock = trio.testing.MockClock(rate=20)
    with in_process(waiting, clock=clock, secured=secured) as server, server.wire() as wire:
        wire.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        # An SSLSocket would forget that it is one.
        socket.socket.shutdown(wire.socket, socket.SHUT_WR)
        server.call(waiting.wait_asked)
        server.call(trio.sleep, 4 * WATCH_SECS)
        server.call(waiting.release)
        answer = wire.answer()
        while version == "1.1" and answer.status < 200:
            answer = wire.answer()
        assert answer.status == 200, "RFC 9110 15.2: no 1xx to a client of HTTP/1.0"
        assert wire.is_ended()


@both
@pytest.mark.slow
def test_body_that_nobody_reads_is_not_pulled(secured: Secured | None) -> None:
    waiting = Waiting()
    small = 64 * 1024
    with (
        in_process(waiting, receive_buffer_bytes=small, secured=secured) as server,
        server.wire(buffer_bytes=small) as wire,
    ):
        wire.request("PUT", "/", {"Content-Length": str(64 * MIB)})
        server.call(waiting.wait_asked)
        taken = send_until_stuck(wire, 64 * MIB)
        server.call(waiting.release)
        wire.socket.settimeout(30)
        assert taken < MIB
        wire.send(bytes(64 * MIB - taken))
        assert body_bytes(wire.answer()) == 64 * MIB


def send_until_stuck(wire: Wire, size: int) -> int:
    """Send zeros until the connection takes no more for a while; returns how many it took."""
    wire.socket.settimeout(0.2)
    taken = 0
    while taken < size:
        try:
            taken += wire.socket.send(bytes(min(65536, size - taken)))
        except TimeoutError:
            break
    return taken


@both
def test_client_that_is_gone_before_it_is_accepted_harms_nobody(server: InProcessServer) -> None:
    with server.held():
        for _ in range(10):
            Wire(server.address).reset()

    with server.wire() as wire:
        assert wire.ask("GET", "/").status == 200
    server.expect_idle()


@both
def test_clients_that_come_and_go_in_every_way_leave_nothing(server: InProcessServer) -> None:
    for begun in (b"", b"G", b"GET / HTTP/1.1\r\nHost", b"PUT / HTTP/1.1\r\nHost: a\r\n"):
        for leave in (Wire.close, Wire.reset):
            wire = server.wire()
            wire.send(begun)
            leave(wire)
    for leave in (Wire.close, Wire.reset):
        wire = server.wire()
        wire.request("PUT", "/", {"Content-Length": "100", "Expect": "100-continue"})
        leave(wire)
        wire = server.wire()
        wire.request("PUT", "/", {"Transfer-Encoding": "chunked"})
        wire.send(b"5\r\nabc")
        leave(wire)
    server.expect_idle()


@both
def test_many_connections_at_once_are_all_served(server: InProcessServer) -> None:
    wires = [server.wire() for _ in range(100)]
    try:
        for wire in wires:
            wire.request("POST", "/", {"Content-Length": "2"})
            wire.send(b"a")
        eventually(lambda: server.tasks() >= 100)
        for wire in reversed(wires):
            wire.send(b"b")
            assert body_bytes(wire.answer()) == 2
    finally:
        for wire in wires:
            wire.close()
    server.expect_idle()
