"""Stopping: requests end, idle connections do not last, uploads can be resumed."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trio.testing

from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob
from tests.server.applications import Waiting, echo
from tests.server.in_process import in_process
from tests.server.log_lines import LogLines
from tests.server.secured import Secured, both
from tests.server.wire import Wire, eventually

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _nothing_crashes(log_lines: LogLines) -> None:
    """Stopping is no accident."""


def begin_patch(served: ServedRegistry, wire: Wire, body: bytes, length: int) -> str:
    """Begin an upload of `length` bytes; returns its location when it is being served."""
    with served.client() as client:
        location = client.open_upload("a")
    wire.request("PATCH", location, {"Content-Length": str(length)})
    wire.send(body)
    eventually(lambda: served.core.storage.receiver.active == 1)
    return location


@both
def test_idle_connections_end_soon(secured: Secured | None) -> None:
    with (
        in_process(echo, drain_secs=60, secured=secured) as server,
        server.wire() as unused,
        server.wire() as used,
    ):
        used.ask("GET", "/")
        server.begin_to_stop()
        assert unused.is_ended()
        assert used.is_ended()
        server.join()


@both
def test_connection_that_has_not_asked_yet_is_answered_once(secured: Secured | None) -> None:
    """Its client would take an end without an answer for a failure, and not ask again."""
    with in_process(echo, drain_secs=60, secured=secured) as server, server.wire() as unused:
        server.begin_to_stop()
        # Or the request might come before the stop.
        server.call(trio.testing.wait_all_tasks_blocked)
        answer = unused.ask("GET", "/")
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert unused.is_ended()
        server.join()


@both
def test_connections_that_arrive_with_the_stop_do_not_hold_it_up(secured: Secured | None) -> None:
    # Whether one is accepted just before the stop is chance: hence several rounds.
    for _ in range(10):
        with in_process(echo, drain_secs=60, secured=secured) as server, ExitStack() as arrived:

            def arrive() -> None:
                with suppress(ConnectionError):
                    while True:
                        arrived.enter_context(Wire(server.address))

            arriving = threading.Thread(target=arrive)
            arriving.start()
            begun_at = time.monotonic()
            server.begin_to_stop()
            arriving.join()
            server.join()
            assert time.monotonic() - begun_at < 10


def test_connection_with_half_a_head_does_not_hold_the_stop_up() -> None:
    begun_at = time.monotonic()
    with in_process(echo, drain_secs=60) as server, server.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost")
        server.begin_to_stop()
        server.join()
    assert time.monotonic() - begun_at < 10


@both
def test_request_that_is_running_ends_and_closes_its_connection(secured: Secured | None) -> None:
    waiting = Waiting()
    with in_process(waiting, drain_secs=60, secured=secured) as server, server.wire() as wire:
        wire.request("GET", "/")
        wire.request("GET", "/never")
        server.call(waiting.wait_asked)
        server.begin_to_stop()
        eventually(lambda: refuses_connections(server.address))
        server.call(waiting.release)
        answer = wire.answer()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert wire.is_over()
        server.join()


def refuses_connections(address: tuple[str, int]) -> bool:
    try:
        Wire(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False  # came while the listener was being closed
    return False


@both
@pytest.mark.slow
def test_running_upload_ends_within_the_drain_time(secured: Secured | None, tmp_path: Path) -> None:
    blob = make_blob("0123456789")
    with serving(tmp_path, drain_secs=60, secured=secured) as served, served.wire() as wire:
        location = begin_patch(served, wire, blob.body[:4], blob.size)
        served.server.begin_to_stop()
        eventually(lambda: refuses_connections(served.address))
        wire.send(blob.body[4:])
        answer = wire.answer()
        assert (answer.status, answer.headers["range"]) == (202, "0-9")
        assert wire.is_ended()
        served.server.join()
    with serving(tmp_path) as served, served.client() as client:
        assert client.finish(location, blob).status_code == 201


@both
@pytest.mark.slow
def test_running_download_ends_within_the_drain_time(
    secured: Secured | None, tmp_path: Path
) -> None:
    blob = make_blob(bytes(range(256)) * 65536)
    with serving(tmp_path, drain_secs=60, secured=secured) as served:
        with served.client() as client:
            client.push_blob("a", blob)
        with served.wire(buffer_bytes=65536, timeout_secs=20) as wire:
            wire.request("GET", f"/v2/a/blobs/{blob.digest}")
            wire.head()
            served.server.begin_to_stop()
            eventually(lambda: refuses_connections(served.address))
            assert wire.read(blob.size) == blob.body
            assert wire.is_ended()
            served.server.join()


@pytest.mark.slow
@pytest.mark.parametrize("is_told_twice", [False, True])
def test_upload_that_does_not_end_in_time_can_be_resumed(
    tmp_path: Path, is_told_twice: bool
) -> None:
    blob = make_blob(bytes(3 * MIB))
    drain_secs = 60.0 if is_told_twice else 0.1
    with serving(tmp_path, drain_secs=drain_secs) as served, served.wire() as wire:
        location = begin_patch(served, wire, blob.body[: 2 * MIB], blob.size)
        eventually(lambda: served.session_bytes(location) >= MIB)
        served.server.begin_to_stop()
        if is_told_twice:
            served.server.begin_to_stop()
        served.server.join()
        assert wire.is_over()
    with serving(tmp_path) as served, served.client() as client:
        offset = int(client.get(location).headers["Range"].partition("-")[2]) + 1
        assert MIB <= offset <= 2 * MIB
        finished = client.finish(location, blob, blob.body[offset:])
        assert finished.status_code == 201
        assert client.get(f"/v2/a/blobs/{blob.digest}").content == blob.body
