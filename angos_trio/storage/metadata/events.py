"""The outbox: what happened, in commit order."""

from __future__ import annotations

from typing import Final

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class Stored(Frozen):
    """A row of the outbox: `at` in epoch seconds, `payload` a JSON object. An event of the registry
    itself has an empty namespace. `address` and `client` are those of the request that made it
    happen, empty where there was none."""

    id: int
    at: int
    kind: str
    namespace: str
    actor: str
    payload: str
    address: str = ""
    client: str = ""


_COLUMNS: Final = "id, at, kind, namespace, actor, payload, address, client"


def append(rows: Rows, told: Stored) -> None:
    """Write an event into the transaction that makes it true; it gets its id here."""
    rows.execute(
        "INSERT INTO events (at, kind, namespace, actor, payload, address, client) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (told.at, told.kind, told.namespace, told.actor, told.payload, told.address, told.client),
    )


def after(rows: Rows, cursor: int, limit: int) -> list[Stored]:
    """Events whose id is higher, in the order of ids, which is that of commits."""
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM events WHERE id > ? ORDER BY id LIMIT ?",
        (cursor, limit),
    )
    return [Stored(*row) for row in found]


def before(rows: Rows, number: int, limit: int) -> list[Stored]:
    """Events whose id is lower, the highest first."""
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM events WHERE id < ? ORDER BY id DESC LIMIT ?",
        (number, limit),
    )
    return [Stored(*row) for row in found]


def newest_time(rows: Rows, looked_at: int) -> int:
    """The latest time of the last events, of so many; 0 before the first."""
    row = rows.execute(
        "SELECT coalesce(max(at), 0) FROM (SELECT at FROM events ORDER BY id DESC LIMIT ?)",
        (looked_at,),
    ).fetchone()
    return int(row[0])


def newest(rows: Rows) -> int:
    """The highest id that was ever given; 0 before the first event."""
    row = rows.execute("SELECT MAX(id) FROM events").fetchone()
    return int(row[0] or 0)


def oldest(rows: Rows) -> int:
    """The lowest id that is kept; 0 before the first event."""
    row = rows.execute("SELECT MIN(id) FROM events").fetchone()
    return int(row[0] or 0)


def tells_of_session(rows: Rows, session: SessionId) -> bool:
    """Whether the push that finished an upload session is in the outbox; looks at all of it."""
    row = rows.execute(
        "SELECT 1 FROM events WHERE kind = 'blob.pushed' AND payload LIKE ? LIMIT 1",
        (f'%"session":"{session}"%',),
    ).fetchone()
    return row is not None


def tells_of_delete(rows: Rows, namespace: RepositoryName, digest: Digest, since: int) -> bool:
    """Whether a blob was deleted from a namespace in or after this second; looks at all deletes."""
    row = rows.execute(
        "SELECT 1 FROM events WHERE kind = 'blob.deleted' AND namespace = ? AND at >= ? "
        "AND payload LIKE ? LIMIT 1",
        (namespace, since, f'%"digest":"{digest}"%'),
    ).fetchone()
    return row is not None


def prune(rows: Rows, before: int, limit: int) -> int:
    """Remove events older than this second among the oldest `limit`; how many there were.

    The newest stays, however old it is: by its id a reader knows that it has missed nothing.
    """
    cursor = rows.execute(
        "DELETE FROM events WHERE id IN "
        "(SELECT id FROM (SELECT id, at FROM events ORDER BY id LIMIT ?) "
        "WHERE at < ? AND id < (SELECT MAX(id) FROM events))",
        (limit, before),
    )
    return cursor.rowcount
