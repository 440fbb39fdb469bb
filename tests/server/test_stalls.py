"""Peers that make no progress. The server's clock runs fast here, so that no test waits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio.testing

from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob
from tests.server.applications import echo
from tests.server.in_process import InProcessServer, in_process
from tests.server.log_lines import LogLines
from tests.server.secured import Secured, both
from tests.server.wire import eventually

MIB = 1024 * 1024
STALL_SECS = 60
RATE = 300.0
"""Seconds of the server in one of ours."""
BIG = make_blob(bytes(range(256)) * 65536)


@pytest.fixture(autouse=True)
def _nothing_crashes(log_lines: LogLines) -> None:
    """Slow peers are no accident."""


def fast_clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(rate=RATE)


@pytest.fixture
def server(secured: Secured | None) -> Iterator[InProcessServer]:
    """A server around `echo` that closes idle connections after a third of a second of ours."""
    clock = fast_clock()
    with in_process(echo, stall_secs=STALL_SECS, clock=clock, secured=secured) as running:
        yield running


@pytest.mark.slow
def test_connection_without_a_request_is_closed_in_silence(server: InProcessServer) -> None:
    with server.wire() as wire:
        assert wire.is_ended()
    server.expect_idle()


@both
@pytest.mark.slow
def test_connection_that_is_idle_after_a_request_is_closed_in_silence(
    server: InProcessServer,
) -> None:
    with server.wire() as wire:
        assert wire.ask("GET", "/").status == 200
        assert wire.is_ended()
    server.expect_idle()


@both
@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_stalled_head_is_408(server: InProcessServer, begun: bytes) -> None:
    with server.wire() as wire:
        wire.send(begun)
        assert wire.answer().status == 408
        assert wire.is_ended()
    server.expect_idle()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that holds BIG."""
    root: Path = tmp_path_factory.mktemp("stalls")
    with serving(root) as served, served.client() as client:
        client.push_blob("a", BIG)
    return root


@pytest.fixture
def impatient(root: Path, secured: Secured | None) -> Iterator[ServedRegistry]:
    """A registry that takes a peer for stalled after a fifth of a second of ours."""
    with serving(root, stall_secs=STALL_SECS, clock=fast_clock(), secured=secured) as served:
        yield served


@both
@pytest.mark.slow
@pytest.mark.parametrize("is_chunked", [False, True])
def test_stalled_body_is_400_and_keeps_what_came(
    root: Path, impatient: ServedRegistry, is_chunked: bool
) -> None:
    with impatient.client() as client:
        location = client.open_upload("a")
    with impatient.wire() as wire:
        length = {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": "10"}
        wire.request("PATCH", location, length)
        wire.send(b"4\r\n0123\r\n" if is_chunked else b"0123")
        answer = wire.answer()
        assert answer.status == 400
        assert json.loads(answer.body)["errors"][0]["code"] == "SIZE_INVALID"
        assert wire.is_ended()
    impatient.server.expect_idle()
    assert impatient.core.storage.receiver.active == 0
    impatient.server.stop()
    blob = make_blob("0123456789")
    with serving(root) as patient, patient.client() as client:
        assert client.get(location).headers["Range"] == "0-3"
        assert client.finish(location, blob, blob.body[4:]).status_code == 201


@both
@pytest.mark.slow
@pytest.mark.parametrize("sends_files", [True, False])
def test_stalled_download_is_reset_and_its_file_closed(
    secured: Secured | None, root: Path, sends_files: bool
) -> None:
    clock = fast_clock()
    with (
        serving(
            root, stall_secs=STALL_SECS, clock=clock, sends_files=sends_files, secured=secured
        ) as served,
        served.wire(buffer_bytes=65536) as wire,
    ):
        wire.request("GET", f"/v2/a/blobs/{BIG.digest}")
        eventually(lambda: served.open_blobs() == 1)
        served.server.expect_idle()
        assert served.open_blobs() == 0
        assert wire.is_reset()


@both
@pytest.mark.slow
def test_slow_upload_that_goes_on_is_never_stalled(impatient: ServedRegistry) -> None:
    with impatient.client() as client:
        location = client.open_upload("a")
    with impatient.wire() as wire:
        wire.request("PATCH", location, {"Content-Length": "10"})
        for _ in range(10):
            time.sleep(STALL_SECS / RATE / 3)
            wire.send(b"x")
        assert wire.answer().status == 202


@both
@pytest.mark.slow
def test_slow_download_that_goes_on_is_never_stalled(secured: Secured | None, root: Path) -> None:
    rate = 100.0
    clock = trio.testing.MockClock(rate=rate)
    with (
        serving(root, stall_secs=STALL_SECS, clock=clock, secured=secured) as served,
        served.wire(buffer_bytes=65536) as wire,
    ):
        wire.request("GET", f"/v2/a/blobs/{BIG.digest}")
        status, headers = wire.head()
        assert status == 200
        left, body = int(headers["content-length"]), b""
        for _ in range(10):
            time.sleep(STALL_SECS / rate / 5)
            body += wire.read(MIB)
        body += wire.read(left - len(body))
    assert body == BIG.body
