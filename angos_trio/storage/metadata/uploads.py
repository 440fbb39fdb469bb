"""Open upload sessions, in the shared rows: who holds which, and who is finishing.

Each verb is one statement, so that it happens whole or not at all. Times are seconds of the
machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

from typing import Any

from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.records import Frozen
from angos_trio.storage.session_record import UploadSession
from angos_trio.storage.transactions import Rows

_COLUMNS = "id, namespace, owner, limit_key, started_at, algorithm"


class KnownSession(Frozen):
    """A session; not open means that a commit of it is on its way. `holder` writes to it."""

    session: UploadSession
    is_open: bool
    holder: str | None


class Ongoing(Frozen):
    """A session, and when something came to it last, by the monotonic clock."""

    session: UploadSession
    active_at: float


def add(rows: Rows, session: UploadSession, now: float, open_max: int | None) -> bool:
    """Make a session known; False when its caller has `open_max` open already."""
    cursor = rows.execute(
        f"INSERT OR REPLACE INTO uploads ({_COLUMNS}, active_at) SELECT ?, ?, ?, ?, ?, ?, ? "
        "WHERE ? IS NULL OR (SELECT count(*) FROM uploads WHERE limit_key = ?) < ?",
        (
            session.id,
            session.namespace,
            session.owner,
            session.limit_key,
            session.started_at,
            session.algorithm,
            now,
            open_max,
            session.limit_key,
            open_max,
        ),
    )
    return cursor.rowcount == 1


def find(rows: Rows, session: SessionId) -> KnownSession | None:
    """What is known of a session."""
    row = rows.execute(
        f"SELECT {_COLUMNS}, state, holder FROM uploads WHERE id = ?", (session,)
    ).fetchone()
    return None if row is None else KnownSession(_session(row), row[6] == "open", row[7])


def _session(row: tuple[Any, ...]) -> UploadSession:
    return UploadSession(
        id=SessionId(row[0]),
        namespace=RepositoryName(row[1]),
        owner=row[2],
        limit_key=row[3],
        started_at=row[4],
        algorithm=row[5],
    )


def count(rows: Rows) -> int:
    """How many there are."""
    return int(rows.execute("SELECT count(*) FROM uploads").fetchone()[0])


def count_of(rows: Rows, limit_key: str) -> int:
    """How many one caller has."""
    row = rows.execute("SELECT count(*) FROM uploads WHERE limit_key = ?", (limit_key,)).fetchone()
    return int(row[0])


def counts(rows: Rows) -> dict[str, int]:
    """How many there are in each namespace that has one."""
    found = rows.execute("SELECT namespace, count(*) FROM uploads GROUP BY namespace")
    return dict(found.fetchall())


def of_namespace(rows: Rows, namespace: str, after: str, limit: int) -> list[Ongoing]:
    """Sessions of a namespace in the order of their ids, strictly after a text."""
    found = rows.execute(
        f"SELECT {_COLUMNS}, active_at FROM uploads WHERE namespace = ? AND id > ? "
        "ORDER BY id LIMIT ?",
        (namespace, after, limit),
    )
    return [Ongoing(_session(row), row[6]) for row in found]


def oldest(rows: Rows, after: tuple[int, str], limit: int) -> list[Ongoing]:
    """Sessions of all namespaces, the oldest first, behind a time in epoch seconds and an id."""
    found = rows.execute(
        f"SELECT {_COLUMNS}, active_at FROM uploads WHERE (started_at, id) > (?, ?) "
        "ORDER BY started_at, id LIMIT ?",
        (*after, limit),
    )
    return [Ongoing(_session(row), row[6]) for row in found]


def namespaces(rows: Rows, active_after: float) -> list[str]:
    """The namespaces that take an upload to which something came since."""
    found = rows.execute(
        "SELECT DISTINCT namespace FROM uploads WHERE active_at >= ?", (active_after,)
    )
    return [row[0] for row in found]


def claim(rows: Rows, session: SessionId, held_by: str | None, holder: str, now: float) -> bool:
    """Hold an open session that is still held by whom the caller saw, or by nobody."""
    cursor = rows.execute(
        "UPDATE uploads SET holder = ?, is_wanted = 0, active_at = ? "
        "WHERE id = ? AND state = 'open' AND holder IS ?",
        (holder, now, session, held_by),
    )
    return cursor.rowcount == 1


def want(rows: Rows, session: SessionId, idle_before: float) -> bool:
    """Ask the holder to let go; False when something came to it after `idle_before`."""
    cursor = rows.execute(
        "UPDATE uploads SET is_wanted = 1 WHERE id = ? AND active_at <= ?", (session, idle_before)
    )
    return cursor.rowcount == 1


def touch(rows: Rows, session: SessionId, now: float) -> None:
    """Something came to the session."""
    rows.execute("UPDATE uploads SET active_at = ? WHERE id = ?", (now, session))


def release(rows: Rows, session: SessionId, holder: str, now: float) -> None:
    """Hold an open session no longer."""
    rows.execute(
        "UPDATE uploads SET holder = NULL, is_wanted = 0, active_at = ? "
        "WHERE id = ? AND holder = ? AND state = 'open'",
        (now, session, holder),
    )


def held_by(rows: Rows, holder: str) -> list[tuple[SessionId, bool]]:
    """The sessions that a process holds, and whether another wants them."""
    found = rows.execute("SELECT id, is_wanted FROM uploads WHERE holder = ?", (holder,))
    return [(SessionId(row[0]), bool(row[1])) for row in found]


def begin_finishing(rows: Rows, session: SessionId, holder: str, now: float) -> bool:
    """From open to finishing; False when its holder holds it no more."""
    cursor = rows.execute(
        "UPDATE uploads SET state = 'finishing', active_at = ? "
        "WHERE id = ? AND holder = ? AND state = 'open'",
        (now, session, holder),
    )
    return cursor.rowcount == 1


def reopen(rows: Rows, session: SessionId) -> None:
    """Open again, held by nobody."""
    rows.execute("UPDATE uploads SET state = 'open', holder = NULL WHERE id = ?", (session,))


def remove(rows: Rows, session: SessionId) -> bool:
    """The session is no more; whether it was."""
    return rows.execute("DELETE FROM uploads WHERE id = ?", (session,)).rowcount == 1


def remove_open(rows: Rows, session: SessionId) -> bool:
    """The same, unless a commit of it is on its way."""
    cursor = rows.execute("DELETE FROM uploads WHERE id = ? AND state = 'open'", (session,))
    return cursor.rowcount == 1


def idle_since(rows: Rows, before: float) -> list[SessionId]:
    """Open sessions that nobody holds and that nothing came to since."""
    found = rows.execute(
        "SELECT id FROM uploads WHERE state = 'open' AND holder IS NULL AND active_at < ?",
        (before,),
    )
    return [SessionId(row[0]) for row in found]


def holders(rows: Rows) -> list[str]:
    """The processes that hold a session."""
    found = rows.execute("SELECT DISTINCT holder FROM uploads WHERE holder IS NOT NULL")
    return [row[0] for row in found]


def inherit(rows: Rows, held_by: str, holder: str) -> list[UploadSession]:
    """Take over all that another process held."""
    found = rows.execute(f"SELECT {_COLUMNS} FROM uploads WHERE holder = ?", (held_by,)).fetchall()
    taken = []
    for row in found:
        cursor = rows.execute(
            "UPDATE uploads SET holder = ? WHERE id = ? AND holder = ?", (holder, row[0], held_by)
        )
        if cursor.rowcount == 1:
            taken.append(_session(row))
    return taken
