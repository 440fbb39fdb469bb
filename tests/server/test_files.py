"""Downloads: files sent by the kernel and by hand, and what becomes of them when a peer leaves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api.serving import ServedRegistry, serving
from tests.factories import Content, make_blob
from tests.server.applications import OneFile
from tests.server.in_process import in_process
from tests.server.log_lines import LogLines
from tests.server.secured import Secured, both
from tests.server.wire import Wire, eventually

pytestmark = pytest.mark.slow

KIB, MIB = 1024, 1024 * 1024
BIG = make_blob(bytes(range(256)) * 65536)
ODD = make_blob(os.urandom(2 * MIB + 12345))
SMALL_BUFFER = 64 * KIB


@pytest.fixture(autouse=True)
def _nothing_crashes(log_lines: LogLines) -> None:
    """A client that leaves is no accident."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with both blobs."""
    root: Path = tmp_path_factory.mktemp("files")
    with serving(root) as served, served.client() as client:
        for blob in (BIG, ODD):
            client.push_blob("a", blob)
    return root


@pytest.fixture(scope="module", params=[True, False], ids=["sendfile", "by hand"])
def served(
    root: Path, secured: Secured | None, request: pytest.FixtureRequest
) -> Iterator[ServedRegistry]:
    """A registry whose server is offered files, and one whose server is not."""
    with serving(root, sends_files=request.param, secured=secured) as running:
        yield running


def path_of(blob: Content) -> str:
    return f"/v2/a/blobs/{blob.digest}"


@both
@pytest.mark.parametrize(
    ("first", "last"),
    [
        (None, None),
        (0, 0),
        (0, ODD.size - 1),
        (1, ODD.size - 2),
        (MIB - 1, MIB),
        (256 * KIB, 512 * KIB),
        (ODD.size - 1, ODD.size - 1),
    ],
)
def test_bytes_are_those_of_the_blob(
    served: ServedRegistry, first: int | None, last: int | None
) -> None:
    headers = {} if first is None else {"Range": f"bytes={first}-{last}"}
    with served.wire() as wire:
        answer = wire.ask("GET", path_of(ODD), headers)
        head = wire.ask("HEAD", path_of(ODD))
        again = wire.ask("GET", path_of(ODD), {"Range": "bytes=-5"})

    expected = ODD.body if first is None or last is None else ODD.body[first : last + 1]
    assert answer.body == expected
    assert head.headers["content-length"] == str(ODD.size)
    assert again.body == ODD.body[-5:]
    eventually(lambda: served.open_blobs() == 0)


@both
def test_pipelined_downloads_follow_each_other(served: ServedRegistry) -> None:
    with served.wire() as wire:
        for _ in range(3):
            wire.request("GET", path_of(ODD))
            wire.request("GET", path_of(ODD), {"Range": "bytes=0-9"})
        for _ in range(3):
            assert wire.answer().body == ODD.body
            assert wire.answer().body == ODD.body[:10]


@both
@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
def test_client_that_leaves_in_the_middle_frees_file_and_task(
    served: ServedRegistry, leave: Callable[[Wire], None], log_lines: LogLines
) -> None:
    for _ in range(5):
        with served.wire(buffer_bytes=SMALL_BUFFER) as wire:
            wire.request("GET", path_of(BIG))
            assert len(wire.read(100 * KIB)) == 100 * KIB
            assert served.open_blobs() == 1
            leave(wire)
        eventually(lambda: served.open_blobs() == 0)
    served.server.expect_idle()
    assert [line for line in log_lines.all() if line["level"] == "error"] == []


@both
def test_client_that_leaves_before_the_answer_frees_file_and_task(served: ServedRegistry) -> None:
    for _ in range(10):
        wire = served.wire()
        wire.request("GET", path_of(BIG))
        wire.reset()
    served.server.expect_idle()
    eventually(lambda: served.open_blobs() == 0)


@both
def test_slow_reader_beside_a_quick_one(served: ServedRegistry) -> None:
    with served.wire(buffer_bytes=SMALL_BUFFER) as slow, served.wire() as quick:
        slow.request("GET", path_of(BIG))
        slow.head()
        for _ in range(3):
            assert quick.ask("GET", path_of(BIG)).body == BIG.body
        assert quick.ask("GET", "/v2/").status == 200
        assert slow.read(BIG.size) == BIG.body


@both
def test_many_readers_at_once_get_the_same_bytes(served: ServedRegistry) -> None:
    bodies: list[bytes] = []

    def read() -> None:
        with served.wire(timeout_secs=20) as wire:
            bodies.append(wire.ask("GET", path_of(ODD)).body)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bodies == [ODD.body] * 8
    eventually(lambda: served.open_blobs() == 0)


@both
@pytest.mark.slow
@pytest.mark.parametrize("sends_files", [True, False])
def test_file_that_ends_too_soon_breaks_the_connection_off(
    secured: Secured | None, tmp_path: Path, sends_files: bool
) -> None:
    with serving(tmp_path, sends_files=sends_files, secured=secured) as served:
        with served.client() as client:
            client.push_blob("a", BIG)
        (path,) = served.files("blobs")
        with served.wire(buffer_bytes=SMALL_BUFFER) as wire:
            wire.request("GET", path_of(BIG))
            status, headers = wire.head()
            assert (status, headers["content-length"]) == (200, str(BIG.size))
            os.truncate(path, 12 * MIB)
            assert wire.is_reset()
        eventually(lambda: served.open_blobs() == 0)
        served.server.expect_idle()


@both
def test_announced_file_that_is_short_is_reset(secured: Secured | None, tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"x" * 1000)
    with in_process(OneFile(str(path), 1001), secured=secured) as server, server.wire() as wire:
        wire.request("GET", "/")
        assert wire.is_reset()
    with in_process(OneFile(str(path), 1000), secured=secured) as server, server.wire() as wire:
        assert wire.ask("GET", "/").body == b"x" * 1000
        assert wire.ask("GET", "/").body == b"x" * 1000


@pytest.mark.slow
def test_blob_deleted_during_its_download_arrives_whole(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        client.push_blob("a", BIG)
        with served.wire(buffer_bytes=SMALL_BUFFER, timeout_secs=20) as wire:
            wire.request("GET", path_of(BIG))
            wire.head()
            assert client.delete(path_of(BIG)).status_code == 202
            assert wire.read(BIG.size) == BIG.body
