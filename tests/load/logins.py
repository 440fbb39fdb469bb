"""Pulls with a client certificate beside a flood of wrong passwords: `make logins`.

A thousand wrong passwords a second, half of them from one address for one user, the others from
many addresses for many users. Phases with and without alternate; the exit code is 1 when pulls take
more than twice as long beside the flood.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

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
SETTLE_SECS = 1.5
RUN_SECS_MAX = 300
ENTRIES = 16


@dataclass
class Phase:
    """Latencies of pulls in milliseconds, and what a flood beside them was answered."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    sent: float = 0.0
    secs: float = 0.0

    def latency_ms(self, share: float) -> float:
        """A percentile; the share is 0.5 for the median."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def client(side: Side, *words: object) -> list[str]:
    """A command of the load client."""
    return [str(CLIENT), "-address", side.address, *map(str, words)]


def pull(side: Side, shown: list[str], count: int) -> list[float]:
    """So many pulls, each a manifest by its tag, its config and its layer of 16 KiB."""
    words = ("-scenario", "pull", "-clients", PULLERS, "-count", count, "-entries", ENTRIES)
    done = subprocess.run(
        [*client(side, *words, "-pause", PAUSE), *shown],
        capture_output=True,
        text=True,
        timeout=RUN_SECS_MAX,
        check=True,
    )
    found: list[float] = json.loads(done.stdout)["latencies_ms"]
    return found


@contextmanager
def flooded(side: Side, ca: Path, secs: int, into: Phase) -> Iterator[None]:
    """Meanwhile wrong passwords come in; what they were answered is added to the phase."""
    words = ("-scenario", "flood", "-clients", CONNECTIONS, "-count", RATE, "-entries", secs)
    process = subprocess.Popen(
        client(side, *words, "-ca", ca), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        time.sleep(SETTLE_SECS)
        yield
    finally:
        out, errors = process.communicate(timeout=RUN_SECS_MAX)
    if process.returncode != 0:
        raise RuntimeError(f"the flood broke off: {errors}")
    told = json.loads(out)
    into.statuses.update(told["statuses"])
    into.sent += told["sent"]
    into.secs += told["seconds"]


def run(rounds: int, count: int, folder: Path) -> tuple[Phase, Phase]:
    """Phases without and with a flood, by turns."""
    secure = Secure(folder)
    certificate, key = secure.client()
    shown = ["-ca", str(secure.ca), "-cert", str(certificate), "-key", str(key)]
    serving = Serving([str(secure.write())], secure.probe, shown)
    quiet, loud = Phase(), Phase()
    with start(OURS, folder / "registry", workers=2, serving=serving) as side:
        push = ("-scenario", "push", "-clients", 4, "-count", ENTRIES, "-size", 16 * KIB)
        subprocess.run([*client(side, *push), *shown], capture_output=True, check=True)
        warm = pull(side, shown, count)
        secs = int(SETTLE_SECS + (10 + 4 * statistics.mean(warm)) * count / PULLERS / 1000) + 2
        for _ in range(rounds):
            quiet.latencies_ms += pull(side, shown, count)
            with flooded(side, secure.ca, secs, loud):
                loud.latencies_ms += pull(side, shown, count)
    return quiet, loud


def report(quiet: Phase, loud: Phase) -> str:
    """The table, and what the flood was."""
    rows = [
        (name, f"{phase.latency_ms(0.5):.2f} ms", f"{phase.latency_ms(0.99):.2f} ms")
        for name, phase in (("alone", quiet), ("beside the flood", loud))
    ]
    ratios = [loud.latency_ms(share) / quiet.latency_ms(share) for share in (0.5, 0.99)]
    rows.append(("ratio", f"{ratios[0]:.2f}", f"{ratios[1]:.2f}"))
    answers = ", ".join(f"{count:,} × {status}" for status, count in sorted(loud.statuses.items()))
    return (
        table(("a pull", "median", "p99"), rows)
        + f"\n\n{loud.sent / loud.secs:,.0f} wrong passwords a second: {answers}"
    )


def main() -> int:
    """Run it; 0 when pulls stay within twice their time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds")
    options = parser.parse_args()
    build_client()
    with tempfile.TemporaryDirectory(prefix="angos-trio-logins-") as scratch:
        quiet, loud = run(2 if options.quick else 7, 800, Path(scratch))
    print(report(quiet, loud))
    reached = loud.sent / loud.secs
    if set(loud.statuses) - {"401", "429"}:
        print("the flood was answered with something else than 401 and 429")
        return 1
    if reached < RATE * 0.9:
        print(f"only {reached:,.0f} of {RATE:,} a second were sent")
        return 1
    return 0 if loud.latency_ms(0.5) <= RATIO_MAX * quiet.latency_ms(0.5) else 1


if __name__ == "__main__":
    sys.exit(main())
