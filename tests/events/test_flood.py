"""Many events to many listeners at once: all are told everything, and memory stays bounded."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from angos_trio.clock import epoch_seconds
from angos_trio.events.model import Event, EventKind, record
from angos_trio.oci.names import RepositoryName
from tests.load.resident import MIB, Sampler, resident_bytes
from tests.running import running_registry
from tests.server.frames import Frames
from tests.server.wire import Wire

EVENTS, LISTENERS = 5_000, 10
PAUSE_SECS = 1.0
"""In which nobody reads: what is not in the kernel's buffers would pile up."""
SECS_MAX = 120.0
GROWTH_BYTES_MAX = 16 * MIB


def fill(data_dir: Path) -> None:
    """So many events in the outbox of a registry that does not run."""
    now = epoch_seconds()  # what is old is removed at the start
    with closing(sqlite3.connect(data_dir / "metadata.db")) as rows:
        for number in range(EVENTS):
            told = {"tag": f"v{number}", "digest": "sha256:" + "0" * 64}
            event = Event(EventKind.TAG_CREATED, RepositoryName("team/app"), now, "basic::me", told)
            record(rows, event)
        rows.commit()


class Listener:
    """Waits, then reads to the last event, in a thread; `seen` are the ids in their order."""

    def __init__(self, address: tuple[str, int], *, is_socket: bool) -> None:
        self.seen: list[int] = []
        self._wire = Wire(address, buffer_bytes=64 * 1024, timeout_secs=SECS_MAX)
        self._frames: Frames | None = None
        target = "/v2/_ext/_events?after=0&follow=true"
        if is_socket:
            self._frames = Frames(self._wire, target)
        else:
            self._wire.request("GET", target)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        time.sleep(PAUSE_SECS)
        with self._wire:
            if self._frames is None:
                assert self._wire.head()[0] == 200
            while len(self.seen) < EVENTS:
                for text in self._texts():
                    message = json.loads(text)
                    assert message["type"] in ("tag.created", "heartbeat"), message
                    if message["type"] == "tag.created":
                        self.seen.append(message["seq"])

    def _texts(self) -> list[str]:
        if self._frames is not None:
            return [self._frames.text()]
        size = int(self._wire.line(), 16)
        body = self._wire.read(size)
        self._wire.line()
        return body.decode().splitlines()


@pytest.mark.slow
def test_flood_reaches_all_listeners_in_order_and_costs_little_memory(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running_registry(data_dir):
        pass
    fill(data_dir)
    with running_registry(data_dir) as registry:
        host, _, port = registry.address.partition(":")
        Listener((host, int(port)), is_socket=False).thread.join()  # what is loaded at first use
        before = resident_bytes(registry.process.pid)
        with Sampler(registry.process.pid) as sampler:
            listeners = [
                Listener((host, int(port)), is_socket=number % 2 == 0)
                for number in range(LISTENERS)
            ]
            for listener in listeners:
                listener.thread.join(SECS_MAX)
        for listener in listeners:
            assert listener.seen == list(range(1, EVENTS + 1))
        grown = max(sampler.peak_bytes, sampler.sampled_bytes) - before
        assert grown < GROWTH_BYTES_MAX, f"{grown / MIB:.1f} MiB"
