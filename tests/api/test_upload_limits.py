"""Uploads that are too large, too many, at once, or broken off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trio.testing

from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob, make_name
from tests.server.wire import Wire, eventually

pytestmark = pytest.mark.slow

BLOB_BYTES_MAX = 1000
UPLOADS_MAX = 3
RATE = 30.0
"""A server whose clock runs this much faster: five seconds of idleness pass in a sixth of one."""


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry with small bounds."""
    with serving(
        tmp_path_factory.mktemp("narrow"),
        server={"max_uploads_per_caller": UPLOADS_MAX},
        global_={"max_blob_size": BLOB_BYTES_MAX},
    ) as served:
        yield served


@pytest.fixture
def tight(narrow: ServedRegistry) -> Iterator[Client]:
    """Speaks to `narrow`; leaves no session open."""
    with Client(narrow.url) as speaking:
        yield speaking
        for session in narrow.server.call(narrow.core.storage.sessions.idle_since, float("inf")):
            narrow.server.call(narrow.core.storage.sessions.discard, session)


def test_blob_of_the_size_of_the_bound_is_taken(tight: Client, name: str) -> None:
    blob = make_blob(b"x" * BLOB_BYTES_MAX)
    location = tight.open_upload(name)
    tight.patch(location, content=blob.body[:600])

    assert tight.finish(location, blob, blob.body[600:]).status_code == 201


TOO_LARGE = make_blob(b"x" * (BLOB_BYTES_MAX + 1))


def chunked(body: bytes) -> Iterator[bytes]:
    return (body[start : start + 300] for start in range(0, len(body), 300))


@pytest.mark.parametrize(
    "push",
    [
        lambda client, location: client.finish(location, TOO_LARGE, TOO_LARGE.body),
        lambda client, location: client.finish(location, TOO_LARGE, chunked(TOO_LARGE.body)),
        lambda client, location: client.patch(location, content=TOO_LARGE.body),
        lambda client, location: client.patch(location, content=chunked(TOO_LARGE.body)),
        lambda client, location: (
            client.patch(location, content=TOO_LARGE.body[:600]),
            client.patch(location, content=TOO_LARGE.body[600:]),
        )[1],
        lambda client, location: (
            client.patch(location, content=TOO_LARGE.body[:600]),
            client.finish(location, TOO_LARGE, TOO_LARGE.body[600:]),
        )[1],
    ],
    ids=["put", "chunked put", "patch", "chunked patch", "second patch", "put after patch"],
)
def test_blob_above_the_bound_is_413_and_ends_the_session(
    narrow: ServedRegistry, tight: Client, name: str, push: Callable[[Client, str], httpx.Response]
) -> None:
    location = tight.open_upload(name)

    answer = push(tight, location)

    expect_error(answer, 413, "BLOB_UPLOAD_INVALID")
    expect_error(tight.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
    assert narrow.files("uploads") == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_blob_above_the_bound_in_one_request_is_413(
    narrow: ServedRegistry, tight: Client, name: str, is_chunked: bool
) -> None:
    answer = tight.post(
        f"/v2/{name}/blobs/uploads/",
        params={"digest": TOO_LARGE.digest},
        content=chunked(TOO_LARGE.body) if is_chunked else TOO_LARGE.body,
    )

    expect_error(answer, 413, "BLOB_UPLOAD_INVALID")
    assert narrow.files("uploads") == []
    expect_error(tight.get(f"/v2/{name}/blobs/{TOO_LARGE.digest}"), 404, "BLOB_UNKNOWN")


def test_one_upload_too_many_is_429_until_another_ends(tight: Client, name: str) -> None:
    locations = [tight.open_upload(name) for _ in range(UPLOADS_MAX)]
    blob = make_blob()

    answer = tight.post(f"/v2/{name}/blobs/uploads/")
    at_once = tight.post(
        f"/v2/{make_name()}/blobs/uploads/", params={"digest": blob.digest}, content=blob.body
    )

    expect_error(answer, 429, "TOOMANYREQUESTS", detail=UPLOADS_MAX)
    assert int(answer.headers["Retry-After"]) > 0
    expect_error(at_once, 429, "TOOMANYREQUESTS", detail=UPLOADS_MAX)
    tight.delete(locations[0])
    tight.finish(locations[1], blob, blob.body)
    tight.push_blob(name)
    tight.open_upload(name)
    tight.open_upload(name)
    assert tight.post(f"/v2/{name}/blobs/uploads/").status_code == 429


def begin_patch(
    served: ServedRegistry, wire: Wire, location: str, begun: bytes, length: int, **headers: str
) -> None:
    """Send the head of a PATCH and the first bytes of its body; return when it is being served."""
    wire.request("PATCH", location, {**headers, "Content-Length": str(length)})
    wire.send(begun)
    eventually(lambda: served.core.storage.receiver.active == 1)


def test_second_writer_of_a_session_is_409_at_once(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = make_blob("0123456789")
    location = client.open_upload(name)
    with registry.wire() as first:
        begin_patch(registry, first, location, b"01234", 10)
        answers = [
            client.patch(location, content=b"x"),
            client.patch(location, content=b"x", headers={"Content-Range": "0-0"}),
            client.finish(location, blob, blob.body),
        ]
        first.send(b"56789")
        assert first.answer().status == 202

    for answer in answers:
        expect_error(answer, 409, "BLOB_UPLOAD_INVALID", detail=location.rpartition("/")[2])
    assert client.finish(location, blob).status_code == 201


def test_cancel_stops_the_request_that_writes(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    before = registry.files("uploads")
    location = client.open_upload(name)
    with registry.wire() as first:
        begin_patch(registry, first, location, b"01234", 10)
        assert client.delete(location).status_code == 204
        assert first.answer().status in (404, 409)

    assert client.get(location).status_code == 404
    assert registry.files("uploads") == before


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(6))
def test_two_finishes_at_once_leave_the_blob_and_no_error_but_409(
    registry: ServedRegistry, client: Client, name: str, attempt: int
) -> None:
    blob = make_blob(f"attempt {attempt}")
    location = client.open_upload(name)
    statuses: list[int] = []

    def finish() -> None:
        with Client(registry.url) as own:
            statuses.append(own.finish(location, blob, blob.body).status_code)

    threads = [threading.Thread(target=finish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 201 in statuses
    assert set(statuses) <= {201, 409}
    assert client.get(f"/v2/{name}/blobs/{blob.digest}").content == blob.body
    assert client.get(location).status_code == 404


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[ServedRegistry]:
    """A registry whose seconds are short, and that never takes a peer for stalled."""
    clock = trio.testing.MockClock(rate=RATE)
    with serving(tmp_path, clock=clock, stall_secs=100_000) as served:
        yield served


@pytest.mark.slow
def test_writer_that_brings_nothing_gives_way_to_one_at_the_committed_offset(
    fast: ServedRegistry, name: str
) -> None:
    blob = make_blob("0123456789")
    with Client(fast.url) as client, fast.wire() as idle:
        location = client.open_upload(name)
        begin_patch(fast, idle, location, b"01234", 10)
        eventually(lambda: fast.session_bytes(location) == 5)
        taken = None
        while taken is None or taken.status_code == 409:
            taken = client.patch(location, content=b"56", headers={"Content-Range": "5-6"})
        gave_way = idle.answer()
        finished = client.finish(location, blob, b"789")

    assert taken.status_code == 202
    assert taken.headers["Range"] == "0-6"
    assert gave_way.status == 409
    assert finished.status_code == 201


@pytest.mark.slow
def test_writer_that_brings_nothing_does_not_give_way_to_one_elsewhere(
    fast: ServedRegistry, name: str
) -> None:
    with Client(fast.url) as client, fast.wire() as idle:
        location = client.open_upload(name)
        begin_patch(fast, idle, location, b"01234", 10)
        eventually(lambda: fast.session_bytes(location) == 5)
        fast.server.call(trio.sleep, 6.0)
        elsewhere = [
            client.patch(location, content=b"x", headers={"Content-Range": "7-7"}),
            client.patch(location, content=b"x"),
            client.finish(location, make_blob(), b"x"),
        ]
        idle.send(b"56789")
        resumed = idle.answer()

    assert {answer.status_code for answer in elsewhere} <= {409, 416}
    assert resumed.status == 202
    assert resumed.headers["range"] == "0-9"


def test_client_that_disappears_leaves_what_it_brought(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = make_blob("0123456789")
    for leave in (Wire.close, Wire.reset):
        location = client.open_upload(name)
        with registry.wire() as wire:
            begin_patch(registry, wire, location, b"0123", 10, **{"Content-Range": "0-9"})
            leave(wire)
        eventually(lambda: registry.core.storage.receiver.active == 0)

        assert client.get(location).headers["Range"] == "0-3"
        assert client.finish(location, blob, b"456789").status_code == 201


def test_finish_that_breaks_off_can_be_resumed(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = make_blob(b"0123456789" * 300_000)
    location = client.open_upload(name)
    with registry.wire() as wire:
        headers = {"Content-Length": str(blob.size)}
        wire.request("PUT", f"{location}?digest={blob.digest}", headers)
        wire.send(blob.body[:2_000_000])
        eventually(lambda: registry.session_bytes(location) > 0)
    eventually(lambda: client.get(location).headers["Range"] == "0-1999999")
    eventually(lambda: registry.core.storage.receiver.active == 0)

    assert client.finish(location, blob, blob.body[2_000_000:]).status_code == 201
    assert client.get(f"/v2/{name}/blobs/{blob.digest}").content == blob.body


def test_blob_in_one_request_that_breaks_off_leaves_nothing(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = make_blob(b"0123456789" * 300_000)
    before = registry.files("uploads")
    with registry.wire() as wire:
        headers = {"Content-Length": str(blob.size)}
        wire.request("POST", f"/v2/{name}/blobs/uploads/?digest={blob.digest}", headers)
        wire.send(blob.body[:2_000_000])
        eventually(lambda: registry.files("uploads") != before)

    eventually(lambda: registry.files("uploads") == before)
    expect_error(client.get(f"/v2/{name}/blobs/{blob.digest}"), 404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("broken", [b"zz\r\n", b"-1\r\nx", b"5\r\n012", b"\x00\x00\r\n"])
def test_broken_chunked_body_keeps_what_came_before(
    registry: ServedRegistry, client: Client, name: str, broken: bytes
) -> None:
    location = client.open_upload(name)
    with registry.wire() as wire:
        wire.request("PATCH", location, {"Transfer-Encoding": "chunked"})
        eventually(lambda: registry.core.storage.receiver.active == 1)
        wire.send(b"4\r\n0123\r\n" + broken)
        if broken != b"5\r\n012":
            assert wire.answer().status == 400
    size = 7 if broken == b"5\r\n012" else 4

    eventually(lambda: registry.core.storage.receiver.active == 0)
    assert client.get(location).headers["Range"] == f"0-{size - 1}"


def test_slow_client_does_not_slow_another(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    slow = client.open_upload(name)
    with registry.wire() as wire:
        begin_patch(registry, wire, slow, b"0", 1000)
        for _ in range(5):
            wire.send(b"1")
            client.push_blob(name)
            assert client.get(f"/v2/{name}/tags/list").status_code == 200


def test_slow_bytes_reach_the_file_without_waiting_for_a_whole_chunk(
    fast: ServedRegistry, name: str
) -> None:
    with Client(fast.url) as client, fast.wire() as wire:
        location = client.open_upload(name)
        begin_patch(fast, wire, location, b"0123", 10_000_000)
        eventually(lambda: client.get(location).headers["Range"] == "0-3")
