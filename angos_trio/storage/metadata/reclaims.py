"""Blobs that no namespace holds any more: their rows go first, their files after the commit."""

from __future__ import annotations

from angos_trio.oci.digest import Digest
from angos_trio.storage.transactions import Rows


def forget_unheld(rows: Rows, digest: Digest) -> int | None:
    """Remove the row of a blob that nobody holds, and note that its file is to go; its size.

    None when somebody holds it, or there is none.
    """
    row = rows.execute(
        "SELECT size FROM blobs WHERE digest = ? "
        "AND NOT EXISTS (SELECT 1 FROM namespace_blobs WHERE digest = ?)",
        (digest, digest),
    ).fetchone()
    if row is None:
        return None
    rows.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
    rows.execute("INSERT OR IGNORE INTO reclaims (digest) VALUES (?)", (digest,))
    return int(row[0])


def pending(rows: Rows, after: str, limit: int) -> list[Digest]:
    """Blobs whose file may still be there, in digest order, strictly after a text."""
    found = rows.execute(
        "SELECT digest FROM reclaims WHERE digest > ? ORDER BY digest LIMIT ?", (after, limit)
    )
    return [Digest(row[0]) for row in found]


def is_wanted(rows: Rows, digest: Digest) -> bool:
    """Whether a blob has been pushed again since."""
    row = rows.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone()
    return row is not None


def settle(rows: Rows, digest: Digest) -> None:
    """The file is gone, or it is another's."""
    rows.execute("DELETE FROM reclaims WHERE digest = ?", (digest,))
