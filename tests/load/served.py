"""A registry that rude clients come to, and what they leave behind in it."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.crash.process import Log, Place, start
from tests.factories import Content
from tests.processes import family
from tests.running import RunningRegistry, free_port
from tests.server.wire import Answer, Wire

NAMESPACE = "load/rude"
POLL_SECS = 0.02
WIRE_SECS = 10.0
LEFT_SECS_MAX = 5.0
"""A client that left in silence is noticed within a second; the rest is for a busy machine."""
_GAUGE = re.compile(r"^(\w+) ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Session:
    """An upload session; `location` is where it is spoken to."""

    served: Served
    location: str

    def resumed(self, blob: Content) -> str:
        """Finish the upload from where the registry says that it is; tells what was kept.

        A session that is still locked, or holds other bytes, makes this fail.
        """
        status = self.served.ask("GET", self.location)
        if status.status != 204:
            return f"session answers {status.status}"
        kept = self.kept(status.headers["range"])
        rest = blob.body[kept:]
        if rest:
            window = {"Content-Range": f"{kept}-{len(blob.body) - 1}"}
            answer = self.served.ask("PATCH", self.location, window, rest)
            if answer.status != 202:
                return f"{kept} kept, PATCH {answer.status} {answer.body!r}"
        answer = self.served.ask("PUT", f"{self.location}?digest={blob.digest}", body=b"")
        return f"{kept} kept, {'resumed' if answer.status == 201 else f'PUT {answer.status}'}"

    def cancel(self) -> None:
        """Drop it."""
        assert self.served.ask("DELETE", self.location).status == 204

    @staticmethod
    def kept(value: str) -> int:
        """Bytes that a `Range` of a session tells of; `0-0` also stands for none.

        No session here ever holds exactly one byte.
        """
        last = int(value.partition("-")[2])
        return last + 1 if last else 0


@dataclass
class Served:
    """A running registry and what it holds when nobody speaks to it."""

    registry: RunningRegistry
    log: Log
    idle: Counter[str] = field(default_factory=Counter)

    @cached_property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.registry.address.partition(":")
        return host, int(port)

    @property
    def pid(self) -> int:
        """The registry's process."""
        return self.registry.process.pid

    def wire(self, *, buffer_bytes: int | None = None) -> Wire:
        """A new connection."""
        return Wire(self.address, timeout_secs=WIRE_SECS, buffer_bytes=buffer_bytes)

    def ask(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        with self.wire() as wire:
            return wire.ask(method, target, {"Connection": "close", **(headers or {})}, body)

    def session(self) -> Session:
        """A new upload session."""
        answer = self.ask("POST", f"/v2/{NAMESPACE}/blobs/uploads/", body=b"")
        assert answer.status == 202, answer
        return Session(self, answer.headers["location"])

    def push(self, blob: Content) -> str:
        """Push a blob; returns its path."""
        target = f"/v2/{NAMESPACE}/blobs/uploads/?digest={blob.digest}"
        assert self.ask("POST", target, body=blob.body).status == 201
        return f"/v2/{NAMESPACE}/blobs/{blob.digest}"

    def logged_status(self) -> int:
        """The status of the last change in the log: 499 for a client that left."""
        lines = (json.loads(line) for line in self.registry.log.splitlines() if line[:1] == "{")
        return int([line for line in lines if line.get("event") == "request"][-1]["status"])

    def gauges(self) -> dict[str, float]:
        """The registry's own gauges."""
        text = self.ask("GET", "/metrics").body.decode()
        return {name: float(value) for name, value in _GAUGE.findall(text)}

    def descriptors(self) -> Counter[str]:
        """What its processes have open, by kind; the databases' own descriptors are left out."""
        found: Counter[str] = Counter()
        for pid in family(self.pid):
            folder = Path(f"/proc/{pid}/fd")
            for number in os.listdir(folder):
                try:
                    target = os.readlink(folder / number)
                except FileNotFoundError:
                    continue  # closed meanwhile
                kind = _kind(target, self.registry.data_dir)
                if kind:
                    found[kind] += 1
        return found

    def settle(self) -> None:
        """Take what is open now as what is open when idle."""
        self.ask("GET", "/readyz")
        self.ask("GET", "/metrics")
        time.sleep(0.2)
        self.idle = self.descriptors()

    def left(self, *, held_connections: int = 0) -> list[str]:
        """What is left of the clients that are gone; waits a little for there to be nothing."""
        wanted = self.idle + Counter({"socket": held_connections})
        deadline = time.monotonic() + LEFT_SECS_MAX
        while problems := self._left(wanted):
            if time.monotonic() > deadline:
                return problems
            time.sleep(POLL_SECS)
        return self.log.crash_lines()

    def _left(self, wanted: Counter[str]) -> list[str]:
        gauges = self.gauges()
        others = gauges["http_requests_in_flight"] - 1  # the scrape is one
        problems = [f"{others:.0f} requests in flight"] if others else []
        if gauges["storage_uploads_open"]:
            problems.append(f"{gauges['storage_uploads_open']:.0f} sessions open")
        found = self.descriptors()
        problems += [
            f"{found[kind]} × {kind}, {wanted[kind]} when idle"
            for kind in sorted({*found, *wanted})
            if found[kind] != wanted[kind]
        ]
        return problems

    def in_flight_reaches(self, wanted: int) -> None:
        """Wait until so many requests are handled beside the question itself."""
        deadline = time.monotonic() + LEFT_SECS_MAX
        while (found := self.gauges()["http_requests_in_flight"] - 1) != wanted:
            assert time.monotonic() < deadline, f"{found:.0f} requests in flight, not {wanted}"
            time.sleep(POLL_SECS)


def _kind(target: str, data_dir: Path) -> str:
    if target.startswith("socket:"):
        return "socket"
    inside = target.removeprefix(f"{data_dir.resolve()}/")
    if inside.startswith(("metadata.db", "shared.db", "stats.db")):
        return ""  # SQLite opens its own when it likes
    if target.startswith(("/memfd:counter_", "/memfd:histogram_", "/memfd:gauge_")):
        return ""  # files of the metrics are opened by a process when it first counts in them
    return f"file in {inside.split('/')[0]}" if "/" in inside and inside != target else "other"


@contextmanager
def serving(config: str, root: Path) -> Iterator[Served]:
    """A registry with this configuration, in a new directory."""
    root.mkdir()
    file = root / "config.toml"
    file.write_text(config, encoding="utf-8")
    place = Place(root / "data", root / "registry.log", free_port(), file)
    registry = start(place)
    try:
        served = Served(registry, Log(place.log_file))
        served.settle()
        yield served
    finally:
        registry.stop()
