"""The outbox: what happened, in commit order."""

from __future__ import annotations

from angos_trio.oci.names import RepositoryName
from angos_trio.storage.transactions import Rows


def append(
    rows: Rows, *, at: int, kind: str, namespace: RepositoryName, actor: str, payload: str
) -> None:
    """Write an event into the transaction that makes it true; `payload` is a JSON object."""
    rows.execute(
        "INSERT INTO events (at, kind, namespace, actor, payload) VALUES (?, ?, ?, ?, ?)",
        (at, kind, namespace, actor, payload),
    )
