"""Rows that tell what a delete would take with it."""

from __future__ import annotations

from collections.abc import Iterable

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class Keeping(Frozen):
    """What keeps a manifest besides its tags and what lists it: its subject, if that is held;
    `stands_alone`: it had a tag once, or was pushed for itself, so that policy keeps it."""

    subject: str | None
    stands_alone: bool


def keeping(rows: Rows, namespace: int, digest: str) -> Keeping:
    """Of a manifest that the namespace holds."""
    row = rows.execute(
        "SELECT (SELECT s.digest FROM manifests s WHERE s.namespace = m.namespace "
        "AND s.digest = m.subject), m.untagged_at IS NOT NULL AND m.is_orphan = 0 "
        "FROM manifests m WHERE m.namespace = ? AND m.digest = ?",
        (namespace, digest),
    ).fetchone()
    return Keeping(None, stands_alone=False) if row is None else Keeping(row[0], bool(row[1]))


def freed_bytes(rows: Rows, namespace: int, gone: Iterable[str]) -> int:
    """The bytes of manifests, and of the blobs that they name, which nothing else has: neither
    another manifest of the namespace nor another namespace."""
    leaving = set(gone)
    freed = 0
    blobs: set[str] = set()
    for digest in leaving:
        (size,) = rows.execute(
            "SELECT coalesce((SELECT abs(size) FROM manifests m WHERE m.namespace = ? "
            "AND m.digest = ? AND NOT EXISTS (SELECT 1 FROM manifests o "
            "WHERE o.digest = m.digest AND o.namespace <> m.namespace)), 0)",
            (namespace, digest),
        ).fetchone()
        freed += size
        blobs.update(
            row[0]
            for row in rows.execute(
                "SELECT digest FROM manifest_references WHERE namespace = ? AND manifest = ?",
                (namespace, digest),
            )
        )
    return freed + sum(_freed_by_blob(rows, namespace, digest, leaving) for digest in blobs)


def _freed_by_blob(rows: Rows, namespace: int, digest: str, leaving: set[str]) -> int:
    row = rows.execute(
        "SELECT b.size FROM namespace_blobs h JOIN blobs b ON b.digest = h.digest "
        "AND b.state = 'present' WHERE h.namespace = ? AND h.digest = ? AND NOT EXISTS "
        "(SELECT 1 FROM namespace_blobs o WHERE o.digest = h.digest "
        "AND o.namespace <> h.namespace)",
        (namespace, digest),
    ).fetchone()
    if row is None:
        return 0
    found = rows.execute(
        "SELECT manifest FROM manifest_references WHERE namespace = ? AND digest = ?",
        (namespace, digest),
    )
    return int(row[0]) if all(manifest in leaving for (manifest,) in found) else 0
