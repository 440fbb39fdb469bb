"""Pulls with a client certificate beside a flood of wrong passwords: `make logins`.

A thousand wrong passwords a second, half of them from one address for one user, the others from
many addresses for many users. Phases with and without alternate; the exit code is 1 when pulls take
more than twice as long beside the flood.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.report import table
from tests.bench.rows import CLIENT, KIB, build_client
from tests.bench.sides import OURS, Serving, Side, start
from tests.secure import Secure

RATE = 1000
CONNECTIONS = 320
PULLERS = 2
PAUSE = "10ms"
"""Between two pulls of a client, so that it measures how long one takes, and not a full machine."""
RATIO_MAX = 2.0
PULLS = 500
ROUNDS, QUICK_ROUNDS = 9, 3
SETTLE_SECS = 1.0
RUN_SECS_MAX = 300
ENTRIES = 16


@dataclass
class Phase:
    """Pulls: latencies in milliseconds, and the processor time of the registry and the client."""

    latencies_ms: list[float] = field(default_factory=list)
    secs: float = 0.0
    server_cpu_secs: float = 0.0
    client_cpu_secs: float = 0.0

    def latency_ms(self, share: float) -> float:
        """A percentile; the share is 0.5 for the median."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def add(self, told: dict[str, Any]) -> None:
        """What the load client told of one run."""
        self.latencies_ms += told["latencies_ms"]
        self.secs += told["seconds"]
        self.server_cpu_secs += told["server_cpu_secs"]
        self.client_cpu_secs += told["client_cpu_secs"]


@dataclass
class Flood:
    """What floods were answered, and the processor time of their client."""

    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    secs: float = 0.0
    client_cpu_secs: float = 0.0

    @property
    def rate(self) -> float:
        """Wrong passwords in a second."""
        return self.sent / self.secs

    def add(self, told: dict[str, Any]) -> None:
        """What the load client told of one flood."""
        self.statuses.update(told["statuses"])
        self.sent += told["sent"]
        self.secs += told["seconds"]
        self.client_cpu_secs += told["client_cpu_secs"]


def client(side: Side, *words: object) -> list[str]:
    """A command of the load client."""
    pid = side.process.pid
    return [str(CLIENT), "-address", side.address, "-pid", str(pid), *map(str, words)]


def pull(side: Side, shown: list[str], count: int) -> dict[str, Any]:
    """So many pulls, each a manifest by its tag, its config and its layer of 16 KiB."""
    words = ("-scenario", "pull", "-clients", PULLERS, "-count", count, "-entries", ENTRIES)
    done = subprocess.run(
        [*client(side, *words, "-pause", PAUSE), *shown],
        capture_output=True,
        text=True,
        timeout=RUN_SECS_MAX,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def flooded(side: Side, ca: Path, into: Flood) -> Iterator[None]:
    """Meanwhile wrong passwords come in; what they were answered is added to the flood."""
    words = ("-scenario", "flood", "-clients", CONNECTIONS, "-count", RATE)
    process = subprocess.Popen(
        client(side, *words, "-ca", ca),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()  # all are connected
        time.sleep(SETTLE_SECS)
        yield
    finally:  # the end of its input ends it
        out, errors = process.communicate(timeout=RUN_SECS_MAX)
    if process.returncode != 0:
        raise RuntimeError(f"the flood broke off: {errors}")
    into.add(json.loads(out))


def run(rounds: int, count: int, folder: Path, workers: int) -> tuple[Phase, Phase, Flood]:
    """Phases without and with a flood, by turns."""
    secure = Secure(folder)
    certificate, key = secure.client()
    shown = ["-ca", str(secure.ca), "-cert", str(certificate), "-key", str(key)]
    serving = Serving([str(secure.write())], secure.probe, shown)
    quiet, loud, flood = Phase(), Phase(), Flood()
    with start(OURS, folder / "registry", workers=workers, serving=serving) as side:
        push = ("-scenario", "push", "-clients", 4, "-count", ENTRIES, "-size", 16 * KIB)
        subprocess.run([*client(side, *push), *shown], capture_output=True, check=True)
        pull(side, shown, count // 4)
        for _ in range(rounds):
            quiet.add(pull(side, shown, count))
            with flooded(side, secure.ca, flood):
                loud.add(pull(side, shown, count))
    return quiet, loud, flood


def report(quiet: Phase, loud: Phase, flood: Flood) -> str:
    """The table, and what the flood was."""
    rows = [
        (
            name,
            f"{phase.latency_ms(0.5):.2f} ms",
            f"{phase.latency_ms(0.99):.2f} ms",
            f"{phase.server_cpu_secs / phase.secs:.2f}",
            f"{phase.client_cpu_secs / phase.secs:.2f}",
        )
        for name, phase in (("alone", quiet), ("beside the flood", loud))
    ]
    ratios = [loud.latency_ms(share) / quiet.latency_ms(share) for share in (0.5, 0.99)]
    rows.append(("ratio", f"{ratios[0]:.2f}", f"{ratios[1]:.2f}", "", ""))
    answers = ", ".join(f"{count:,} × {status}" for status, count in sorted(flood.statuses.items()))
    return (
        table(("a pull", "median", "p99", "cores of the registry", "of the client"), rows)
        + f"\n\n{flood.rate:,.0f} wrong passwords a second: {answers}; their client took "
        f"{flood.client_cpu_secs / flood.secs:.2f} cores"
    )


def main() -> int:
    """Run it; 0 when pulls stay within twice their time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="phases of each kind")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of the registry")
    options = parser.parse_args()
    build_client()
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    with tempfile.TemporaryDirectory(prefix="angos-trio-logins-") as scratch:
        quiet, loud, flood = run(rounds, PULLS, Path(scratch), options.workers)
    print(report(quiet, loud, flood))
    found = shortfalls(quiet, loud, flood)
    for line in found:
        print(f"short: {line}")
    return 1 if found else 0


def shortfalls(quiet: Phase, loud: Phase, flood: Flood) -> list[str]:
    """What is not as it is meant to be, one line each."""
    found = []
    ratio = loud.latency_ms(0.5) / quiet.latency_ms(0.5)
    if ratio > RATIO_MAX:
        found.append(f"a pull takes {ratio:.2f} times as long beside the flood")
    if set(flood.statuses) - {"401", "429"}:
        found.append("the flood was answered with something else than 401 and 429")
    if flood.rate < RATE * 0.9:
        found.append(f"only {flood.rate:,.0f} of {RATE:,} wrong passwords a second were sent")
    return found


if __name__ == "__main__":
    sys.exit(main())
