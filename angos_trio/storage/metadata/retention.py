"""What retention looks at: tags and manifests with all that rules may ask about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Tag
from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class Candidate(Frozen):
    """A tag with its manifest, or a manifest alone; `pushed_at` in epoch seconds."""

    tag: str | None
    digest: str
    pushed_at: int
    media_type: str
    artifact_type: str | None
    annotations: Mapping[str, str] | None


_COLUMNS = "m.media_type, m.artifact_type, m.annotations"


def tags_after(rows: Rows, namespace: int, after: str, limit: int) -> list[Candidate]:
    """Tags of a namespace in byte order, strictly after a name."""
    found = rows.execute(
        f"SELECT t.name, t.digest, t.updated_at, {_COLUMNS} FROM tags t "
        "JOIN manifests m ON m.namespace = t.namespace AND m.digest = t.digest "
        "WHERE t.namespace = ? AND t.name > ? ORDER BY t.name LIMIT ?",
        (namespace, after, limit),
    )
    return [_candidate(row) for row in found]


def manifest(rows: Rows, namespace: int, digest: str) -> Candidate | None:
    """A manifest as one without a tag."""
    row = rows.execute(
        f"SELECT NULL, m.digest, m.pushed_at, {_COLUMNS} FROM manifests m "
        "WHERE m.namespace = ? AND m.digest = ?",
        (namespace, digest),
    ).fetchone()
    return None if row is None else _candidate(row)


def _candidate(row: tuple[Any, ...]) -> Candidate:
    try:
        annotations = json.loads(row[5])
    except ValueError:  # damage: a rule that names them fails
        annotations = None
    tag, digest, pushed_at, media_type, artifact_type, _ = row
    return Candidate(tag, digest, pushed_at, media_type, artifact_type, annotations)


def tag_as_of(rows: Rows, namespace: int, tag: Tag) -> tuple[str, int] | None:
    """The digest of a tag, and when it was pushed last."""
    found: tuple[str, int] | None = rows.execute(
        "SELECT digest, updated_at FROM tags WHERE namespace = ? AND name = ?", (namespace, tag)
    ).fetchone()
    return found


def newest_pushed(rows: Rows, namespace: int, rank: int) -> int:
    """When the so many newest tag of a namespace was pushed; 0 where there are fewer."""
    row = rows.execute(
        "SELECT updated_at FROM tags WHERE namespace = ? AND updated_at > 0 "
        "ORDER BY updated_at DESC LIMIT 1 OFFSET ?",
        (namespace, rank - 1),
    ).fetchone()
    return 0 if row is None else int(row[0])


def named_bytes(rows: Rows, namespace: int, digest: str) -> int:
    """All bytes that a manifest names, those that its parts name too, each blob once."""
    row = rows.execute(
        "WITH RECURSIVE parts (digest) AS ("
        "SELECT digest FROM manifest_references WHERE namespace = ? AND manifest = ? UNION "
        "SELECT r.digest FROM parts p JOIN manifest_references r "
        "ON r.namespace = ? AND r.manifest = p.digest) "
        "SELECT coalesce(sum(coalesce("
        "(SELECT size FROM manifests m WHERE m.namespace = ? AND m.digest = p.digest), "
        "(SELECT b.size FROM namespace_blobs h JOIN blobs b ON b.digest = h.digest "
        "WHERE h.namespace = ? AND h.digest = p.digest), 0)), 0) FROM parts p",
        (namespace, digest, namespace, namespace, namespace),
    ).fetchone()
    return int(row[0])


def exists(rows: Rows, namespace: str, reference: str) -> bool:
    """Whether a namespace of this name has a tag or a manifest of this name."""
    is_digest = ":" in reference
    table, column = ("manifests", "digest") if is_digest else ("tags", "name")
    row = rows.execute(
        f"SELECT 1 FROM namespaces n JOIN {table} x ON x.namespace = n.id AND x.{column} = ? "
        "WHERE n.name = ?",
        (reference, namespace),
    ).fetchone()
    return row is not None


def config_of(rows: Rows, namespace: int, digest: str) -> Digest | None:
    """The config blob of an image that the namespace holds, if its bytes are there."""
    row = rows.execute(
        "SELECT b.digest FROM manifest_references r "
        "JOIN namespace_blobs h ON h.namespace = r.namespace AND h.digest = r.digest "
        "JOIN blobs b ON b.digest = h.digest AND b.state = 'present' "
        "WHERE r.namespace = ? AND r.manifest = ? AND r.kind = 'config'",
        (namespace, digest),
    ).fetchone()
    return None if row is None else Digest(row[0])
