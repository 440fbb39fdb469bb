"""Blobs that are on their way from other registries, in the shared rows: who fetches which.

Each verb is one statement. `session` is where the bytes arrive, `size` how many there will be, once
that is known.
"""

from __future__ import annotations

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class OngoingFill(Frozen):
    """A blob that a process fetches."""

    holder: str
    session: SessionId | None
    size: int | None


def find(rows: Rows, name: RepositoryName, digest: Digest) -> OngoingFill | None:
    """Who fetches a blob for a namespace."""
    row = rows.execute(
        "SELECT holder, session, size FROM fills WHERE namespace = ? AND digest = ?",
        (name, digest),
    ).fetchone()
    if row is None:
        return None
    return OngoingFill(row[0], None if row[1] is None else SessionId(row[1]), row[2])


def claim(
    rows: Rows, name: RepositoryName, digest: Digest, holder: str, held_by: str | None
) -> bool:
    """Be the one who fetches it, where nobody does, or only a process that is dead."""
    cursor = rows.execute(
        "INSERT INTO fills (namespace, digest, holder) VALUES (?, ?, ?) "
        "ON CONFLICT (namespace, digest) DO UPDATE SET holder = excluded.holder, session = NULL, "
        "size = NULL WHERE holder IS ?",
        (name, digest, holder, held_by),
    )
    return cursor.rowcount == 1


def tell(
    rows: Rows,
    name: RepositoryName,
    digest: Digest,
    holder: str,
    *,
    session: SessionId,
    size: int | None,
) -> None:
    """Where the bytes arrive."""
    rows.execute(
        "UPDATE fills SET session = ?, size = ? WHERE namespace = ? AND digest = ? AND holder = ?",
        (session, size, name, digest, holder),
    )


def release(rows: Rows, name: RepositoryName, digest: Digest, holder: str) -> None:
    """It is fetched, or is not."""
    rows.execute(
        "DELETE FROM fills WHERE namespace = ? AND digest = ? AND holder = ?",
        (name, digest, holder),
    )
