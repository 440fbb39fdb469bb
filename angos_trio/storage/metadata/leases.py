"""Who keeps what, and what is to be looked at. A lease of 0: at the last look something referred to
it, and whoever takes the last reference away gives it a new lease."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.policy.reclaim import Hold
from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows

Gone = Collection[tuple[int, Digest]]
"""Manifests by their namespace's number that count as not there."""
NOTHING_GONE: Gone = frozenset()


class Due(Frozen, order=True):
    """Something to look at since a time, in epoch seconds."""

    at: int
    namespace: int
    digest: str


FIRST = Due(0, 0, "")
"""Before all that is due."""


def due_blobs(rows: Rows, before: int, after: Due, limit: int) -> list[Due]:
    """Holds on blobs whose lease ended by then, in their order, strictly after one."""
    return _due(rows, "namespace_blobs", "lease_until", before, after, limit)


def due_manifests(rows: Rows, before: int, after: Due, limit: int) -> list[Due]:
    """The same of manifests."""
    return _due(rows, "manifests", "lease_until", before, after, limit)


def untagged_manifests(rows: Rows, before: int, after: Due, limit: int) -> list[Due]:
    """Manifests that are known to be without a tag since then or longer."""
    return _due(rows, "manifests", "untagged_at", before, after, limit)


def _due(rows: Rows, table: str, column: str, before: int, after: Due, limit: int) -> list[Due]:
    found = rows.execute(
        f"SELECT {column}, namespace, digest FROM {table} "
        f"WHERE {column} > 0 AND {column} <= ? AND ({column}, namespace, digest) > (?, ?, ?) "
        f"ORDER BY {column}, namespace, digest LIMIT ?",
        (before, after.at, after.namespace, after.digest, limit),
    )
    return [Due(*row) for row in found]


def hold_of_blob(rows: Rows, due: Due, *, gone: Gone, has_upload: bool) -> Hold | None:
    """What keeps a blob in a namespace; None when it is not held there."""
    row = rows.execute(
        "SELECT lease_until FROM namespace_blobs WHERE namespace = ? AND digest = ?",
        (due.namespace, due.digest),
    ).fetchone()
    if row is None:
        return None
    parent = _parent(rows, due, gone)
    return Hold(is_manifest=False, lease_until=row[0], parent=parent, has_upload=has_upload)


def hold_of_manifest(rows: Rows, due: Due, *, gone: Gone, has_upload: bool) -> Hold | None:
    """What keeps a manifest in a namespace; None when it is not held there."""
    row = rows.execute(
        "SELECT m.lease_until, m.subject, m.is_orphan, coalesce(m.untagged_at, m.pushed_at), "
        "(SELECT name FROM tags t WHERE t.namespace = m.namespace AND t.digest = m.digest LIMIT 1) "
        "FROM manifests m WHERE m.namespace = ? AND m.digest = ?",
        (due.namespace, due.digest),
    ).fetchone()
    if row is None:
        return None
    subject = None if row[1] is None else Digest(row[1])
    return Hold(
        is_manifest=True,
        lease_until=row[0],
        parent=_parent(rows, due, gone),
        tag=None if row[4] is None else Tag(row[4]),
        subject=subject,
        is_subject_held=subject is not None and _is_there(rows, due.namespace, subject, gone),
        is_orphan=bool(row[2]),
        untagged_at=row[3],
        has_upload=has_upload,
    )


def _parent(rows: Rows, due: Due, gone: Gone) -> Digest | None:
    return next(parents(rows, due.namespace, due.digest, gone), None)


def parents(rows: Rows, namespace: int, digest: str, gone: Gone = NOTHING_GONE) -> Iterator[Digest]:
    """The manifests that name something, in digest order."""
    found = rows.execute(
        "SELECT manifest FROM manifest_references WHERE namespace = ? AND digest = ?",
        (namespace, digest),
    )
    for (manifest,) in found:
        if (namespace, manifest) not in gone:
            yield Digest(manifest)


def _is_there(rows: Rows, namespace: int, digest: Digest, gone: Gone) -> bool:
    if (namespace, digest) in gone:
        return False
    row = rows.execute(
        "SELECT 1 FROM manifests WHERE namespace = ? AND digest = ?", (namespace, digest)
    ).fetchone()
    return row is not None


def is_tagged_through(rows: Rows, name: RepositoryName, digest: Digest) -> bool:
    """Whether a tagged manifest is this or names it. Then its last reference cannot go without a
    new lease for it."""
    row = rows.execute(
        "SELECT 1 FROM namespaces n WHERE n.name = ? AND (EXISTS ("
        "SELECT 1 FROM tags t WHERE t.namespace = n.id AND t.digest = ?) OR EXISTS ("
        "SELECT 1 FROM manifest_references r JOIN tags t "
        "ON t.namespace = r.namespace AND t.digest = r.manifest "
        "WHERE r.namespace = n.id AND r.digest = ?))",
        (name, digest, digest),
    ).fetchone()
    return row is not None


class Tally(Frozen):
    """How many, with how many bytes, and the first and the last of their times; `is_whole` is False
    where there are more than were looked at."""

    count: int
    bytes: int
    first: int | None
    last: int | None
    is_whole: bool


_SIZE_OF_BLOB = "(SELECT size FROM blobs b WHERE b.digest = h.digest)"
_HAS_TAG = "EXISTS (SELECT 1 FROM tags t WHERE t.namespace = h.namespace AND t.digest = h.digest)"


def tally_blobs(rows: Rows, namespace: int | None, limit: int) -> Tally:
    """Holds on blobs that no manifest names, by the ends of their leases."""
    return _tally(rows, "namespace_blobs", "lease_until", _SIZE_OF_BLOB, namespace, limit)


def tally_manifests(rows: Rows, namespace: int | None, limit: int) -> Tally:
    """Manifests without a tag that no other names, by the ends of their leases."""
    return _tally(rows, "manifests", "lease_until", "abs(size)", namespace, limit)


def tally_untagged(rows: Rows, namespace: int | None, limit: int) -> Tally:
    """Manifests without a tag that no other names and whose lease is over, by when they lost it."""
    return _tally(rows, "manifests", "untagged_at", "abs(size)", namespace, limit)


def _tally(
    rows: Rows, table: str, column: str, size: str, namespace: int | None, limit: int
) -> Tally:
    where = "" if namespace is None else "AND namespace = ? "
    leased = "AND lease_until = 0 " if column == "untagged_at" else ""
    tagged = "" if table == "namespace_blobs" else f"AND NOT {_HAS_TAG} "
    row = rows.execute(
        f"SELECT count(*), coalesce(sum({size}), 0), min(at), max(at), (SELECT count(*) FROM ("
        f"SELECT 1 FROM {table} WHERE {column} > 0 {leased}{where}LIMIT ?)) "
        f"FROM (SELECT *, {column} AS at FROM {table} WHERE {column} > 0 {leased}{where}LIMIT ?) h "
        "WHERE NOT EXISTS (SELECT 1 FROM manifest_references r "
        f"WHERE r.namespace = h.namespace AND r.digest = h.digest) {tagged}",
        [
            *([] if namespace is None else [namespace]),
            limit + 1,
            *([] if namespace is None else [namespace]),
            limit,
        ],
    ).fetchone()
    return Tally(row[0], row[1], row[2], row[3], is_whole=row[4] <= limit)


def holders(rows: Rows, digest: Digest, limit: int) -> list[tuple[int, bool]]:
    """The namespaces that hold a blob, and those that hold a manifest, of this digest."""
    found = rows.execute(
        "SELECT namespace, 0 FROM namespace_blobs WHERE digest = ? UNION ALL "
        "SELECT namespace, 1 FROM manifests WHERE digest = ? LIMIT ?",
        (digest, digest, limit),
    )
    return [(row[0], bool(row[1])) for row in found]


def size_of(rows: Rows, digest: Digest) -> int | None:
    """The bytes of a blob or a manifest; None when there is neither."""
    row = rows.execute(
        "SELECT coalesce((SELECT size FROM blobs WHERE digest = ?), "
        "(SELECT length(body) FROM manifest_bodies WHERE digest = ?))",
        (digest, digest),
    ).fetchone()
    return None if row[0] is None else int(row[0])


def keep_blob(rows: Rows, due: Due, lease_until: int) -> None:
    """Look at a blob again then; 0: when its last reference goes."""
    rows.execute(
        "UPDATE namespace_blobs SET lease_until = ? WHERE namespace = ? AND digest = ?",
        (lease_until, due.namespace, due.digest),
    )


def keep_manifest(rows: Rows, due: Due, lease_until: int, untagged_at: int | None) -> None:
    """The same of a manifest, which is without a tag since then or has no need of one."""
    rows.execute(
        "UPDATE manifests SET lease_until = ?, untagged_at = ? WHERE namespace = ? AND digest = ?",
        (lease_until, untagged_at, due.namespace, due.digest),
    )


def renew_manifest(rows: Rows, namespace: int, digest: Digest, lease_until: int) -> bool:
    """Keep a manifest at least until then; False when the namespace does not hold it."""
    cursor = rows.execute(
        "UPDATE manifests SET lease_until = max(lease_until, ?) WHERE namespace = ? AND digest = ?",
        (lease_until, namespace, digest),
    )
    return cursor.rowcount > 0


def lose_tag(rows: Rows, namespace: int, digest: Digest, *, now: int, lease_until: int) -> None:
    """A tag has left the manifest: if it was the last, keep it for a while all the same."""
    rows.execute(
        "UPDATE manifests SET lease_until = max(lease_until, ?), untagged_at = ?, is_orphan = 0 "
        "WHERE namespace = ? AND digest = ? "
        "AND NOT EXISTS (SELECT 1 FROM tags WHERE namespace = ? AND digest = ?)",
        (lease_until, now, namespace, digest, namespace, digest),
    )


def lose_manifest(rows: Rows, namespace: int, manifest: Digest, lease_until: int) -> None:
    """Before a manifest goes: keep for a while what nothing else refers to, and its referrers.

    A reference keeps whatever stands under its digest, a blob or a manifest.
    """
    for table, orphaned in (
        ("namespace_blobs", ""),
        # One that once had a tag, or was pushed for itself, is still what policy keeps.
        ("manifests", ", is_orphan = (untagged_at IS NULL OR is_orphan)"),
    ):
        rows.execute(
            f"UPDATE {table} SET lease_until = max(lease_until, ?){orphaned} "
            "WHERE namespace = ? AND digest IN ("
            "SELECT r.digest FROM manifest_references r "
            "WHERE r.namespace = ? AND r.manifest = ? AND NOT EXISTS ("
            "SELECT 1 FROM manifest_references o "
            "WHERE o.namespace = r.namespace AND o.digest = r.digest "
            "AND o.manifest <> r.manifest))",
            (lease_until, namespace, namespace, manifest),
        )
    rows.execute(
        "UPDATE manifests SET lease_until = max(lease_until, ?) "
        "WHERE namespace = ? AND subject = ?",
        (lease_until, namespace, manifest),
    )


def postpone(rows: Rows, due: Due, *, is_manifest: bool, until: int) -> None:
    """Look at something again then, whatever it is."""
    table = "manifests" if is_manifest else "namespace_blobs"
    rows.execute(
        f"UPDATE {table} SET lease_until = ? WHERE namespace = ? AND digest = ?",
        (until, due.namespace, due.digest),
    )


def extend(rows: Rows, lease_until: int, limit: int) -> int:
    """Let so many leases that end earlier end then; how many there were."""
    extended = 0
    for table in ("namespace_blobs", "manifests"):
        cursor = rows.execute(
            f"UPDATE {table} SET lease_until = ? WHERE (namespace, digest) IN ("
            f"SELECT namespace, digest FROM {table} "
            "WHERE lease_until > 0 AND lease_until < ? LIMIT ?)",
            (lease_until, lease_until, limit),
        )
        extended += cursor.rowcount
    return extended


def renew_namespace(rows: Rows, namespace: int, lease_until: int) -> None:
    """Keep all that a namespace holds without a reference at least until then."""
    for table in ("namespace_blobs", "manifests"):
        rows.execute(
            f"UPDATE {table} SET lease_until = ? "
            "WHERE namespace = ? AND lease_until > 0 AND lease_until < ?",
            (lease_until, namespace, lease_until),
        )
