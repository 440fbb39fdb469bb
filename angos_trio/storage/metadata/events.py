"""The outbox: what happened, in commit order."""

from __future__ import annotations

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.storage.transactions import Rows


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
    """Remove events older than this second among the oldest `limit`; how many there were."""
    cursor = rows.execute(
        "DELETE FROM events WHERE id IN "
        "(SELECT id FROM (SELECT id, at FROM events ORDER BY id LIMIT ?) WHERE at < ?)",
        (limit, before),
    )
    return cursor.rowcount
