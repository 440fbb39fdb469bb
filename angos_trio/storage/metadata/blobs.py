"""Blobs and who holds them."""

from __future__ import annotations

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class HeldBlob(Frozen):
    """A blob that a namespace holds: size in bytes, lease in epoch seconds."""

    digest: Digest
    size: int
    lease_until: int


def put(rows: Rows, digest: Digest, size: int, now: int) -> None:
    """Record a blob whose bytes are published; what was missing is there again."""
    rows.execute(
        "INSERT INTO blobs (digest, size, state, created_at) VALUES (?, ?, 'present', ?) "
        "ON CONFLICT (digest) DO UPDATE SET size = excluded.size, state = 'present'",
        (digest, size, now),
    )


def hold(rows: Rows, namespace: int, digest: Digest, lease_until: int) -> None:
    """Let the namespace hold the blob, at least until then; a longer lease stays."""
    rows.execute(
        "INSERT INTO namespace_blobs (namespace, digest, lease_until) VALUES (?, ?, ?) "
        "ON CONFLICT (namespace, digest) DO UPDATE SET lease_until = excluded.lease_until "
        "WHERE excluded.lease_until > namespace_blobs.lease_until",
        (namespace, digest, lease_until),
    )


def find_held(rows: Rows, name: RepositoryName, digest: Digest) -> HeldBlob | None:
    """The blob, if the namespace holds it and its bytes are not known to be missing."""
    row = rows.execute(
        "SELECT b.size, h.lease_until FROM namespaces n "
        "JOIN namespace_blobs h ON h.namespace = n.id AND h.digest = ? "
        "JOIN blobs b ON b.digest = h.digest AND b.state = 'present' WHERE n.name = ?",
        (digest, name),
    ).fetchone()
    return None if row is None else HeldBlob(digest, row[0], row[1])


def is_held(rows: Rows, namespace: int, digest: Digest) -> bool:
    """Whether the namespace holds the blob, whose bytes may be missing."""
    row = rows.execute(
        "SELECT 1 FROM namespace_blobs WHERE namespace = ? AND digest = ?", (namespace, digest)
    ).fetchone()
    return row is not None


def is_referenced(rows: Rows, namespace: int, digest: Digest) -> bool:
    """Whether a manifest of the namespace names this digest."""
    row = rows.execute(
        "SELECT 1 FROM manifest_references WHERE namespace = ? AND digest = ? LIMIT 1",
        (namespace, digest),
    ).fetchone()
    return row is not None


def holders(rows: Rows, digest: Digest, limit: int) -> list[RepositoryName]:
    """Namespaces that hold a blob whose bytes are there, the oldest namespaces first."""
    found = rows.execute(
        "SELECT n.name FROM namespace_blobs h "
        "JOIN blobs b ON b.digest = h.digest AND b.state = 'present' "
        "JOIN namespaces n ON n.id = h.namespace WHERE h.digest = ? ORDER BY h.namespace LIMIT ?",
        (digest, limit),
    )
    return [RepositoryName(row[0]) for row in found]


def size_and_holders(rows: Rows, digest: Digest) -> tuple[int, int]:
    """The bytes of a blob, and how many namespaces hold it."""
    row = rows.execute(
        "SELECT (SELECT size FROM blobs WHERE digest = ?), "
        "(SELECT count(*) FROM namespace_blobs WHERE digest = ?)",
        (digest, digest),
    ).fetchone()
    return row[0] or 0, row[1]


def release(rows: Rows, namespace: int, digest: Digest) -> bool:
    """End the namespace's hold; False when it had none."""
    cursor = rows.execute(
        "DELETE FROM namespace_blobs WHERE namespace = ? AND digest = ?", (namespace, digest)
    )
    return cursor.rowcount > 0
