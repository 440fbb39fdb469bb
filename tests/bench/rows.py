"""What is measured: one row of the table each, and how a row is run."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from angos_trio.records import replace
from tests.bench.sides import CACHE, BenchError, Memory, Side, both

Pair = Callable[[Path], AbstractContextManager[tuple[Side, Side]]]
CLIENT_SOURCE = Path(__file__).resolve().parent / "client"
CLIENT = CACHE / "client"
RUN_SECS_MAX = 1800
PAUSE_SECS = 0.2
KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Row:
    """One kind of load. `count` operations are one run; before, `entries` of something are made."""

    name: str
    scenario: str
    unit: str
    clients: int
    count: int
    quick_count: int
    size: int = 0
    setup: str = ""
    entries: int = 0
    quick_entries: int = 0

    def made_quick(self) -> Row:
        """The same with less of it."""
        name = self.name.replace(f"{self.entries:,}", f"{self.quick_entries:,}")
        return replace(self, name=name, count=self.quick_count, entries=self.quick_entries)


ROWS = (
    Row("push 16 KiB images", "push", "images", 8, 480, 80, 16 * KIB),
    Row("push 1 MiB images", "push", "images", 8, 160, 40, MIB),
    Row("push 100 MiB images (POST, PUT)", "push", "images", 1, 4, 1, 100 * MIB),
    Row("push 100 MiB images (POST, PATCH, PUT)", "push-patch", "images", 1, 4, 1, 100 * MIB),
    Row("pull 1 MiB images", "pull", "images", 8, 640, 120, MIB, "push", 64, 16),
    Row("pull 100 MiB images", "pull", "images", 1, 16, 4, 100 * MIB, "push", 4, 1),
    Row("GET a manifest by tag", "manifest-get", "requests", 32, 5000, 1000, KIB, "push", 64, 16),
    Row("HEAD a manifest by tag", "manifest-head", "requests", 32, 5000, 1000, KIB, "push", 64, 16),
    Row("one page of 10,000 tags", "tags", "pages", 1, 100, 60, 0, "make-tags", 10_000, 1_000),
    Row("catalog of 5,000 repositories", "catalog", "walks", 1, 8, 30, 0, "make-repositories", 5000,
        500),
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What one run of the client measured."""

    operations: int
    seconds: float
    latencies_ms: list[float]
    client_cpu_secs: float
    server_cpu_secs: float

    @property
    def throughput(self) -> float:
        """Operations in a second."""
        return self.operations / self.seconds

    @property
    def server_ms(self) -> float:
        """CPU time of the registry for one operation."""
        return self.server_cpu_secs / self.operations * 1000


@dataclass(frozen=True)
class Figures:
    """One side's runs of a row."""

    runs: list[Run] = field(default_factory=list)

    @property
    def throughput(self) -> float:
        """The median of the runs."""
        return statistics.median(run.throughput for run in self.runs)

    def latency_ms(self, share: float) -> float:
        """A percentile over the operations of all runs; the share is 0.5 for the median."""
        ordered = sorted(latency for run in self.runs for latency in run.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    @property
    def client_cores(self) -> float:
        """How many cores the client took, of those that the machine has."""
        return _median_share(self.runs, lambda run: run.client_cpu_secs)

    @property
    def server_cores(self) -> float:
        """How many cores the registry took."""
        return _median_share(self.runs, lambda run: run.server_cpu_secs)

    @property
    def server_ms(self) -> float:
        """CPU time of the registry for one operation."""
        return statistics.median(run.server_ms for run in self.runs)


def _median_share(runs: Sequence[Run], seconds: Callable[[Run], float]) -> float:
    return statistics.median(seconds(run) / run.seconds for run in runs)


@dataclass(frozen=True)
class Measured:
    """A row's figures, and what our registry held after its load."""

    row: Row
    ours: Figures
    theirs: Figures
    our_memory: Memory
    their_memory: Memory

    @property
    def ratio(self) -> float:
        """Our throughput by theirs: above 1 is in our favour."""
        return self.ours.throughput / self.theirs.throughput

    @property
    def ratios(self) -> list[float]:
        """The same of each pair of neighbouring runs, in order of size."""
        pairs = zip(self.ours.runs, self.theirs.runs, strict=True)
        return sorted(ours.throughput / theirs.throughput for ours, theirs in pairs)


def build_client() -> None:
    """Compile the load client; the compiler's cache makes this short from the second time on."""
    if shutil.which("go") is None:
        raise BenchError("the load client is written in Go, and there is no `go` on the PATH")
    CACHE.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        ["go", "build", "-o", str(CLIENT), "."],
        cwd=CLIENT_SOURCE,
        env={**os.environ, "GOWORK": "off", "GOFLAGS": "-buildvcs=false"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise BenchError(f"the load client does not compile:\n{built.stderr}")


SWEPT = (
    Row("push 16 KiB images", "push", "images", 16, 960, 160, 16 * KIB),
    Row("GET a manifest by tag", "manifest-get", "requests", 32, 10_000, 2000, KIB, "push", 64, 16),
    Row("HEAD a manifest by tag", "manifest-head", "requests", 32, 10_000, 2000, KIB, "push", 64,
        16),
)  # fmt: skip
"""What several workers are for, measured with several beside one."""


def measure(row: Row, rounds: int, pair: Pair = both) -> Measured:
    """Both registries on empty data: what the row needs, a run to warm up, and runs by turns."""
    figures = {"ours": Figures(), "theirs": Figures()}
    with pair(CACHE / "data") as (ours, theirs):
        sides = {"ours": ours, "theirs": theirs}
        for side in sides.values():
            if row.setup:
                _load(
                    side, replace(row, scenario=row.setup, count=row.entries, clients=8), "images"
                )
            warm = replace(row, count=max(1, row.count // 10))
            _load(side, warm, "images" if row.setup else "warm")
        for number in range(rounds):
            for name, side in sides.items():
                os.sync()
                time.sleep(PAUSE_SECS)
                prefix = "images" if row.setup else f"round{number}"
                figures[name].runs.append(_load(side, row, prefix))
        return Measured(row, figures["ours"], figures["theirs"], ours.memory(), theirs.memory())


def _load(side: Side, row: Row, prefix: str) -> Run:
    return load(
        side,
        *("-prefix", prefix, "-scenario", row.scenario, "-clients", row.clients),
        *("-count", row.count, "-size", row.size, "-entries", max(1, row.entries)),
    )


def client_command(side: Side, *words: object) -> list[str]:
    """A command of the load client against a registry."""
    pid = side.process.pid
    return [str(CLIENT), "-address", side.address, "-pid", str(pid), *map(str, words)]


def load(side: Side, *words: object) -> Run:
    """One run of the load client. Raises BenchError."""
    done = subprocess.run(
        client_command(side, *words, *side.client),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECS_MAX,
        check=False,
    )
    if done.returncode != 0:
        said = f"{done.stderr.strip()}\n{side.last_words}"
        raise BenchError(f"{side.name}, {' '.join(map(str, words))}: {said}")
    return Run(**json.loads(done.stdout))
