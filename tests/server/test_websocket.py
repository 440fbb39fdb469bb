"""WebSockets on a connection: handshakes, messages, pings, bounds and ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio
import trio.testing

from angos_trio.identity import CERTIFICATE_EXTENSION, DRAIN_EXTENSION
from angos_trio.limits.lists import SOCKET_MESSAGE_BYTES_MAX, SOCKET_PING_SECS
from tests.server.applications import answer
from tests.server.frames import CloseConnection, Frames, Ping, Pong, Refused, TextMessage
from tests.server.in_process import in_process
from tests.server.log_lines import LogLines
from tests.server.secured import Secured, both
from tests.server.wire import Wire, eventually

pytestmark = pytest.mark.slow

RATE = 50.0
"""How much faster than the wall the clock of a test goes that waits for a minute."""


async def echo(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Says what it hears; does what some texts say; answers what is no WebSocket."""
    if scope["type"] != "websocket":
        await answer(send, 200, b"plain")
        return
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/refuse":
        start = {"status": 403, "headers": [(b"content-length", b"2")]}
        await send({"type": "websocket.http.response.start", **start})
        await send({"type": "websocket.http.response.body", "body": b"no"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message["text"] if message["text"] is not None else repr(message["bytes"])
        if text == "leave":
            return
        if text == "crash":
            raise RuntimeError("as it was told")
        if text == "close":
            await send({"type": "websocket.close", "code": 4401, "reason": "go"})
            return
        if text == "client":
            shown = scope["extensions"].get(CERTIFICATE_EXTENSION)
            text = f"{scope['scheme']} {scope['client'][0]} {shown and shown.common_names}"
        if text == "drain":
            await scope["extensions"][DRAIN_EXTENSION].wait()
        await send({"type": "websocket.send", "text": text})


def repeat(act: Callable[[], None], times: int) -> None:
    for _ in range(times):
        act()


class Deaf:
    """Accepts, and never hears; notes when it is cancelled."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        self.begun += 1
        try:
            await trio.sleep_forever()
        finally:
            self.ended += 1


@pytest.mark.slow
@both
def test_messages_go_both_ways_in_their_order(secured: Secured | None) -> None:
    with in_process(echo, secured=secured) as server, server.wire() as wire:
        frames = Frames(wire, "/")
        for number in range(200):
            frames.say(f"{number} ü")
        assert [frames.text() for _ in range(200)] == [f"{number} ü" for number in range(200)]
        frames.send(CloseConnection(code=1000))
        assert frames.closed().code == 1000
        assert wire.is_over()
        server.expect_idle()


def test_scope_has_certificate_address_and_scheme(tmp_path_factory: Any) -> None:
    secured = Secured(tmp_path_factory.mktemp("tls"))
    shown = secured.client(secured.clients.client("alice"))
    with in_process(echo, secured=secured) as server, server.wire(tls=shown) as wire:
        frames = Frames(wire, "/")
        frames.say("client")
        assert frames.text() == "wss 127.0.0.1 ('alice',)"


def test_message_right_behind_the_handshake_is_heard() -> None:
    with in_process(echo) as server, server.wire() as wire:
        head = (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        masked = b"\x81\x85\x00\x00\x00\x00hello"
        wire.send(head + masked)
        status, headers = wire.head()
        assert (status, headers["sec-websocket-accept"]) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        assert wire.read(7) == b"\x81\x05hello"


def test_refusal_is_an_answer_of_http_and_the_connection_goes_on() -> None:
    with in_process(echo) as server, server.wire() as wire:
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                Frames(wire, "/refuse")
            assert (refused.value.answer.status, refused.value.answer.body) == (403, b"no")
        assert wire.ask("GET", "/").body == b"plain"
        Frames(wire, "/").say("x")


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"},
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "12",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
    ],
    ids=["no key", "other version"],
)
def test_malformed_handshake_is_refused(headers: dict[str, str]) -> None:
    with in_process(echo) as server, server.wire() as wire:
        assert wire.ask("GET", "/", headers).status == 400


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"Upgrade": "h2c", "Connection": "Upgrade"}),
        ("GET", {"Upgrade": "websocket"}),
        ("GET", {"Connection": "Upgrade"}),
        ("POST", {"Upgrade": "websocket", "Connection": "Upgrade", "Content-Length": "0"}),
    ],
)
def test_what_is_no_handshake_is_an_ordinary_request(method: str, headers: dict[str, str]) -> None:
    with in_process(echo) as server, server.wire() as wire:
        for _ in range(2):
            assert wire.ask(method, "/", headers).body == b"plain"


def test_nothing_is_compressed() -> None:
    with in_process(echo) as server, server.wire() as wire:
        frames = Frames(wire, "/", [("Sec-WebSocket-Extensions", "permessage-deflate")])
        assert "sec-websocket-extensions" not in frames.headers


@pytest.mark.slow
def test_ping_is_answered_while_messages_wait() -> None:
    with in_process(Deaf()) as server, server.wire() as wire:
        frames = Frames(wire, "/")
        frames.send(Ping(payload=b"here"))
        pong = frames.next()
        assert isinstance(pong, Pong)
        assert bytes(pong.payload) == b"here"


@both
def test_long_message_is_closed_with_1009_and_the_server_goes_on(secured: Secured | None) -> None:
    with in_process(echo, secured=secured) as server:
        with server.wire() as wire:
            frames = Frames(wire, "/")
            frames.say("x" * SOCKET_MESSAGE_BYTES_MAX)
            assert len(frames.text()) == SOCKET_MESSAGE_BYTES_MAX
            frames.say("x" * 65536)
            assert frames.closed().code == 1009
        server.expect_idle()


@pytest.mark.slow
def test_endless_message_is_cut_off() -> None:
    with in_process(echo) as server:
        with server.wire() as wire:
            frames = Frames(wire, "/")
            part = TextMessage(data="x" * 65536, message_finished=False)
            with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
                repeat(lambda: frames.send(part), 8000)
        server.expect_idle()


@pytest.mark.parametrize(
    "content",
    [b"\x81\x02hi", b"\xf1\x80\x00\x00\x00\x00", b"\x81\x81\x00\x00\x00\x00\xff", b"GET / HTTP"],
    ids=["not masked", "reserved bits", "not UTF-8", "HTTP"],
)
def test_what_breaks_the_protocol_is_closed_with_1002(content: bytes) -> None:
    with in_process(echo) as server:
        with server.wire() as wire:
            frames = Frames(wire, "/")
            wire.send(content)
            event = frames.next()
            assert isinstance(event, CloseConnection)
            assert event.code == 1002
            assert wire.is_over()
        server.expect_idle()


@pytest.mark.parametrize(("text", "code"), [("leave", 1011), ("close", 4401)])
def test_application_that_ends_closes(text: str, code: int) -> None:
    with in_process(echo) as server, server.wire() as wire:
        frames = Frames(wire, "/")
        frames.say(text)
        assert frames.closed().code == code
        assert wire.is_over()
        server.expect_idle()


def test_application_that_crashes_is_told_of_and_closes_with_1011(
    log_lines_alone: LogLines,
) -> None:
    with in_process(echo) as server, server.wire() as wire:
        frames = Frames(wire, "/")
        frames.say("crash")
        assert frames.closed().code == 1011
        server.expect_idle()
    assert len(log_lines_alone.of("application.crashed")) == 1


@pytest.fixture
def log_lines_alone() -> LogLines:
    """The log of a test in which code does crash."""
    lines = LogLines()
    lines.begin()
    return lines


@pytest.mark.slow
@both
def test_client_that_leaves_ends_the_application(secured: Secured | None) -> None:
    deaf = Deaf()
    with in_process(deaf, secured=secured) as server:
        for leave in (Wire.close, Wire.reset):
            wire = server.wire()
            Frames(wire, "/")
            leave(wire)
            eventually(lambda: deaf.begun == deaf.ended > 0)
        server.expect_idle()


@pytest.mark.slow
def test_client_that_talks_to_a_deaf_application_has_to_wait() -> None:
    deaf = Deaf()
    with in_process(deaf) as server, server.wire(timeout_secs=0.2) as wire:
        frames = Frames(wire, "/")
        with pytest.raises(TimeoutError):
            repeat(lambda: frames.say("x" * 4000), 40_000)
        assert deaf.ended == 0


@pytest.mark.slow
def test_client_that_does_not_answer_a_ping_is_cut_off() -> None:
    deaf = Deaf()
    with in_process(deaf, clock=trio.testing.MockClock(rate=RATE)) as server:
        with server.wire() as wire:
            frames = Frames(wire, "/")
            assert isinstance(frames.next(answers_pings=False), Ping)
            assert deaf.ended == 0
            eventually(lambda: deaf.ended == 1)
        server.expect_idle()


@pytest.mark.slow
def test_client_that_answers_pings_stays() -> None:
    deaf = Deaf()
    with (
        in_process(deaf, clock=trio.testing.MockClock(rate=RATE)) as server,
        server.wire() as wire,
    ):
        frames = Frames(wire, "/")
        for _ in range(4):
            ping = frames.next(answers_pings=False)
            assert isinstance(ping, Ping)
            frames.send(ping.response())
        assert deaf.ended == 0
        assert server.call(trio_now) > 3 * SOCKET_PING_SECS


async def trio_now() -> float:
    return trio.current_time()


@both
def test_stop_is_told_to_the_application(secured: Secured | None) -> None:
    with in_process(echo, drain_secs=60, secured=secured) as server, server.wire() as wire:
        frames = Frames(wire, "/")
        frames.say("drain")
        frames.say("close")
        server.begin_to_stop()
        assert frames.text() == "drain"
        assert frames.closed().code == 4401
        server.join()


def test_socket_that_does_not_end_is_cut_off_when_the_drain_is_over() -> None:
    with in_process(Deaf(), drain_secs=0.1) as server, server.wire() as wire:
        Frames(wire, "/")
        server.begin_to_stop()
        server.join()
        assert wire.is_over()
