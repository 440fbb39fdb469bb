"""Memory does not grow with the size of a blob: server and client are both in this process."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.serving import serving
from tests.server.log_lines import LogLines
from tests.server.secured import Secured, both

pytestmark = pytest.mark.slow
MIB = 1024 * 1024
PIECE = bytes(64 * 1024)
BLOB_BYTES = 96 * MIB
HELD_BYTES_MAX = 16 * MIB


@pytest.fixture(autouse=True)
def _nothing_crashes(log_lines: LogLines) -> None:
    """A large blob is no accident."""


@contextmanager
def held_at_most(bytes_max: int) -> Iterator[None]:
    """Fail when more than this is allocated at once meanwhile."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < bytes_max, f"{peak} bytes"


def digest() -> str:
    hasher = hashlib.sha256()
    for _ in range(BLOB_BYTES // len(PIECE)):
        hasher.update(PIECE)
    return f"sha256:{hasher.hexdigest()}"


def pieces() -> Iterator[bytes]:
    return (PIECE for _ in range(BLOB_BYTES // len(PIECE)))


@both
@pytest.mark.parametrize("sends_files", [True, False])
def test_large_blob_goes_in_and_out_in_little_memory(
    secured: Secured | None, tmp_path: Path, sends_files: bool
) -> None:
    name = digest()
    with (
        serving(tmp_path, sends_files=sends_files, secured=secured) as served,
        served.client() as client,
    ):
        location = client.open_upload("a")
        with held_at_most(HELD_BYTES_MAX):
            assert client.patch(location, content=pieces()).status_code == 202
            assert client.put(location, params={"digest": name}).status_code == 201
        size = 0
        with (
            held_at_most(HELD_BYTES_MAX),
            client.stream("GET", f"/v2/a/blobs/{name}") as answer,
        ):
            for part in answer.iter_raw():
                size += len(part)

    assert size == BLOB_BYTES


def test_large_refused_body_is_not_held(tmp_path: Path) -> None:
    location = "/v2/a/blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd"
    with serving(tmp_path) as served, served.wire() as wire:
        wire.request("PUT", f"{location}?digest={digest()}", {"Content-Length": str(BLOB_BYTES)})
        with held_at_most(HELD_BYTES_MAX):
            sent, is_cut_off = 0, False
            while sent < BLOB_BYTES and not is_cut_off:
                try:
                    wire.send(PIECE)
                except ConnectionError:
                    is_cut_off = True
                sent += len(PIECE)

    assert is_cut_off
