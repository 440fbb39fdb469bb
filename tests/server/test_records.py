"""What TLS adds to the way of bytes: records that come in parts, and those that find no room."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.limits.requests import HEADER_SECS_MAX
from angos_trio.server.tls import TlsDoor
from angos_trio.server.transport import StalledError
from tests.server.applications import echo
from tests.server.in_process import in_process
from tests.server.log_lines import LogLines
from tests.server.secured import Secured
from tests.server.wire import HOST

RATE = 300.0
"""Seconds of the server in one of ours."""
STALL_SECS = 60.0


@pytest.fixture(autouse=True)
def _nothing_crashes(log_lines: LogLines) -> None:
    """Slow peers are no accident."""


@pytest.fixture
def tls(tmp_path: Path) -> Secured:
    return Secured(tmp_path, handshake_secs=600)


class Records:
    """A client that makes records and lets the test send their bytes."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._outgoing.read())
                self._incoming.write(self.socket.recv(65536))
            else:
                break
        self.socket.sendall(self._outgoing.read())

    def sealed(self, content: bytes) -> bytes:
        """The records of some bytes."""
        self._object.write(content)
        return self._outgoing.read()

    def opened(self) -> bytes:
        """What the server sent next, empty when it has ended."""
        while True:
            try:
                return self._object.read(65536)
            except ssl.SSLWantReadError:
                part = self.socket.recv(65536)
                if not part:
                    return b""
                self._incoming.write(part)
            except ssl.SSLZeroReturnError:
                return b""


@contextmanager
def records(tls: Secured) -> Iterator[Records]:
    clock = trio.testing.MockClock(rate=RATE)
    with in_process(echo, stall_secs=STALL_SECS, clock=clock, secured=tls) as server:
        made = Records(server.address, tls.client())
        with made.socket:
            yield made
        server.expect_idle()


@pytest.mark.slow
def test_record_of_a_body_that_trickles_is_progress(tls: Secured) -> None:
    with records(tls) as client:
        client.socket.sendall(
            client.sealed(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        )
        for byte in client.sealed(b"123456789")[:-1]:
            client.socket.sendall(bytes([byte]))
            time.sleep(STALL_SECS / RATE / 6)
        begun_at = time.monotonic()
        assert client.opened().startswith(b"HTTP/1.1 400"), "the last byte does not come"
        assert time.monotonic() - begun_at > STALL_SECS / RATE / 2


@pytest.mark.slow
def test_record_of_a_head_has_its_time_however_it_trickles(tls: Secured) -> None:
    with records(tls) as client:
        client.socket.sendall(client.sealed(b"GET / HTTP/1.1\r\n"))
        begun_at = time.monotonic()
        for byte in client.sealed(b"Host: a\r\n" * 100):
            try:
                client.socket.sendall(bytes([byte]))
            except ConnectionError:
                break
            time.sleep(0.01)
            if time.monotonic() - begun_at > 3 * HEADER_SECS_MAX / RATE:
                break
        assert client.opened().startswith(b"HTTP/1.1 408")


def test_records_of_one_byte_are_all_of_a_request(tls: Secured) -> None:
    body = b"x" * 3000
    with records(tls) as client:
        head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n"
        client.socket.sendall(b"".join(client.sealed(bytes([each])) for each in head + body))
        assert b'"body_bytes": 3000' in client.opened()


def test_what_is_sent_now_is_sent_whole_or_with_what_follows(tls: Secured) -> None:
    received, expected = bytearray(), bytearray()

    def read_all(connection: ssl.SSLSocket) -> None:
        while part := connection.recv(65536):
            received.extend(part)

    async def main() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        plain.connect(listener.socket.getsockname())
        transport = TlsDoor(tls.options, 5.0)(await listener.accept())
        context = tls.client()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.begin)
            connection = await trio.to_thread.run_sync(
                lambda: context.wrap_socket(plain, server_hostname=HOST)
            )
        number = 0
        while not transport._owed:
            content = b"%06d" % number * 100
            transport.send_now(content)
            expected.extend(content)
            number += 1
        transport.send_now(b"not at all")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, read_all, connection)
            await transport.send(b"end" * 100_000)
            expected.extend(b"end" * 100_000)
            transport.close()
        connection.close()
        await listener.aclose()

    trio.run(main)
    assert received == expected


def test_peer_that_takes_nothing_is_stalled(tls: Secured) -> None:
    async def main() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
        with socket.create_connection(listener.socket.getsockname()) as plain:
            transport = TlsDoor(tls.options, 60.0)(await listener.accept())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(transport.begin)
                connection = await trio.to_thread.run_sync(
                    lambda: tls.client().wrap_socket(plain, server_hostname=HOST)
                )
            with connection, pytest.raises(StalledError):
                await transport.send(bytes(64 * 1024 * 1024))
            transport.abort()
            transport.close()
        await listener.aclose()

    trio.run(main, clock=trio.testing.MockClock(rate=RATE))
