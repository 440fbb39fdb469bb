"""How far the events have been handed on, for each webhook that is told of them."""

from __future__ import annotations

from collections.abc import Collection

from angos_trio.storage.metadata import events
from angos_trio.storage.transactions import Rows


def keep_for(rows: Rows, names: Collection[str]) -> None:
    """Have a cursor for each of these webhooks and for no other; a new one begins with what
    happens from now on."""
    known = {name for (name,) in rows.execute("SELECT name FROM webhook_cursors")}
    rows.executemany(
        "DELETE FROM webhook_cursors WHERE name = ?", [(name,) for name in known - set(names)]
    )
    newest = events.newest(rows)
    rows.executemany(
        "INSERT INTO webhook_cursors (name, event_id) VALUES (?, ?)",
        [(name, newest) for name in sorted(set(names) - known)],
    )


def every(rows: Rows) -> dict[str, int]:
    """The id of the last event that was handed on, by webhook."""
    return dict(rows.execute("SELECT name, event_id FROM webhook_cursors").fetchall())


def move(rows: Rows, name: str, event_id: int) -> None:
    """Everything up to this event has been handed on."""
    rows.execute("UPDATE webhook_cursors SET event_id = ? WHERE name = ?", (event_id, name))
