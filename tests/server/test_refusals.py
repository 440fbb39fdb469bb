"""Answers that come before the end of the request's body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio.testing

from angos_trio.limits.requests import LINGER_BYTES_MAX
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.server.applications import refuse
from tests.server.in_process import in_process
from tests.server.log_lines import LogLines
from tests.server.secured import Secured, both
from tests.server.wire import BROKEN

pytestmark = pytest.mark.slow

KIB, MIB = 1024, 1024 * 1024
NO_SESSION = "01234567-89ab-4cde-8f01-23456789abcd"
DIGEST = "sha256:" + "0" * 64
SENT_MAX = 16 * MIB
"""What a refused client may get rid of: the bound, twice, and the buffers of two sockets."""


@pytest.fixture(autouse=True)
def _nothing_crashes(log_lines: LogLines) -> None:
    """A refusal is no accident."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry that takes blobs up to 1,000 bytes and manifests up to 500."""
    root: Path = tmp_path_factory.mktemp("small")
    with serving(root, global_={"max_blob_size": 1000, "max_manifest_size": 500}) as served:
        yield served


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry that lets nobody do anything."""
    root: Path = tmp_path_factory.mktemp("closed")
    with serving(root, global_={"access_policy": {"default": "deny"}}) as served:
        yield served


def targets(served: ServedRegistry, status: int) -> tuple[str, str, dict[str, str]]:
    """A request that is refused with a status whatever its body is."""
    if status == 413:
        with Client(served.url) as client:
            return "PATCH", client.open_upload("a/b"), {}
    host = {"Host": "registry.example.org"} if status == 403 else {}
    name = "A" if status == 400 else "a"
    return "PUT", f"/v2/{name}/blobs/uploads/{NO_SESSION}?digest={DIGEST}", host


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_refusal_during_a_streaming_body_leaves_no_task(
    small: ServedRegistry, closed: ServedRegistry, status: int, is_chunked: bool
) -> None:
    served = closed if status == 401 else small
    for _ in range(3):
        method, target, headers = targets(served, status)
        with served.wire() as wire:
            length = {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": "9999"}
            wire.request(method, target, {**headers, **length})
            part = b"x" * 2000
            wire.send(b"7d0\r\n" + part + b"\r\n" if is_chunked else part)
            answer = wire.answer()
            assert answer.status == status
            assert len(json.loads(answer.body)["errors"]) == 1
    served.server.expect_idle()
    assert served.core.storage.receiver.active == 0
    assert served.files("uploads") == []


@both
@pytest.mark.parametrize("rest", [0, 1, 1000, 900 * KIB])
def test_connection_is_used_again_after_a_small_rest(secured: Secured | None, rest: int) -> None:
    with in_process(refuse, secured=secured) as server, server.wire() as wire:
        wire.request("PUT", "/", {"Content-Length": str(rest + 10)})
        wire.send(b"x" * 10)
        first = wire.answer()
        wire.send(b"x" * rest)
        second = wire.ask("GET", "/")

    assert first.status == second.status == 413
    assert "connection" not in first.headers


def test_chunked_rest_is_taken_in_too() -> None:
    with in_process(refuse) as server, server.wire() as wire:
        wire.request("PUT", "/", {"Transfer-Encoding": "chunked"})
        assert wire.answer().status == 413
        wire.send(b"3\r\nabc\r\n" * 100 + b"0\r\n\r\n")
        assert wire.ask("GET", "/").status == 413


def test_rest_that_is_surely_too_much_is_told_with_connection_close() -> None:
    with in_process(refuse) as server:
        with server.wire() as wire:
            wire.request("PUT", "/", {"Content-Length": str(LINGER_BYTES_MAX + 1)})
            assert wire.answer().headers["connection"] == "close"
        server.expect_idle()


@both
@pytest.mark.parametrize("is_chunked", [False, True])
def test_client_that_goes_on_for_ever_is_cut_off_soon(
    secured: Secured | None, is_chunked: bool
) -> None:
    part = b"10000\r\n" + bytes(64 * KIB) + b"\r\n" if is_chunked else bytes(64 * KIB)
    with in_process(refuse, secured=secured) as server:
        with server.wire() as wire:
            length = (
                {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": "9" * 12}
            )
            wire.request("PUT", "/", length)
            assert wire.answer().status == 413
            sent, is_cut_off = 0, False
            while sent < SENT_MAX and not is_cut_off:
                try:
                    wire.send(part)
                except BROKEN:
                    is_cut_off = True
                sent += len(part)
            assert is_cut_off
        server.expect_idle()


@both
def test_client_that_sends_no_more_is_let_go_after_a_second(secured: Secured | None) -> None:
    clock = trio.testing.MockClock(rate=20)
    with in_process(refuse, clock=clock, stall_secs=10_000, secured=secured) as server:
        with server.wire() as wire:
            wire.request("PUT", "/", {"Content-Length": "1000"})
            assert wire.answer().status == 413
            assert wire.is_ended()
        server.expect_idle()


@both
def test_answer_reaches_a_client_that_is_still_sending(secured: Secured | None) -> None:
    with in_process(refuse, secured=secured) as server:
        for _ in range(10):
            with server.wire() as wire:
                wire.request("PUT", "/", {"Content-Length": str(2 * MIB)})
                wire.send(bytes(MIB))
                assert wire.answer().status == 413


def test_refused_upload_with_expect_sends_no_byte(small: ServedRegistry) -> None:
    with Client(small.url) as client:
        location = client.open_upload("a/b")
    requests = [
        ("PATCH", location, "1001", 413),
        ("PUT", "/v2/a/manifests/v1", "501", 413),
        ("PUT", f"/v2/a/blobs/uploads/{NO_SESSION}?digest={DIGEST}", "10", 404),
        ("POST", f"/v2/A/blobs/uploads/?digest={DIGEST}", "10", 400),
        ("POST", f"/v2/a/blobs/uploads/?digest={DIGEST}", "1001", 413),
    ]
    for method, target, length, status in requests:
        with small.wire() as wire:
            wire.request(method, target, {"Expect": "100-continue", "Content-Length": length})
            answer = wire.answer()
            assert answer.status == status
            assert answer.headers["connection"] == "close"
            assert wire.is_ended()


def test_client_that_leaves_instead_of_waiting_for_continue_is_no_error(
    small: ServedRegistry, log_lines: LogLines
) -> None:
    with Client(small.url) as client:
        location = client.open_upload("a/b")
    for target in (location, f"/v2/a/blobs/uploads/?digest={DIGEST}", "/v2/a/manifests/v1"):
        method = "PATCH" if target == location else "POST" if "digest" in target else "PUT"
        wire = small.wire()
        assert wire.ask("GET", "/v2/").status == 200
        with small.server.held():
            wire.request(method, target, {"Expect": "100-continue", "Content-Length": "9"})
            wire.reset()
        small.server.expect_idle()
    with Client(small.url) as client:
        assert client.delete(location).status_code == 204

    assert [line for line in log_lines.all() if line["level"] == "error"] == []


def test_accepted_upload_with_expect_is_asked_for_its_body(small: ServedRegistry) -> None:
    with Client(small.url) as client:
        location = client.open_upload("a/b")
    with small.wire() as wire:
        wire.request("PATCH", location, {"Expect": "100-continue", "Content-Length": "3"})
        assert wire.answer().status == 100
        wire.send(b"abc")
        answer = wire.answer()
        assert (answer.status, answer.headers["range"]) == (202, "0-2")
        assert wire.ask("DELETE", location).status == 204
