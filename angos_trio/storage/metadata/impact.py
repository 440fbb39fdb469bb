"""Rows that tell what a delete would take with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from angos_trio.limits import IMPACT_MANIFESTS_MAX
from angos_trio.storage.transactions import Rows


@dataclass(frozen=True, slots=True)
class Keeping:
    """What keeps a manifest: its tags, what lists it, its subject if that is held; `stands_alone`:
    it had a tag once, or was pushed for itself, so that policy keeps it."""

    tags: list[str]
    parents: list[str]
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
    subject, stands_alone = (None, False) if row is None else (row[0], bool(row[1]))
    return Keeping(
        tags_of(rows, namespace, digest), parents(rows, namespace, digest), subject, stands_alone
    )


def is_held(rows: Rows, namespace: int, digest: str) -> bool:
    """Whether the namespace holds a manifest of this digest."""
    row = rows.execute(
        "SELECT 1 FROM manifests WHERE namespace = ? AND digest = ?", (namespace, digest)
    ).fetchone()
    return row is not None


def tags_of(rows: Rows, namespace: int, digest: str) -> list[str]:
    """The tags that point to a manifest, in byte order, up to a bound."""
    return _column(
        rows,
        "SELECT name FROM tags WHERE namespace = ? AND digest = ? ORDER BY name LIMIT ?",
        (namespace, digest),
    )


def parents(rows: Rows, namespace: int, digest: str) -> list[str]:
    """The other manifests that name this one, in digest order, up to a bound."""
    return _column(
        rows,
        "SELECT manifest FROM manifest_references WHERE namespace = ? AND digest = ? "
        "AND manifest <> digest ORDER BY manifest LIMIT ?",
        (namespace, digest),
    )


def parts(rows: Rows, namespace: int, digest: str) -> list[str]:
    """The manifests that this one lists and that the namespace holds, up to a bound."""
    return _column(
        rows,
        "SELECT r.digest FROM manifest_references r "
        "JOIN manifests m ON m.namespace = r.namespace AND m.digest = r.digest "
        "WHERE r.namespace = ? AND r.manifest = ? ORDER BY r.digest LIMIT ?",
        (namespace, digest),
    )


def referrers(rows: Rows, namespace: int, digest: str) -> list[str]:
    """The manifests whose subject this is, up to a bound."""
    return _column(
        rows,
        "SELECT digest FROM manifests WHERE namespace = ? AND subject = ? ORDER BY digest LIMIT ?",
        (namespace, digest),
    )


def _column(rows: Rows, query: str, key: tuple[object, ...]) -> list[str]:
    return [row[0] for row in rows.execute(query, (*key, IMPACT_MANIFESTS_MAX + 1))]


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
