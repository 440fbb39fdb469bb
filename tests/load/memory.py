"""Resident memory of a registry under parallel uploads onto a slow disk, parallel downloads, and
clients that read one byte a second. Printed for each phase and bounded: exit code 1 above."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.bench.report import table
from tests.crash.process import Log, Place, start
from tests.load.resident import MIB, Sampler, resident_bytes
from tests.load.traffic import Load, Material
from tests.running import HOST, RunningRegistry, free_port

CLIENTS = 100
BOUND_BYTES = 200 * MIB
TRICKLE_SECS = 15
PULLERS = 4
WRITE_MS = 100.0
RESERVE_MIB = 64
CONFIG = f'[global]\nmin_free_space = "{RESERVE_MIB}MiB"\n[blob_store.fs]\nballast = "1MiB"\n'


@dataclass(frozen=True)
class SlowPlace(Place):
    """A registry on a disk that takes so many milliseconds longer for each MiB written."""

    write_ms: float = WRITE_MS

    def command(self) -> list[str]:
        words = super().command()
        begin = words.index("serve") + 1
        slow = [sys.executable, "-m", "tests.load.serve", "--write-ms", str(self.write_ms)]
        return [*slow, *words[begin:]]


@dataclass(frozen=True)
class Phase:
    """What a phase did, how long it took, and the most that the registry held meanwhile."""

    name: str
    operations: int
    mib: int
    secs: float
    sampled_bytes: int
    peak_bytes: int

    @property
    def is_within(self) -> bool:
        """Whether it stayed below the bound."""
        return max(self.sampled_bytes, self.peak_bytes) < BOUND_BYTES

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        return (
            self.name,
            str(self.operations),
            f"{self.mib:,}",
            f"{self.secs:.1f} s",
            f"{self.mib / self.secs:,.0f} MiB/s",
            f"{self.sampled_bytes / MIB:.1f} MiB",
            f"{self.peak_bytes / MIB:.1f} MiB",
            "yes" if self.is_within else "NO",
        )


def measure(name: str, pid: int, mib: int, work: Callable[[], Awaitable[int]]) -> Phase:
    """Run a phase; `work` returns how many blobs of so many MiB it moved."""
    begun_at = time.monotonic()
    with Sampler(pid) as sampler:
        count = trio.run(work)
    secs = time.monotonic() - begun_at
    return Phase(name, count, count * mib, secs, sampler.sampled_bytes, sampler.peak_bytes)


async def in_parallel(work: Callable[[int], Awaitable[None]]) -> int:
    """The work of all clients at once."""
    async with trio.open_nursery() as clients:
        for number in range(CLIENTS):
            clients.start_soon(work, number)
    return CLIENTS


async def trickle_beside_pulls(load: Load) -> int:
    """Slow readers, and a few clients that pull one blob after the other; returns the pulls."""
    pulls = 0

    async def pull(number: int) -> None:
        nonlocal pulls
        while True:
            await load.download(number)
            pulls += 1
            number = (number + PULLERS) % CLIENTS

    async with trio.open_nursery() as pullers:
        for number in range(PULLERS):
            pullers.start_soon(pull, number)
        async with trio.open_nursery() as readers:
            for number in range(CLIENTS):
                readers.start_soon(load.trickle, number, TRICKLE_SECS)
        pullers.cancel_scope.cancel()
    return pulls


def phases(registry: RunningRegistry, mib: int) -> list[Phase]:
    """All phases, one after the other, against one process."""
    host, _, port = registry.address.partition(":")
    load = Load((host, int(port)), Material(mib))
    pid = registry.process.pid
    print(f"resident when idle: {resident_bytes(pid) / MIB:.1f} MiB", flush=True)
    found = []
    for name, work in (
        (f"{CLIENTS} uploads", lambda: in_parallel(load.upload)),
        (f"{CLIENTS} downloads", lambda: in_parallel(load.download)),
        (f"{CLIENTS} readers of 1 byte/s, {PULLERS} pull", lambda: trickle_beside_pulls(load)),
    ):
        found.append(measure(name, pid, mib, work))
        print(f"  {found[-1].name}: {found[-1].secs:.1f} s", flush=True)
    return found


def report(found: list[Phase]) -> str:
    """The table."""
    heads = ("phase", "blobs", "MiB", "time", "rate", "resident, sampled", "peak",
             f"< {BOUND_BYTES // MIB} MiB")  # fmt: skip
    return table(heads, [phase.cells() for phase in found])


def run(mib: int, write_ms: float, directory: Path) -> bool:
    """Whether all went well. What was written to the directory is removed."""
    with tempfile.TemporaryDirectory(prefix="angos-trio-memory-", dir=directory) as scratch:
        root = Path(scratch)
        needed = (CLIENTS * mib + RESERVE_MIB * 2) * MIB
        free = shutil.disk_usage(root).free
        if free < needed:
            print(f"{directory}: {free // MIB} MiB are free, {needed // MIB} are needed")
            return False
        config = root / "config.toml"
        config.write_text(CONFIG, encoding="utf-8")
        place = SlowPlace(
            root / "data", root / "registry.log", free_port(), config, write_ms=write_ms
        )
        registry = start(place)
        try:
            found = phases(registry, mib)
        finally:
            registry.stop()
        print(report(found))
        crashes = Log(place.log_file).crash_lines()
        print(*crashes, sep="\n", end="")
    return not crashes and all(phase.is_within for phase in found)


def main() -> int:
    """Run it; 0 when the registry stayed below its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=20, help="size of a blob (205: 20 GiB in all)")
    parser.add_argument("--write-ms", type=float, default=WRITE_MS, help="of the disk, for a MiB")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    print(f"{CLIENTS} blobs of {chosen.mib} MiB on {HOST}; the disk takes "
          f"{chosen.write_ms:.0f} ms more for a MiB")  # fmt: skip
    return 0 if run(chosen.mib, chosen.write_ms, chosen.directory) else 1


if __name__ == "__main__":
    sys.exit(main())
