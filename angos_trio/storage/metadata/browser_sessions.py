"""Sessions of browsers, in the shared rows: who signed in, until when.

Each verb is one statement. A session is found by the SHA-256 of its secret, which nobody but the
browser has. Times are epoch seconds.
"""

from __future__ import annotations

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class BrowserSession(Frozen):
    """`owner` is whose it is, for the bound on how many they have; `bearer` is a JSON object that
    says who that was; `fingerprint` is of the client certificate that was shown, if one was."""

    id: str
    owner: str
    bearer: str
    fingerprint: str | None
    begun_at: int
    until: int


class Bounds(Frozen):
    """Sessions that are kept of one owner, and of all."""

    of_owner: int
    of_all: int


def make_room(rows: Rows, owner: str, now: int, bounds: Bounds) -> int:
    """Forget what has ended, and of too many the oldest, so that one more fits; how many."""
    newest = "SELECT id FROM browser_sessions {} ORDER BY begun_at DESC, id LIMIT -1 OFFSET ?"
    cursor = rows.execute(
        "DELETE FROM browser_sessions WHERE until <= ? "
        f"OR id IN ({newest.format('WHERE owner = ?')}) OR id IN ({newest.format('')})",
        (now, owner, bounds.of_owner - 1, bounds.of_all - 1),
    )
    return cursor.rowcount


def add(rows: Rows, session: BrowserSession) -> None:
    """Let it begin; said twice it is the same."""
    rows.execute(
        "INSERT OR REPLACE INTO browser_sessions (id, owner, bearer, fingerprint, begun_at, until) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            session.id,
            session.owner,
            session.bearer,
            session.fingerprint,
            session.begun_at,
            session.until,
        ),
    )


def find(rows: Rows, session: str, now: int) -> BrowserSession | None:
    """A session that has not ended. One point query."""
    row = rows.execute(
        "SELECT id, owner, bearer, fingerprint, begun_at, until FROM browser_sessions "
        "WHERE id = ? AND until > ?",
        (session, now),
    ).fetchone()
    return None if row is None else BrowserSession(*row)


def remove(rows: Rows, session: str) -> bool:
    """End it; False when it had ended."""
    return rows.execute("DELETE FROM browser_sessions WHERE id = ?", (session,)).rowcount > 0
