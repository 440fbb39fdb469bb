"""Outbound calls, to real servers on loopback: what they bring, and how each of them fails."""

from __future__ import annotations

import contextlib
import functools
import gzip
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from angos_trio.net.client import Answer, HttpClient, NetError
from angos_trio.net.tls import client_tls
from tests.net.trust import Trust
from tests.net.web import Reply, Request, web

SECS_MAX = 5.0
NO_TLS = ssl.create_default_context()


def client(tls: ssl.SSLContext = NO_TLS, secs: float = SECS_MAX, calls_max: int = 8) -> HttpClient:
    return HttpClient(tls, timeout_secs=secs, calls_max=calls_max)


def got(
    url: str,
    *,
    by: HttpClient | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    bytes_max: int = 1000,
) -> Answer:
    async def ask() -> Answer:
        return await (by or client()).get(url, headers=headers, bytes_max=bytes_max)

    return trio.run(ask)


def reason(url: str, by: HttpClient | None = None, bytes_max: int = 1000) -> str:
    with pytest.raises(NetError) as raised:
        got(url, by=by, bytes_max=bytes_max)
    assert str(raised.value) == raised.value.reason
    return raised.value.reason


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("stranger"))


def test_answer_has_status_headers_and_body() -> None:
    with web(Reply(201, b"yes", {"X-One": "1"})) as served:
        answer = got(f"{served.url}/a%2Fb?c=d%20e")

    assert (answer.status, answer.body, answer.headers["x-one"]) == (201, b"yes", "1")
    assert served.targets() == ["/a%2Fb?c=d%20e"]


def test_what_is_sent_is_what_was_given_and_nothing_of_the_library() -> None:
    with web(Reply()) as served:
        got(served.url, headers=(("X-A", "1"), ("X-A", "2"), ("X-B", "é")))

    (request,) = served.asked
    assert request.all("X-A") == ["1", "2"]
    assert request.all("X-B") == ["é"]
    assert {name.lower() for name, _ in request.headers} == {
        "host", "accept-encoding", "connection", "x-a", "x-b",
    }  # fmt: skip


def test_redirect_is_not_followed() -> None:
    with web(Reply(302, b"", {"Location": "/elsewhere"})) as served:
        assert got(served.url).status == 302
        assert served.targets() == ["/"]


def test_environment_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with web(Reply(body=b"proxied")) as proxy, web(Reply(body=b"direct")) as served:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        answer = got(served.url)

    assert answer.body == b"direct"
    assert proxy.connections == 0
    assert served.asked[0].all("Authorization") == []


def test_answer_of_the_bound_passes_and_one_byte_more_does_not() -> None:
    with web(Reply(body=b"x" * 1000)) as served:
        assert len(got(served.url).body) == 1000
        assert "longer than 999 bytes" in reason(served.url, bytes_max=999)


def test_endless_answer_without_a_length_ends_at_the_bound() -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 4_000_000
    with web(Reply(raw=endless)) as served:
        assert "longer than 1000 bytes" in reason(served.url)


def test_endless_head_ends_too() -> None:
    with web(Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 1_000_000)) as served:
        assert reason(served.url)


def test_compressed_answer_is_refused() -> None:
    bomb = Reply(body=gzip.compress(b"0" * 1_000_000), headers={"Content-Encoding": "gzip"})
    with web(bomb) as served:
        assert "compressed" in reason(served.url, bytes_max=10_000)
        assert served.asked[0].all("Accept-Encoding") == ["identity"]


def test_body_is_not_read_where_only_the_status_matters() -> None:
    with web(Reply(raw=b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", hangs=True)) as served:
        assert got(served.url, bytes_max=0) == Answer(204, {"content-length": "5"}, b"")


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
)
def test_server_that_says_nothing_more_is_given_up_in_time(sent: bytes) -> None:
    with web(Reply(raw=sent, hangs=True)) as served:
        assert reason(served.url, client(secs=0.1)) == "no answer within 0.1 s"


def test_deadline_spans_the_whole_call_not_each_part() -> None:
    async def drip(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            for _ in range(99):
                await stream.send_all(b"x")
                await trio.sleep(0.5)

    async def main() -> float:
        async with trio.open_nursery() as nursery:
            serve = functools.partial(trio.serve_tcp, drip, 0, host="127.0.0.1")
            (listener,) = await nursery.start(serve)
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/"
            begun = trio.current_time()
            with pytest.raises(NetError, match="no answer within 2 s"):
                await client().get(url, bytes_max=1000, timeout_secs=2)
            took = trio.current_time() - begun
            nursery.cancel_scope.cancel()
        return took

    assert 2 <= trio.run(main, clock=trio.testing.MockClock(rate=20)) < 3


def test_calls_beyond_the_bound_wait_within_their_deadline() -> None:
    async def main(url: str) -> list[str]:
        asking, outcomes = client(secs=0.2, calls_max=1), []

        async def ask() -> None:
            with pytest.raises(NetError) as raised:
                await asking.get(url)
            outcomes.append(raised.value.reason)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        return outcomes

    with web(Reply(raw=b"", hangs=True)) as served:
        assert trio.run(main, served.url) == ["no answer within 0.2 s"] * 3
        assert served.connections == 1


def test_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    async def main(url: str) -> int:
        asking = client(calls_max=1)
        with trio.move_on_after(0.1):
            await asking.get(url)
        served.handler = Reply(204)
        return (await asking.get(url)).status

    with web(Reply(raw=b"", hangs=True)) as served:
        assert trio.run(main, served.url) == 204


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "refused" in reason(f"http://127.0.0.1:{unused.getsockname()[1]}/")


@pytest.mark.parametrize(
    "url", ["http://nowhere.invalid/", "http://a..b/", f"http://{'a' * 64}.example.test/"]
)
def test_name_that_is_not_known(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def knows_nobody(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", knows_nobody)
    assert reason(url)


def test_dead_name_server_keeps_no_thread_that_others_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a slow `getaddrinfo` blocks is its own few threads, for as long as it takes."""
    release = threading.Event()

    def slow(*arguments: Any) -> None:
        if arguments[-1] & socket.AI_NUMERICHOST:  # Trio looks first whether it is an address
            raise socket.gaierror(socket.EAI_NONAME, "No name")
        release.wait(SECS_MAX)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    async def main() -> int:
        asking = client(secs=0.05, calls_max=100)

        async def ask() -> None:
            with pytest.raises(NetError, match=r"no answer within 0\.05 s"):
                await asking.get("http://slow.example.test/")

        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(ask)
        borrowed = trio.to_thread.current_default_thread_limiter().borrowed_tokens
        release.set()
        return borrowed

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert trio.run(main) == 0


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://", "nonsense", "http://[::1", "http://127.0.0.1:99999/"]
)
def test_url_that_nobody_can_ask(url: str) -> None:
    assert reason(url)


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\x00b", "\n", " leading"])
def test_header_that_would_break_the_request_is_not_sent(value: str) -> None:
    with web(Reply()) as served, pytest.raises(NetError):
        got(served.url, headers=(("X-A", value),))

    assert served.asked == []


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-nothing\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"",
    ],
)
def test_what_is_no_http_is_no_answer(raw: bytes) -> None:
    with web(Reply(raw=raw)) as served:
        assert reason(served.url)


def test_server_of_the_given_authority_is_trusted(trust: Trust) -> None:
    tls = client_tls("auth.oidc.ci", server_ca_bundle=trust.bundle)
    with web(Reply(body=b"yes"), trust.context(trust.server())) as served:
        assert got(served.url, by=client(tls)).body == b"yes"
        assert got(f"https://localhost:{served.port}/", by=client(tls)).body == b"yes"


def untrusted(trust: Trust, stranger: Trust) -> tuple[str, ssl.SSLContext, str]:
    return stranger.bundle, trust.context(trust.server()), "certificate is refused"


def expired(trust: Trust, _: Trust) -> tuple[str, ssl.SSLContext, str]:
    pair = trust.server(is_expired=True)
    return trust.bundle, trust.context(pair), "certificate has expired"


@pytest.mark.parametrize("spoil", [untrusted, expired])
def test_certificate_that_does_not_verify_is_no_answer(
    trust: Trust,
    stranger: Trust,
    spoil: Callable[[Trust, Trust], tuple[str, ssl.SSLContext, str]],
) -> None:
    bundle, context, expected = spoil(trust, stranger)
    tls = client_tls("auth.oidc.ci", server_ca_bundle=bundle)

    with web(Reply(body=b"yes"), context) as served:
        assert expected in reason(served.url, client(tls))
        assert served.asked == []


def test_certificate_for_another_host_is_no_answer(trust: Trust) -> None:
    tls = client_tls("auth.oidc.ci", server_ca_bundle=trust.bundle)
    pair = trust.server("other.example.test")

    with web(Reply(body=b"yes"), trust.context(pair)) as served:
        url = f"https://localhost:{served.port}/"
        assert "Hostname mismatch" in reason(url, client(tls))


def test_system_store_does_not_trust_a_private_authority(trust: Trust) -> None:
    with web(Reply(), trust.context(trust.server())) as served:
        assert "certificate is refused" in reason(served.url, client(client_tls("x")))


def test_client_certificate_is_shown(trust: Trust) -> None:
    pair, shown = trust.server(), trust.client()
    context = trust.context(pair, asks_clients=True)
    bare = client_tls("x", server_ca_bundle=trust.bundle)
    armed = client_tls(
        "x",
        server_ca_bundle=trust.bundle,
        client_certificate_bundle=shown.certificate,
        client_private_key=shown.key,
    )

    with web(Reply(body=b"yes"), context) as served:
        assert got(served.url, by=client(armed)).body == b"yes"
        assert reason(served.url, client(bare))
    assert len(served.asked) == 1


def test_plain_server_behind_https_is_no_answer(trust: Trust) -> None:
    with web(Reply()) as served:
        assert "TLS fails" in reason(served.url.replace("http:", "https:"))


def test_server_that_stops_in_the_handshake_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        assert reason(url, client(secs=0.1)) == "no answer within 0.1 s"


def test_bundle_that_httpx_brings_along_is_trusted_by_nobody(
    trust: Trust, stranger: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    monkeypatch.setattr(certifi, "where", lambda: trust.bundle)
    monkeypatch.setenv("SSL_CERT_FILE", stranger.bundle)
    given = client_tls("x", server_ca_bundle=stranger.bundle)
    with web(Reply(), trust.context(trust.server())) as served:
        assert "certificate is refused" in reason(served.url, client(client_tls("x")))
        assert "certificate is refused" in reason(served.url, client(given))


@pytest.mark.slow
def test_only_a_client_loads_httpx() -> None:
    program = (
        "import sys, angos_trio.net.client as net, angos_trio.net.tls as tls\n"
        "assert 'httpx' not in sys.modules\n"
        "net.HttpClient(tls.client_tls('x'), timeout_secs=1)\n"
        "assert 'httpcore' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_request_of_tests_tells_every_value() -> None:
    assert Request("GET", "/", (("A", "1"), ("a", "2"))).all("a") == ["1", "2"]
