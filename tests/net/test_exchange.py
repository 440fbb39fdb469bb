"""Answers that are taken as they come, from real servers on loopback, with TLS and without."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from angos_trio.net.client import NetError
from angos_trio.net.exchange import Asked, Exchange, SilentError, Waits, exchange
from angos_trio.net.tls import client_tls
from tests.net.trust import Trust
from tests.net.web import Reply, web

Result = TypeVar("Result")
SECS_MAX = 5.0
MIB = 1 << 20
RECORD_BYTES = 16 * 1024
CONTENT = os.urandom(3 * MIB)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest, trust: Trust) -> ssl.SSLContext | None:
    return None if request.param == "plain" else trust.context(trust.server())


def with_answer(
    url: str,
    trust: Trust,
    take: Callable[[Exchange], Awaitable[Result]],
    silence_secs: float = SECS_MAX,
) -> Result:
    """What is made of the answer to a GET; the exchange is closed after it."""
    context = client_tls("here", server_ca_bundle=trust.bundle)

    async def main() -> Result:
        with trio.fail_after(2 * SECS_MAX):
            waits = Waits(SECS_MAX, silence_secs)
            answer = await exchange(Asked("GET", url), context, waits, lambda _: True)
            try:
                return await take(answer)
            finally:
                answer.close()
                answer.close()

    return trio.run(main)


async def parts_of(answer: Exchange, bytes_max: int) -> list[bytes]:
    """All of the body, as it is given."""
    parts = []
    while part := await answer.receive(bytes_max):
        parts.append(part)
    return parts


def test_body_comes_whole(server: ssl.SSLContext | None, trust: Trust) -> None:
    with web(Reply(body=CONTENT), server) as there:
        body = with_answer(there.url, trust, lambda answer: answer.read(len(CONTENT)))
        assert body == CONTENT


@pytest.mark.parametrize("bytes_max", [1, 1000, 100_000, MIB])
def test_no_more_comes_at_once_than_is_asked_for(
    server: ssl.SSLContext | None, trust: Trust, bytes_max: int
) -> None:
    wanted = CONTENT[: min(len(CONTENT), 500 * bytes_max)]
    with web(Reply(body=wanted), server) as there:
        parts = with_answer(there.url, trust, lambda answer: parts_of(answer, bytes_max))
    assert b"".join(parts) == wanted
    assert max(map(len, parts)) <= bytes_max


def test_all_that_is_here_comes_at_once(server: ssl.SSLContext | None, trust: Trust) -> None:
    """Not a record of TLS at a time, each of which would cost a turn of the scheduler."""

    async def take(answer: Exchange) -> list[bytes]:
        await trio.sleep(0.3)  # the server has filled the buffers of both sockets by now
        return await parts_of(answer, MIB)

    with web(Reply(body=CONTENT), server) as there:
        parts = with_answer(there.url, trust, take)
    assert b"".join(parts) == CONTENT
    assert max(map(len, parts)) > 4 * RECORD_BYTES


def test_body_that_breaks_off_is_an_error(server: ssl.SSLContext | None, trust: Trust) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with (
        web(Reply(raw=head + b"x" * 70_000), server) as there,
        pytest.raises(NetError, match=r"breaks off|closed"),
    ):
        with_answer(there.url, trust, lambda answer: answer.read(MIB))


def test_body_that_stops_is_silent(server: ssl.SSLContext | None, trust: Trust) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with (
        web(Reply(raw=head + b"x" * 70_000, hangs=True), server) as there,
        pytest.raises(SilentError, match=r"nothing came for 0.2 s"),
    ):
        with_answer(there.url, trust, lambda answer: answer.read(MIB), silence_secs=0.2)


def test_cancelled_wait_loses_nothing(server: ssl.SSLContext | None, trust: Trust) -> None:
    async def take(answer: Exchange) -> bytes:
        body = b""
        while len(body) < len(CONTENT):
            with trio.move_on_after(0.001):
                body += await answer.receive(10_000)
        return body

    with web(Reply(body=CONTENT), server) as there:
        assert with_answer(there.url, trust, take) == CONTENT


def test_certificate_of_somebody_else_is_refused(trust: Trust, tmp_path: Path) -> None:
    other = trust.context(trust.server("other.example"))
    stranger = Trust(tmp_path)
    unknown = stranger.context(stranger.server())
    for context in (other, unknown):
        with (
            web(Reply(), context) as there,
            pytest.raises(NetError, match="the server's certificate is refused"),
        ):
            with_answer(there.url, trust, lambda answer: answer.read(0))


def test_server_that_speaks_no_tls_is_an_error(trust: Trust) -> None:
    with web(Reply()) as there:
        url = there.url.replace("http:", "https:")
        with pytest.raises(NetError, match=r"TLS fails|closed"):
            with_answer(url, trust, lambda answer: answer.read(0))


def test_address_that_may_not_be_asked_is_not(trust: Trust) -> None:
    context = client_tls("here", server_ca_bundle=trust.bundle)

    async def main(url: str) -> None:
        await exchange(Asked("GET", url), context, Waits(SECS_MAX, SECS_MAX), lambda _: False)

    with web(Reply()) as there:
        with pytest.raises(NetError, match="not one that may be asked"):
            trio.run(main, there.url)
        assert there.connections == 0
