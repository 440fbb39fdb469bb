"""Rows of lists that people read: namespaces, revisions and tags with what is recorded of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from angos_trio.limits.lists import HOLDERS_MAX, SHARING_MAX
from angos_trio.oci.digest import Digest
from angos_trio.oci.natural import natural_key
from angos_trio.oci.roles import Carried
from angos_trio.records import Frozen
from angos_trio.storage.metadata.facets import TagFilter
from angos_trio.storage.transactions import Rows


class NamespaceRow(Frozen):
    """A namespace; `held_bytes` counts each blob once, `last_pushed_at` is in epoch seconds.

    `blob_bytes` are those of its blobs on disk, `exclusive_bytes` of these what no other namespace
    holds, `named_bytes` of its images as if none shared anything with another.
    """

    number: int
    name: str
    manifest_count: int = 0
    tag_count: int = 0
    held_bytes: int = 0
    last_pushed_at: int | None = None
    generation: int = 0
    blob_bytes: int = 0
    exclusive_bytes: int = 0
    named_bytes: int = 0


NAMESPACE: Final = (
    "id, name, manifest_count, tag_count, held_bytes, last_pushed_at, generation, blob_bytes, "
    "exclusive_bytes, named_bytes"
)


def namespaces_after(rows: Rows, after: str, limit: int) -> list[NamespaceRow]:
    """Namespaces that hold a manifest, in byte order, strictly after a text."""
    found = rows.execute(
        f"SELECT {NAMESPACE} FROM namespaces WHERE manifest_count > 0 AND name > ? "
        "ORDER BY name LIMIT ?",
        (after, limit),
    )
    return [NamespaceRow(*row) for row in found]


def namespaces_below(rows: Rows, prefix: str, after: str, limit: int) -> list[NamespaceRow]:
    """The same of the namespace of this name and those below it."""
    found = rows.execute(
        f"SELECT {NAMESPACE} FROM namespaces WHERE manifest_count > 0 AND name > ? "
        "AND name >= ? AND name < ? AND (name = ? OR name >= ?) ORDER BY name LIMIT ?",
        (after, prefix, f"{prefix}0", prefix, f"{prefix}/", limit),  # 0 follows the slash
    )
    return [NamespaceRow(*row) for row in found]


def find_namespace(rows: Rows, name: str) -> NamespaceRow | None:
    """A namespace by its name, whatever it holds."""
    row = rows.execute(f"SELECT {NAMESPACE} FROM namespaces WHERE name = ?", (name,)).fetchone()
    return None if row is None else NamespaceRow(*row)


class RevisionRow(Frozen):
    """A manifest of a namespace: sizes in bytes, times in epoch seconds. A role is empty until
    somebody has looked at the body."""

    digest: Digest
    media_type: str
    kind: str
    role: str
    artifact_type: str | None
    subject: str | None
    size: int
    total_size: int
    platforms: tuple[str, ...]
    attached: Carried
    pushed_at: int
    pushed_by: str


REVISION: Final = (
    "m.digest, m.media_type, m.kind, m.role, m.artifact_type, m.subject, abs(m.size), "
    "m.total_size, m.platforms, m.attached, m.pushed_at, m.pushed_by"
)


def revision_of(row: Sequence[Any]) -> RevisionRow:
    """A row of the columns `REVISION`."""
    return RevisionRow(
        digest=Digest(row[0]),
        media_type=row[1],
        kind=row[2],
        role=row[3],
        artifact_type=row[4],
        subject=row[5],
        size=row[6],
        total_size=row[7],
        platforms=tuple(row[8].split()),
        attached=Carried(row[9]),
        pushed_at=row[10],
        pushed_by=row[11],
    )


def revisions_in_order(
    rows: Rows, namespace: int, after: str, limit: int, *, contains: str, is_descending: bool
) -> list[RevisionRow]:
    """Manifests of a namespace in digest order, strictly behind a text, with a text in lower case
    in their digests."""
    direction, sign = ("DESC", "<") if is_descending else ("ASC", ">")
    where, values = ("", []) if not after else (f"AND m.digest {sign} ? ", [after])
    if contains:
        where, values = f"{where}AND instr(m.digest, ?) > 0 ", [*values, contains]
    found = rows.execute(
        f"SELECT {REVISION} FROM manifests m WHERE m.namespace = ? {where}"
        f"ORDER BY m.digest {direction} LIMIT ?",
        (namespace, *values, limit),
    )
    return [revision_of(row) for row in found]


def find_revision(rows: Rows, namespace: int, digest: str) -> RevisionRow | None:
    """A manifest of a namespace."""
    row = rows.execute(
        f"SELECT {REVISION} FROM manifests m WHERE m.namespace = ? AND m.digest = ?",
        (namespace, digest),
    ).fetchone()
    return None if row is None else revision_of(row)


def indexes_above(rows: Rows, namespace: int, digest: str, limit: int) -> list[str]:
    """The manifests that list this one, the oldest first, but not itself."""
    found = rows.execute(
        "SELECT m.digest FROM manifest_references r "
        "JOIN manifests m ON m.namespace = r.namespace AND m.digest = r.manifest "
        "WHERE r.namespace = ? AND r.digest = ? AND r.manifest <> r.digest "
        "ORDER BY m.pushed_at, m.digest LIMIT ?",
        (namespace, digest, limit),
    )
    return [row[0] for row in found]


def referrers_of(rows: Rows, namespace: int, digest: str, limit: int) -> list[str]:
    """The first manifests whose subject this is, in digest order."""
    found = rows.execute(
        "SELECT digest FROM manifests WHERE namespace = ? AND subject = ? ORDER BY digest LIMIT ?",
        (namespace, digest, limit),
    )
    return [row[0] for row in found]


def attached_to(
    rows: Rows, namespace: int, digest: str, after: str, limit: int
) -> list[RevisionRow]:
    """Manifests whose subject this is, in digest order, strictly behind a text."""
    found = rows.execute(
        f"SELECT {REVISION} FROM manifests m WHERE m.namespace = ? AND m.subject = ? "
        "AND m.digest > ? ORDER BY m.digest LIMIT ?",
        (namespace, digest, after, limit),
    )
    return [revision_of(row) for row in found]


def tags_of(rows: Rows, namespace: int, digest: str, limit: int) -> list[str]:
    """The first tags that point to a manifest, in byte order."""
    found = rows.execute(
        "SELECT name FROM tags WHERE namespace = ? AND digest = ? ORDER BY name LIMIT ?",
        (namespace, digest, limit),
    )
    return [row[0] for row in found]


class Sharing(Frozen):
    """Of a blob that a namespace holds: its bytes, how many manifests of the namespace name it, and
    the first other namespaces that hold it; both up to a bound."""

    size: int
    manifests: int
    others: tuple[str, ...]

    @property
    def is_exclusive(self) -> bool:
        """Whether nothing else would keep it."""
        return self.manifests <= 1 and not self.others


def sharing_of(rows: Rows, namespace: int, digest: str) -> Sharing | None:
    """Who else has a blob; None when the namespace does not hold it."""
    row = rows.execute(
        "SELECT b.size, (SELECT count(*) FROM (SELECT 1 FROM manifest_references r "
        "WHERE r.namespace = h.namespace AND r.digest = h.digest LIMIT ?)) "
        "FROM namespace_blobs h JOIN blobs b ON b.digest = h.digest AND b.state = 'present' "
        "WHERE h.namespace = ? AND h.digest = ?",
        (SHARING_MAX, namespace, digest),
    ).fetchone()
    if row is None:
        return None
    others = rows.execute(
        "SELECT n.name FROM namespace_blobs o JOIN namespaces n ON n.id = o.namespace "
        "WHERE o.digest = ? AND o.namespace <> ? LIMIT ?",
        (digest, namespace, HOLDERS_MAX),
    )
    return Sharing(row[0], row[1], tuple(other[0] for other in others))


class TagRow(Frozen):
    """A tag with its manifest."""

    name: str
    updated_at: int
    updated_by: str
    revision: RevisionRow


ORDERS: Final = {
    "name": ("t.sort_key", "t.name"),
    "pushed": ("t.updated_at", "t.name"),
    "size": ("m.total_size", "t.name"),
}
"""By what tags can be sorted, and the columns of that order."""


class TagOrder(Frozen):
    """An order of tags, and where a page of it begins: behind a tag with its value, or at once."""

    by: str = "name"
    is_descending: bool = False
    after: tuple[object, str] | None = None


def tags_in_order(
    rows: Rows, namespace: int, order: TagOrder, wanted: TagFilter, limit: int
) -> list[TagRow]:
    """Tags of a namespace that a filter leaves and that point to what is held, in an order."""
    first, second = ORDERS[order.by]
    direction, sign = ("DESC", "<") if order.is_descending else ("ASC", ">")
    where, values = wanted.where(namespace)
    if order.after is not None:
        where += f"AND ({first}, {second}) {sign} (?, ?) "
        values += order.after
    found = rows.execute(
        f"SELECT t.name, t.updated_at, t.updated_by, {REVISION} FROM tags t "
        "JOIN manifests m ON m.namespace = t.namespace AND m.digest = t.digest "
        f"WHERE {where}ORDER BY {first} {direction}, {second} {direction} LIMIT ?",
        (*values, limit),
    )
    return [TagRow(row[0], row[1], row[2], revision_of(row[3:])) for row in found]


def place_of(row: TagRow, by: str) -> tuple[object, str]:
    """Where a tag stands in an order."""
    values = {
        "name": natural_key(row.name),
        "pushed": row.updated_at,
        "size": row.revision.total_size,
    }
    return values[by], row.name


def tag_names(rows: Rows, namespace: int, wanted: TagFilter, limit: int) -> list[str]:
    """The first tags that a filter leaves, in the order in which people order names."""
    where, values = wanted.where(namespace)
    found = rows.execute(
        f"SELECT t.name FROM tags t WHERE {where}ORDER BY t.sort_key, t.name LIMIT ?",
        (*values, limit),
    )
    return [row[0] for row in found]


def count_fallback_tags(rows: Rows, namespace: int) -> int:
    """How many tags of a namespace are named after a digest."""
    found = rows.execute(
        "SELECT coalesce(sum(tag_count), 0) FROM tag_facets "
        "WHERE namespace = ? AND is_fallback = 1",
        (namespace,),
    )
    return int(found.fetchone()[0])


def roots_in_order(
    rows: Rows, namespace: int, after: tuple[int, str] | None, limit: int
) -> list[RevisionRow]:
    """Manifests that no other one lists and that refer to none that is here, the newest first;
    behind a time and a digest."""
    where, values = "", []
    if after is not None:
        where, values = "AND (m.pushed_at, m.digest) < (?, ?) ", [*after]
    found = rows.execute(
        f"SELECT {REVISION} FROM manifests m WHERE m.namespace = ? {where}"
        "AND NOT EXISTS (SELECT 1 FROM manifest_references r WHERE r.namespace = m.namespace "
        "AND r.digest = m.digest AND r.manifest <> m.digest) "
        "AND NOT EXISTS (SELECT 1 FROM manifests s WHERE s.namespace = m.namespace "
        "AND s.digest = m.subject AND s.digest <> m.digest) "
        "ORDER BY m.pushed_at DESC, m.digest DESC LIMIT ?",
        (namespace, *values, limit),
    )
    return [revision_of(row) for row in found]


def parts_of(rows: Rows, namespace: int, digest: str, limit: int) -> list[RevisionRow]:
    """The manifests that one lists, itself never, in digest order."""
    found = rows.execute(
        f"SELECT {REVISION} FROM manifest_references r "
        "JOIN manifests m ON m.namespace = r.namespace AND m.digest = r.digest "
        "WHERE r.namespace = ? AND r.manifest = ? AND r.digest <> r.manifest "
        "ORDER BY m.digest LIMIT ?",
        (namespace, digest, limit),
    )
    return [revision_of(row) for row in found]


def count_absent_parts(rows: Rows, namespace: int, digest: str) -> int:
    """How many manifests one lists that its namespace does not have."""
    found = rows.execute(
        "SELECT count(*) FROM manifest_references r WHERE r.namespace = ? AND r.manifest = ? "
        "AND r.kind = 'manifest' AND NOT EXISTS (SELECT 1 FROM manifests m "
        "WHERE m.namespace = r.namespace AND m.digest = r.digest) "
        "AND NOT EXISTS (SELECT 1 FROM namespace_blobs h "
        "WHERE h.namespace = r.namespace AND h.digest = r.digest)",
        (namespace, digest),
    )
    return int(found.fetchone()[0])
