"""Handshakes, good and bad, and what the application learns of the client."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from angos_trio.clock import epoch_seconds
from angos_trio.identity import CERTIFICATE_EXTENSION, Certificate
from angos_trio.limits.requests import HANDSHAKE_TELL_SECS, HANDSHAKES_TOLD_MAX, LINGER_SECS_MAX
from angos_trio.server.tls import TlsDoor, failure_of
from tests.certificates import FOR_SERVERS, Authority, Issued, client_context
from tests.server.applications import OneFile, answer, echo
from tests.server.in_process import InProcessServer, in_process
from tests.server.log_lines import LogLines
from tests.server.secured import Secured
from tests.server.wire import HOST, Wire, eventually
from tests.skips import leave_out

pytestmark = pytest.mark.slow

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["1.2", "1.3"])
FAILED = "tls.handshake_failed"


@pytest.fixture(autouse=True)
def log(log_lines: LogLines) -> LogLines:
    """The log of each test."""
    return log_lines


async def who(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Answers with the client's certificate as the application sees it."""
    shown = scope["extensions"].get(CERTIFICATE_EXTENSION)
    assert shown is None or isinstance(shown, Certificate)
    told = {
        "scheme": scope["scheme"],
        "subject": shown and shown.subject,
        "is_readable": shown and shown.is_readable,
        "uris": shown and shown.uris,
        "signers": shown and len(shown.signers),
    }
    await answer(send, 200, json.dumps(told).encode())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Secured:
    """Client certificates are asked for, and not needed."""
    return Secured(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(tls: Secured) -> Iterator[InProcessServer]:
    """A server around `who`."""
    with in_process(who, secured=tls) as running:
        yield running


def asked(wire: Wire) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(wire.ask("GET", "/").body)
    return told


def expect_alert(server: InProcessServer, context: ssl.SSLContext, word: str) -> None:
    """The client reads an alert with this word, in the handshake or at its first read."""
    with pytest.raises(ssl.SSLError) as caught:
        ask_once(server, context)
    assert word in (caught.value.reason or ""), caught.value


def ask_once(server: InProcessServer, context: ssl.SSLContext) -> None:
    with server.wire(tls=context) as wire:
        wire.request("GET", "/")
        wire.answer()


@VERSIONS
def test_application_learns_who_the_client_is(
    server: InProcessServer, tls: Secured, version: ssl.TLSVersion
) -> None:
    alice = tls.clients.client("alice", organizations=("team",), uris=("registry://client/alice",))
    with server.wire(tls=tls.client(alice, maximum_version=version)) as wire:
        for _ in range(3):
            assert asked(wire) == {
                "scheme": "https",
                "subject": "CN=alice,O=team",
                "is_readable": True,
                "uris": ["registry://client/alice"],
                "signers": 1,
            }


@VERSIONS
def test_client_without_a_certificate_is_nobody_where_it_is_optional(
    server: InProcessServer, tls: Secured, version: ssl.TLSVersion
) -> None:
    with server.wire(tls=tls.client(maximum_version=version)) as wire:
        assert asked(wire)["subject"] is None
        assert wire.socket.version() == version.name.replace("v1_", "v1.")  # type: ignore[attr-defined]


def test_chain_of_the_client_is_known(server: InProcessServer, tls: Secured) -> None:
    alice = tls.clients.intermediate().client("alice")
    with server.wire(tls=tls.client(alice)) as wire:
        assert asked(wire)["signers"] == 2


def test_authority_that_is_no_root_may_be_trusted_alone(tmp_path: Path) -> None:
    root = Authority("Company root")
    team, others = root.intermediate("Team"), root.intermediate("Others")
    (tmp_path / "team.pem").write_bytes(team.pem)
    tls = Secured(tmp_path, client_ca=str(tmp_path / "team.pem"), client_crls=())
    with in_process(who, secured=tls) as server:
        with server.wire(tls=tls.client(team.client("alice"))) as wire:
            assert asked(wire)["subject"] == "CN=alice"
        expect_alert(server, tls.client(others.client("bob")), "UNKNOWN_CA")


def test_alert_is_alone_until_the_client_has_ended_its_side(
    server: InProcessServer, tls: Secured
) -> None:
    """A browser that finds an end behind the alert tells of the end."""
    stranger = tls.client(Authority("Strangers").client("mallory"))
    plain = socket.create_connection(server.address)
    with stranger.wrap_socket(plain, server_hostname=HOST) as connection:
        raw = socket.socket(fileno=os.dup(connection.fileno()))
        with raw:
            raw.settimeout(10)
            assert raw.recv(10_000)  # the alert
            assert not select.select([raw], [], [], LINGER_SECS_MAX / 2)[0]
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(10_000) == b""
    server.expect_idle()


def test_only_http_1_1_is_agreed_on(server: InProcessServer, tls: Secured) -> None:
    context = client_context(tls.root.pem, alpn=("h2", "http/1.1"))
    with server.wire(tls=context) as wire:
        assert wire.socket.selected_alpn_protocol() == "http/1.1"  # type: ignore[attr-defined]


BAD: list[tuple[Callable[[Secured], Issued], str, str]] = [
    (lambda tls: Authority("Stranger").client(), "UNKNOWN_CA", "unable to get local issuer"),
    (lambda tls: Authority("Clients' root").client(), "ALERT", "client certificate is not good"),
    (lambda tls: tls.root.client(), "UNKNOWN_CA", "certificate in certificate chain"),
    (lambda tls: tls.clients.client(ends_secs=-1), "EXPIRED", "certificate has expired"),
    (lambda tls: tls.clients.client(begins_secs=99), "ALERT", "not yet valid"),
    (
        lambda tls: tls.clients.client(purposes=(FOR_SERVERS,)),
        "UNSUPPORTED_CERTIFICATE",
        "unsuitable certificate purpose",
    ),
]


@VERSIONS
@pytest.mark.parametrize("case", BAD, ids=itertools.count())
def test_certificate_that_is_shown_and_not_good_ends_the_handshake(
    server: InProcessServer,
    tls: Secured,
    log: LogLines,
    version: ssl.TLSVersion,
    case: tuple[Callable[[Secured], Issued], str, str],
) -> None:
    make, alert, reason = case
    expect_alert(server, tls.client(make(tls), maximum_version=version), alert)
    (line,) = log.wait_for(FAILED)
    assert reason in line["reason"]
    assert (line["level"], line["client"]) == ("warning", HOST)
    server.expect_idle()


@VERSIONS
def test_client_without_a_certificate_is_refused_where_it_is_required(
    tmp_path: Path, log: LogLines, version: ssl.TLSVersion
) -> None:
    tls = Secured(tmp_path, client_auth="required")
    word = "CERTIFICATE_REQUIRED" if version is TLS_1_3 else "HANDSHAKE_FAILURE"
    with in_process(who, secured=tls) as server:
        expect_alert(server, tls.client(maximum_version=version), word)
        (line,) = log.wait_for(FAILED)
        assert line["reason"] == "the client showed no certificate"
        with server.wire(tls=tls.client(tls.clients.client("alice"))) as wire:
            assert asked(wire)["subject"] == "CN=alice"


def test_certificate_that_names_no_purpose_is_left_to_the_application(
    server: InProcessServer, tls: Secured
) -> None:
    bare = tls.clients.client("bare", purposes=None)
    with server.wire(tls=tls.client(bare)) as wire:
        assert asked(wire)["subject"] == "CN=bare"


def test_certificate_that_cannot_be_read_is_refused_by_the_application_and_is_logged(
    server: InProcessServer, tls: Secured, log: LogLines
) -> None:
    # OpenSSL has no objection to it.
    odd = tls.clients.client("a\nb")
    with server.wire(tls=tls.client(odd)) as wire:
        told = asked(wire)
    assert (told["subject"], told["is_readable"]) == ("", False)
    (line,) = log.wait_for("tls.certificate_unreadable")
    assert line["reason"] == "a name holds control characters"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(server: InProcessServer, tls: Secured, log: LogLines) -> None:
    context = tls.client(
        minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1
    )
    context.set_ciphers("ALL:@SECLEVEL=0")
    expect_alert(server, context, "PROTOCOL_VERSION")
    assert log.wait_for(FAILED)[0]["reason"] == "unsupported protocol"


@pytest.mark.parametrize("cipher", ["AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA"])
def test_old_ciphers_are_refused(
    server: InProcessServer, tls: Secured, log: LogLines, cipher: str
) -> None:
    context = tls.client(maximum_version=TLS_1_2)
    context.set_ciphers(cipher)
    expect_alert(server, context, "HANDSHAKE_FAILURE")
    assert log.wait_for(FAILED)[0]["reason"] == "no shared cipher"


def test_client_that_does_not_trust_us_is_logged_with_its_reason(
    server: InProcessServer, log: LogLines
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        server.wire(tls=client_context(Authority("Other").pem))
    (line,) = log.wait_for(FAILED)
    assert line["reason"] == "the client refused: unknown ca"
    assert line["level"] == "info"


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "POST"])
def test_http_in_clear_is_told_so(server: InProcessServer, log: LogLines, method: str) -> None:
    with Wire(server.address) as wire:
        wire.request(method, "/v2/")
        told = wire.answer("GET")
        assert told.status == 400
        assert told.body == b"The client sent HTTP to a TLS port.\n"
        assert wire.is_ended()
    assert log.wait_for(FAILED)[0]["reason"] == "the client sent HTTP to a TLS port"
    server.expect_idle()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 100,
        b"hello, anybody there?\r\n",
        b"\x16\x03\x01\xff\xff" + b"x" * 20_000,
        os.urandom(500),
    ],
    ids=["zeros", "text", "record", "random"],
)
def test_garbage_ends_the_connection(server: InProcessServer, garbage: bytes) -> None:
    with Wire(server.address) as wire:
        wire.send(garbage)
        with pytest.raises(AssertionError, match="no answer"):
            wire.answer()
        assert wire.is_over()
    server.expect_idle()


def test_garbage_after_the_handshake_ends_the_connection(
    server: InProcessServer, log: LogLines
) -> None:
    with server.wire() as wire:
        assert wire.ask("GET", "/").status == 200
        raw = socket.socket(fileno=os.dup(wire.socket.fileno()))
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
                wire.socket.recv(1)
    server.expect_idle()


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
@pytest.mark.parametrize("begun", [0, 1, 100, 517])
def test_client_that_leaves_in_the_handshake_is_no_news(
    server: InProcessServer, log: LogLines, begun: int, leave: Callable[[Wire], None]
) -> None:
    wire = Wire(server.address)
    wire.send(client_hello()[:begun])
    leave(wire)
    server.expect_idle()
    assert log.all() == []


def client_hello() -> bytes:
    """What a client says first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.slow
@pytest.mark.parametrize("begun", [0, 1, 100, None])
def test_handshake_that_trickles_ends_with_an_alert(
    tmp_path: Path, log: LogLines, begun: int | None
) -> None:
    tls = Secured(tmp_path, handshake_secs=10)
    clock = trio.testing.MockClock(rate=50)
    with in_process(who, secured=tls, clock=clock) as server:
        with Wire(server.address) as wire:
            hello = client_hello()
            wire.send(hello[:begun])
            for byte in hello[begun:][:8] if begun is not None else b"":
                time.sleep(0.02)  # is a second there
                wire.send(bytes([byte]))
            told = b""
            while part := wire.socket.recv(10_000):
                told += part
            # After a whole greeting ours comes first.
            assert told.endswith(b"\x15\x03\x03\x00\x02\x02\x5a")
            assert (len(told) > 7) == (begun is None)
        (line,) = log.wait_for(FAILED)
        assert line["reason"] == "no handshake within 10 s"
        server.expect_idle()


def test_renegotiation_is_refused(server: InProcessServer) -> None:
    if shutil.which("openssl") is None:
        leave_out("openssl is not installed, and Python's ssl cannot ask for it")
    host, port = server.address
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2"],
        input=b"R\n",
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stderr
    server.expect_idle()


@pytest.mark.slow
@VERSIONS
def test_many_handshakes_at_once_hold_nobody_up(
    server: InProcessServer, tls: Secured, version: ssl.TLSVersion
) -> None:
    alice = tls.client(tls.clients.client("alice"), maximum_version=version)
    told: list[str] = []

    def ask() -> None:
        with server.wire(tls=alice) as wire:
            told.append(asked(wire)["subject"])

    with ExitStack() as silent:
        for _ in range(64):  # these say nothing at all meanwhile
            silent.enter_context(Wire(server.address))
        threads = [threading.Thread(target=ask) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert told == ["CN=alice"] * 64
    server.expect_idle()


@VERSIONS
def test_no_session_is_resumed_and_none_is_kept(
    server: InProcessServer, tls: Secured, version: ssl.TLSVersion
) -> None:
    context = tls.client(tls.clients.client("alice"), maximum_version=version)
    session = None
    for _ in range(3):
        plain = socket.create_connection(server.address)
        with context.wrap_socket(plain, server_hostname=HOST, session=session) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            while connection.recv(1000):
                continue
            assert not connection.session_reused
            session = connection.session
    server.expect_idle()
    assert tls.live.current.context.session_stats()["number"] == 0


def test_session_that_is_resumed_beside_its_connection_knows_who_signed(
    server: InProcessServer, tls: Secured
) -> None:
    context = tls.client(tls.clients.client("alice"), maximum_version=TLS_1_2)

    def told(connection: ssl.SSLSocket) -> Any:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return json.loads(connection.recv(10_000).partition(b"\r\n\r\n")[2])

    plain = socket.create_connection(server.address)
    with context.wrap_socket(plain, server_hostname=HOST) as first:
        before = told(first)
        plain = socket.create_connection(server.address)
        with context.wrap_socket(plain, server_hostname=HOST, session=first.session) as second:
            assert second.session_reused
            assert told(second) == before
    server.expect_idle()
    assert tls.live.current.context.session_stats()["number"] == 0


def test_session_is_resumed_where_no_certificate_is_asked_for(tmp_path: Path) -> None:
    tls = Secured(tmp_path, client_ca=None, client_crls=())
    context = tls.client()
    with in_process(who, secured=tls) as server:
        plain = socket.create_connection(server.address)
        with context.wrap_socket(plain, server_hostname=HOST) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.recv(1000)
            session = connection.session
        plain = socket.create_connection(server.address)
        with context.wrap_socket(plain, server_hostname=HOST, session=session) as connection:
            assert connection.session_reused


@VERSIONS
def test_client_that_ends_its_side_gets_its_answer(
    server: InProcessServer, tls: Secured, version: ssl.TLSVersion
) -> None:
    with server.wire(tls=tls.client(maximum_version=version)) as wire:
        connection = wire.socket
        assert isinstance(connection, ssl.SSLSocket)
        with server.held():
            wire.request("POST", "/", body=b"x" * 1000)
            connection.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):
                connection.unwrap()  # says that this is all, and would read on
            connection.settimeout(5)
        assert wire.answer().status == 200


def test_client_that_fails_on_and_on_is_logged_seldom(
    server: InProcessServer, tls: Secured, log: LogLines
) -> None:
    stranger = tls.client(Authority("Stranger").client())
    for _ in range(20):
        expect_alert(server, stranger, "UNKNOWN_CA")
    with Wire(server.address) as wire:
        wire.request("GET", "/")
        assert wire.answer().status == 400
    assert len(log.wait_for(FAILED, 2)) == 2


def test_failures_that_are_remembered_are_bounded(tls: Secured) -> None:
    async def main() -> None:
        door = TlsDoor(tls.options, 1.0)
        for number in range(3 * HANDSHAKES_TOLD_MAX):
            assert door.may_tell(str(number), "reason")
            assert not door.may_tell(str(number), "reason")
        assert len(door.told) <= HANDSHAKES_TOLD_MAX
        await trio.sleep(HANDSHAKE_TELL_SECS)
        assert door.may_tell(str(number), "reason")

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_failed_handshake_in_words() -> None:
    assert failure_of(OSError("broken")) == ("broken", False)
    error = ssl.SSLError("text")
    assert failure_of(error) == (str(error), False)


def test_certificate_is_swapped_during_a_transfer(tmp_path: Path) -> None:
    path, size = tmp_path / "file", 64 * 1024 * 1024
    with path.open("wb") as file:
        file.truncate(size)
    tls = Secured(tmp_path)
    context = tls.client()
    with (
        in_process(OneFile(str(path), size), secured=tls) as server,
        server.wire(tls=context, buffer_bytes=65536) as wire,
    ):
        old = wire.socket.getpeercert(True)  # type: ignore[attr-defined]
        wire.request("GET", "/")
        assert wire.head()[0] == 200
        tls.root.server().write(tmp_path, "server")
        assert tls.live.reload() is None
        with server.wire(tls=context) as other:
            new = other.socket.getpeercert(True)  # type: ignore[attr-defined]
        assert len(wire.read(size)) == size
        wire.request("GET", "/again")
        assert wire.head()[0] == 200
    assert old != new


def test_certificate_is_found_revoked_on_a_live_connection(tmp_path: Path) -> None:
    tls = Secured(tmp_path)
    alice = tls.clients.client("alice")

    async def gate(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        revocations = tls.live.current.revocations
        assert revocations is not None
        shown = scope["extensions"][CERTIFICATE_EXTENSION]
        problem = revocations.problem_of(shown, epoch_seconds())
        await answer(send, 200 if problem is None else 403, (problem or "").encode())

    with in_process(gate, secured=tls) as server, server.wire(tls=tls.client(alice)) as wire:
        assert wire.ask("GET", "/").status == 200
        (tmp_path / "clients.crl").write_bytes(tls.clients.crl(alice))
        assert tls.live.reload() is None
        told = wire.ask("GET", "/")
        assert (told.status, told.body) == (403, b"the client certificate is revoked")


def test_handshake_that_is_under_way_does_not_hold_a_stop_up(tls: Secured) -> None:
    begun_at = time.monotonic()
    with in_process(echo, drain_secs=60, secured=tls) as server:
        idle = server.tasks()
        wire = Wire(server.address)
        wire.send(client_hello()[:100])
        eventually(lambda: server.tasks() > idle)
        server.begin_to_stop()
        server.join()
        wire.close()
    assert time.monotonic() - begun_at < 5
