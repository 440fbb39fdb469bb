"""How the processes of the instance and their services are doing, in the shared rows."""

from __future__ import annotations

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class Report(Frozen):
    """`problem` is None while all is well; `seen_at` is of the machine's monotonic clock."""

    name: str
    problem: str | None
    failures: int
    seen_at: float


def put(rows: Rows, report: Report) -> None:
    """Say how something is doing."""
    rows.execute(
        "INSERT OR REPLACE INTO services (name, problem, failures, seen_at) VALUES (?, ?, ?, ?)",
        (report.name, report.problem, report.failures, report.seen_at),
    )


def every(rows: Rows) -> list[Report]:
    """All reports, by name."""
    found = rows.execute("SELECT name, problem, failures, seen_at FROM services ORDER BY name")
    return [Report(*row) for row in found]
