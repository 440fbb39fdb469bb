"""Ours beside Debian's docker-registry under the same load. Started by `make bench`.

Prints ratios of throughput, latencies, processor time, start-up and memory. The exit code is 1 when
a ratio is below 1 (`--at-least` says another), or when start-up, idle memory or what it costs to
know the caller is above its bound.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence

from tests.bench import report as text
from tests.bench.callers import JUDGED, KINDS, measure_callers
from tests.bench.machine import describe, wait_until_idle
from tests.bench.mirrors import measure_mirrors
from tests.bench.report import Report
from tests.bench.rows import ROWS, SWEPT, Measured, Pair, Row, build_client, measure
from tests.bench.sides import (
    CACHE,
    OURS,
    REPOSITORY,
    THEIRS,
    BenchError,
    both,
    measure_idle_family,
    measure_start,
    peer_program,
    sweep,
    versions,
)
from tests.pins import pins

ROUNDS, QUICK_ROUNDS = 9, 3
QUICK_CALLERS = "GET a manifest"
"""Of what it costs to know a caller, the row that a quick run looks at for each kind."""
PAGE = REPOSITORY / "docs" / "performance.md"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller counts and three rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="runs of each side")
    parser.add_argument("--row", metavar="TEXT", help="only rows whose name contains this")
    parser.add_argument("--sweep", action="store_true", help="only several workers beside one")
    parser.add_argument(
        "--at-least", type=float, default=1.0, metavar="RATIO", help="fail below this ratio"
    )
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md")
    options = parser.parse_args(arguments)
    if options.write_docs and (options.quick or options.row or options.sweep):
        parser.error("the page is written by a full run only")
    return options


def chosen(options: argparse.Namespace, rows: Sequence[Row]) -> list[Row]:
    """Those of the rows that are wanted, as large as is wanted."""
    sized = [row.made_quick() if options.quick else row for row in rows]
    return [row for row in sized if options.row is None or options.row in row.name]


def run_rows(rows: Sequence[Row], rounds: int, pair: Pair = both) -> list[Measured]:
    """Measure one row after the other and tell how it went."""
    measured = []
    for row in rows:
        begun = time.monotonic()
        item = measure(row, rounds, pair)
        measured.append(item)
        took = time.monotonic() - begun
        print(f"{row.name:<42} ratio {item.ratio:6.2f}   {took:6.1f} s", flush=True)
    return measured


def run(options: argparse.Namespace) -> int:
    """The whole comparison."""
    rows = [] if options.sweep else chosen(options, ROWS)
    swept_rows = chosen(options, SWEPT)
    build_client()
    peer_program()
    print(f"waited {wait_until_idle():.0f} s for the machine to be idle", flush=True)
    machine = describe(CACHE)
    found = versions()
    pinned = pins("bench")["peer_version"]
    if not found[1].startswith(pinned):
        print(f"note: {THEIRS} is {found[1]}, tests/pins.toml has {pinned}")
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    starts = measure_start(OURS, CACHE / "start"), measure_start(THEIRS, CACHE / "start")
    measured = run_rows(rows, rounds)
    swept = run_rows(swept_rows, rounds, sweep)
    callers = []
    if not options.sweep:
        name = options.row or (QUICK_CALLERS if options.quick else "")
        kinds = JUDGED if options.quick else KINDS
        callers = measure_callers(rounds, kinds, is_quick=options.quick, name=name)
    mirrors = []
    if not options.sweep:
        mirrors = measure_mirrors(rounds, is_quick=options.quick, name=options.row or "")
    if not (measured or swept or callers or mirrors):
        raise BenchError("no such row")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    idle = measure_idle_family(CACHE / "idle")
    report = Report(machine, found, today, rounds, measured, starts, swept, idle, callers, mirrors)
    show(report)
    if options.write_docs:
        PAGE.write_text(text.document(report), encoding="utf-8")
    shortfalls = report.shortfalls(options.at_least)
    for shortfall in shortfalls:
        print(f"short: {shortfall}")
    return 1 if shortfalls else 0


def show(report: Report) -> None:
    """Print the tables."""
    parts = [text.sweep_table(report.swept)] if report.swept else []
    if report.callers:
        parts.append(text.callers_table(report.callers))
    if report.mirrors:
        parts.append(text.mirrors_table(report.mirrors))
    if report.measured:
        parts = [
            text.throughput_table(report.measured),
            text.latency_table(report.measured),
            text.processor_table(report.measured),
            text.start_table(report),
            *parts,
        ]
    for part in parts:
        print(f"\n{part}")
    print(f"\n{text.family_memory(report)}")
    print(f"\nload average before the run {report.machine.load:.2f}\n")


def main() -> int:
    """Run; 2 when there can be no comparison."""
    try:
        return run(parse(None))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
