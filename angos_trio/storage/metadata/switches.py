"""What the operator has switched on. A row is there while the switch is."""

from __future__ import annotations

from typing import Final

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows

READ_ONLY: Final = "read-only"


class Switched(Frozen):
    """Since when a switch is on, in epoch seconds, and who did it."""

    since: int
    by: str


def find_read_only(rows: Rows) -> Switched | None:
    """Whether the registry takes no changes; None when it does. One point query."""
    row = rows.execute("SELECT since, set_by FROM switches WHERE name = ?", (READ_ONLY,)).fetchone()
    return None if row is None else Switched(*row)


def set_read_only(rows: Rows, switched: Switched) -> None:
    """Take no changes from now on; it must not be so already."""
    rows.execute(
        "INSERT INTO switches (name, since, set_by) VALUES (?, ?, ?)",
        (READ_ONLY, switched.since, switched.by),
    )


def end_read_only(rows: Rows) -> bool:
    """Take changes again; False when they were taken already."""
    return rows.execute("DELETE FROM switches WHERE name = ?", (READ_ONLY,)).rowcount > 0
