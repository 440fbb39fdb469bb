"""The outbox: what happened, in commit order."""

from __future__ import annotations

from dataclasses import dataclass

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.storage.transactions import Rows


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of the outbox: `at` in epoch seconds, `payload` a JSON object. An event of the registry
    itself has an empty namespace."""

    id: int
    at: int
    kind: str
    namespace: str
    actor: str
    payload: str


def append(
    rows: Rows, *, at: int, kind: str, namespace: RepositoryName | None, actor: str, payload: str
) -> None:
    """Write an event into the transaction that makes it true; `payload` is a JSON object.

    An event of the registry itself stands under the empty name, which is no namespace's.
    """
    rows.execute(
        "INSERT INTO events (at, kind, namespace, actor, payload) VALUES (?, ?, ?, ?, ?)",
        (at, kind, namespace or "", actor, payload),
    )


def after(rows: Rows, cursor: int, limit: int) -> list[Stored]:
    """Events whose id is higher, in the order of ids, which is that of commits."""
    found = rows.execute(
        "SELECT id, at, kind, namespace, actor, payload FROM events WHERE id > ? "
        "ORDER BY id LIMIT ?",
        (cursor, limit),
    )
    return [Stored(*row) for row in found]


def before(rows: Rows, number: int, limit: int) -> list[Stored]:
    """Events whose id is lower, the highest first."""
    found = rows.execute(
        "SELECT id, at, kind, namespace, actor, payload FROM events WHERE id < ? "
        "ORDER BY id DESC LIMIT ?",
        (number, limit),
    )
    return [Stored(*row) for row in found]


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
