"""Pulls with a client certificate beside a flood of wrong passwords: `make logins`.

A thousand wrong passwords a second are due, half of them from one address for one user, the others
from many addresses for many users; each connection sends its next one as soon as it has its answer.
Phases with and without alternate; the exit code is 1 when pulls take more than twice as long beside
the flood, and when the flood was none: too few were sent, or they were answered with something else
than a refusal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from angos_trio.limits.callers import FAILURE_REFUSAL_SECS
from tests.bench.report import table
from tests.bench.rows import KIB, Figures, Run, build_client, client_command, load
from tests.bench.sides import OURS, BenchError, Serving, Side, start
from tests.secure import Secure

RATE = 1000
CONNECTIONS = 320
SENT_MIN = CONNECTIONS / FAILURE_REFUSAL_SECS / 2
"""A second: refusals take their time, and so a connection sends no more often."""
PULLERS = 2
PAUSE = "10ms"
"""Between two pulls of a client, so that it measures how long one takes, and not a full machine."""
RATIO_MAX = 2.0
PULLS = 500
ROUNDS, QUICK_ROUNDS = 9, 3
SETTLE_SECS = 1.0
FLOOD_SECS_MAX = 300
ENTRIES = 16


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


def pull(side: Side, count: int) -> Run:
    """So many pulls, each a manifest by its tag, its config and its layer of 16 KiB."""
    words = ("-scenario", "pull", "-clients", PULLERS, "-count", count, "-entries", ENTRIES)
    return load(side, *words, "-pause", PAUSE)


@contextmanager
def flooded(side: Side, ca: Path, into: Flood) -> Iterator[None]:
    """Meanwhile wrong passwords come in; what they were answered is added to the flood. Raises
    BenchError when they did not come to the end."""
    words = ("-scenario", "flood", "-clients", CONNECTIONS, "-count", RATE)
    process = subprocess.Popen(
        client_command(side, *words, "-ca", ca),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    limit = threading.Timer(FLOOD_SECS_MAX, process.kill)
    limit.start()
    try:
        process.stdout.readline()  # all are connected
        time.sleep(SETTLE_SECS)
        yield
    finally:  # the end of its input ends it
        out, errors = process.communicate()
        limit.cancel()
    if process.returncode != 0:
        raise BenchError(f"the flood broke off with {process.returncode}: {errors}")
    into.add(json.loads(out))


def run(rounds: int, count: int, folder: Path, workers: int) -> tuple[Figures, Figures, Flood]:
    """Phases without and with a flood, by turns."""
    secure = Secure(folder)
    certificate, key = secure.client()
    shown = ["-ca", str(secure.ca), "-cert", str(certificate), "-key", str(key)]
    serving = Serving([str(secure.write())], secure.probe, shown)
    quiet, loud, flood = Figures(), Figures(), Flood()
    with start(OURS, folder / "registry", workers=workers, serving=serving) as side:
        load(side, "-scenario", "push", "-clients", 4, "-count", ENTRIES, "-size", 16 * KIB)
        pull(side, count // 4)
        for _ in range(rounds):
            quiet.runs.append(pull(side, count))
            with flooded(side, secure.ca, flood):
                loud.runs.append(pull(side, count))
    return quiet, loud, flood


def report(quiet: Figures, loud: Figures, flood: Flood) -> str:
    """The table, and what the flood was."""
    rows = [
        (
            name,
            f"{phase.latency_ms(0.5):.2f} ms",
            f"{phase.latency_ms(0.99):.2f} ms",
            f"{phase.server_cores:.2f}",
            f"{phase.client_cores:.2f}",
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
    """Run it; 0 when pulls stay within twice their time, 2 when it cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="phases of each kind")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of the registry")
    options = parser.parse_args()
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    try:
        build_client()
        with tempfile.TemporaryDirectory(prefix="angos-trio-logins-") as scratch:
            quiet, loud, flood = run(rounds, PULLS, Path(scratch), options.workers)
    except BenchError as error:
        print(f"logins: {error}", file=sys.stderr)
        return 2
    print(report(quiet, loud, flood))
    found = shortfalls(quiet, loud, flood)
    for line in found:
        print(f"short: {line}")
    return 1 if found else 0


def shortfalls(quiet: Figures, loud: Figures, flood: Flood) -> list[str]:
    """What is not as it is meant to be, one line each."""
    found = []
    ratio = loud.latency_ms(0.5) / quiet.latency_ms(0.5)
    if ratio > RATIO_MAX:
        found.append(f"a pull takes {ratio:.2f} times as long beside the flood")
    if set(flood.statuses) - {"401", "429"}:
        found.append("the flood was answered with something else than 401 and 429")
    if flood.rate < SENT_MIN:
        found.append(
            f"only {flood.rate:,.0f} of {SENT_MIN:,.0f} wrong passwords a second were sent"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
