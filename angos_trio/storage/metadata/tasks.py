"""What the steward was asked to do, in the shared rows: one run of each kind at a time.

Each verb is one statement. Times are epoch seconds; options and outcome are JSON objects.
"""

from __future__ import annotations

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class Task(Frozen):
    """The last run of a kind: `state` is wanted, running, done or failed. While it runs, the
    outcome is how far it has come."""

    name: str
    number: int
    state: str
    options: str
    wanted_at: int
    ended_at: int | None
    outcome: str

    @property
    def is_over(self) -> bool:
        """Whether it has come to an end."""
        return self.state in ("done", "failed")


def want(rows: Rows, name: str, options: str, now: int) -> bool:
    """Ask for a run; False while another of the kind is wanted or running."""
    cursor = rows.execute(
        "INSERT INTO tasks (name, options, wanted_at) VALUES (?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET number = number + 1, state = 'wanted', "
        "options = excluded.options, wanted_at = excluded.wanted_at, ended_at = NULL, "
        "outcome = '{}' WHERE state IN ('done', 'failed')",
        (name, options, now),
    )
    return cursor.rowcount > 0


def find(rows: Rows, name: str) -> Task | None:
    """The last run of a kind."""
    row = rows.execute(
        "SELECT name, number, state, options, wanted_at, ended_at, outcome FROM tasks "
        "WHERE name = ?",
        (name,),
    ).fetchone()
    return None if row is None else Task(*row)


def wanted(rows: Rows) -> list[Task]:
    """What waits to be begun."""
    found = rows.execute(
        "SELECT name, number, state, options, wanted_at, ended_at, outcome FROM tasks "
        "WHERE state = 'wanted'"
    )
    return [Task(*row) for row in found]


def begin(rows: Rows, name: str) -> None:
    """The run has begun."""
    rows.execute("UPDATE tasks SET state = 'running' WHERE name = ?", (name,))


def tell(rows: Rows, name: str, outcome: str) -> None:
    """How far it has come."""
    rows.execute("UPDATE tasks SET outcome = ? WHERE name = ?", (outcome, name))


def end(rows: Rows, name: str, state: str, outcome: str, now: int) -> None:
    """It is over."""
    rows.execute(
        "UPDATE tasks SET state = ?, outcome = ?, ended_at = ? WHERE name = ?",
        (state, outcome, now, name),
    )


def abandon(rows: Rows, outcome: str, now: int) -> None:
    """What ran in a process that is no more has failed."""
    rows.execute(
        "UPDATE tasks SET state = 'failed', outcome = ?, ended_at = ? WHERE state = 'running'",
        (outcome, now),
    )
