"""`/v2/_ext/_scrub`: a run, its outcome, and wishes that are none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.client import Client, expect_error
from tests.api.serving import serving

SCRUB = "/v2/_ext/_scrub"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with (
        serving(tmp_path, global_={"scrub_interval_secs": 0}) as registry,
        registry.client() as opened,
    ):
        yield opened


def test_run_tells_what_it_looked_at(client: Client) -> None:
    client.push_blob("app")
    answer = client.post(SCRUB, json={"dry_run": True, "rate": 0})
    assert answer.status_code == 202
    deadline = time.monotonic() + 20
    found = client.get(SCRUB).json()
    while found["run"]["ended_at"] is None and time.monotonic() < deadline:
        time.sleep(0.02)
        found = client.get(SCRUB).json()
    assert (found["scrub_interval_secs"], found["scheduled_ended_at"]) == (None, None)
    outcome = found["run"]["outcome"]
    assert (outcome["blobs"], outcome["manifests"]) == (1, 0)
    assert (outcome["failed"], outcome["findings"]) == (0, {})


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"rate": "1MiB"}', b'{"rate": -1}'])
def test_bad_wish_is_refused(client: Client, body: bytes) -> None:
    expect_error(client.post(SCRUB, content=body), 400, "NAME_INVALID", detail=None)
