"""Names and digests by a part of them."""

from __future__ import annotations

from angos_trio.storage.transactions import Rows


def namespaces_with(rows: Rows, text: str, limit: int) -> list[str]:
    """Namespaces that hold a manifest and have a text in their name: first those that begin with
    it, then those of which a part begins with it."""
    found = rows.execute(
        "SELECT name FROM namespaces WHERE manifest_count > 0 AND instr(name, ?1) > 0 "
        "ORDER BY instr(name, ?1) <> 1, instr(name, '/' || ?1) = 0, name LIMIT ?2",
        (text, limit),
    )
    return [row[0] for row in found]


def tags_beginning(rows: Rows, namespace: str, beginning: str, limit: int) -> list[tuple[str, str]]:
    """Tags of a namespace that begin with a text, in byte order, and their digests."""
    found = rows.execute(
        "SELECT t.name, t.digest FROM namespaces n JOIN tags t ON t.namespace = n.id "
        "AND t.name >= ? AND t.name < ? WHERE n.name = ? ORDER BY t.name LIMIT ?",
        (beginning, f"{beginning}\x7f", namespace, limit),  # no tag has a character above
    )
    return found.fetchall()


def has(rows: Rows, namespace: str, reference: str | None) -> bool:
    """Whether a namespace holds a manifest; or that of a tag or a digest."""
    row = rows.execute(
        "SELECT id FROM namespaces WHERE name = ? AND manifest_count > 0", (namespace,)
    ).fetchone()
    if row is None or reference is None:
        return row is not None
    column, table = ("digest", "manifests") if ":" in reference else ("name", "tags")
    found = rows.execute(
        f"SELECT 1 FROM {table} WHERE namespace = ? AND {column} = ?", (row[0], reference)
    )
    return found.fetchone() is not None


def manifests_beginning(rows: Rows, beginning: str, limit: int) -> list[tuple[str, str, str]]:
    """Manifests whose digest begins with a text: namespace, digest, and what it is."""
    found = rows.execute(
        "SELECT n.name, m.digest, CASE m.role WHEN '' THEN m.kind ELSE m.role END "
        "FROM manifests m JOIN namespaces n ON n.id = m.namespace "
        "WHERE m.digest >= ? AND m.digest < ? ORDER BY m.digest, n.name LIMIT ?",
        (beginning, f"{beginning}g", limit),
    )
    return found.fetchall()


def blobs_beginning(rows: Rows, beginning: str, limit: int) -> list[tuple[str, str, int]]:
    """Blobs whose digest begins with a text: who holds them, digest, size in bytes."""
    found = rows.execute(
        "SELECT n.name, h.digest, b.size FROM namespace_blobs h "
        "JOIN namespaces n ON n.id = h.namespace JOIN blobs b ON b.digest = h.digest "
        "WHERE h.digest >= ? AND h.digest < ? ORDER BY h.digest, n.name LIMIT ?",
        (beginning, f"{beginning}g", limit),
    )
    return found.fetchall()
