"""Rows that contradict each other or the bytes: how they are found, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from angos_trio.oci.digest import Digest
from angos_trio.policy.integrity import BlobRow, Flaw, ManifestRow
from angos_trio.records import Frozen
from angos_trio.storage.metadata import facets
from angos_trio.storage.transactions import Rows

Key = tuple[Any, ...]
_NAMED: Final = "EXISTS (SELECT 1 FROM namespaces n WHERE n.id = t.namespace)"
_HELD: Final = (
    "EXISTS (SELECT 1 FROM manifests m WHERE m.namespace = t.namespace AND m.digest = t.{column})"
)
_REFERRED: Final = (
    "EXISTS (SELECT 1 FROM manifest_references r "
    "WHERE r.namespace = t.namespace AND r.digest = t.digest)"
)
_TAGGED: Final = (
    "EXISTS (SELECT 1 FROM tags g WHERE g.namespace = t.namespace AND g.digest = t.digest)"
)


_WEIGHT: Final = (
    "coalesce((SELECT sum(max(size, 0)) FROM manifests m WHERE m.namespace = t.id), 0) + "
    "coalesce((SELECT sum(b.size) FROM namespace_blobs h JOIN blobs b ON b.digest = h.digest "
    "WHERE h.namespace = t.id), 0)"
)
"""What a namespace holds, in bytes, as triggers add it up."""
_BLOBS: Final = (
    "coalesce((SELECT sum(b.size) FROM namespace_blobs h JOIN blobs b ON b.digest = h.digest "
    "WHERE h.namespace = t.id), 0)"
)
_EXCLUSIVE: Final = (
    "coalesce((SELECT sum(b.size) FROM namespace_blobs h JOIN blobs b ON b.digest = h.digest "
    "WHERE h.namespace = t.id AND NOT EXISTS (SELECT 1 FROM namespace_blobs o "
    "WHERE o.digest = h.digest AND o.namespace <> h.namespace)), 0)"
)
_NAMED_BYTES: Final = (
    "coalesce((SELECT sum(min(m.total_size, 1125899906842624)) FROM manifests m "
    "WHERE m.namespace = t.id AND m.kind = 'image'), 0)"
)
_WEIGHTS: Final = {
    "held_bytes": _WEIGHT,
    "blob_bytes": _BLOBS,
    "exclusive_bytes": _EXCLUSIVE,
    "named_bytes": _NAMED_BYTES,
}
_WEIGHED: Final = ", ".join(f"{column} = {weight}" for column, weight in _WEIGHTS.items())
_WEIGHS_ELSE: Final = " OR ".join(f"{column} <> {weight}" for column, weight in _WEIGHTS.items())
_FACETED_ELSE: Final = (
    "EXISTS (SELECT 1 FROM faceted_tags w JOIN tags g ON g.namespace = w.namespace "
    "AND g.name = w.name WHERE w.namespace = t.id AND (g.facet IS NULL OR g.facet IS NOT w.facet))"
)
_FACETS_ELSE: Final = (
    "EXISTS (SELECT 1 FROM tag_facets f LEFT JOIN (SELECT facet, count(*) AS tags FROM tags g "
    "WHERE g.namespace = t.id GROUP BY facet) c ON c.facet = f.id "
    "WHERE f.namespace = t.id AND f.tag_count <> coalesce(c.tags, 0))"
)


class Check(Frozen):
    """Rows of one table that are wrong if an expression about `t` is true."""

    flaw: Flaw
    table: str
    keys: tuple[str, ...]
    is_wrong: str

    def page(self, rows: Rows, after: Key | None, limit: int) -> tuple[list[Key], Key | None]:
        """The wrong ones of so many rows strictly after a key, and the last key of these."""
        keys = ", ".join(self.keys)
        where = "" if after is None else f"WHERE ({keys}) > ({self._marks}) "
        found = rows.execute(
            f"SELECT {keys}, {self.is_wrong} FROM {self.table} t {where}ORDER BY {keys} LIMIT ?",
            (*(after or ()), limit),
        ).fetchall()
        wrong = [row[:-1] for row in found if row[-1]]
        return wrong, found[-1][:-1] if found else None

    def is_still(self, rows: Rows, key: Key) -> bool:
        """Whether a row is still there and wrong."""
        where = " AND ".join(f"{name} = ?" for name in self.keys)
        row = rows.execute(f"SELECT {self.is_wrong} FROM {self.table} t WHERE {where}", key)
        return bool((row.fetchone() or (0,))[0])

    @property
    def _marks(self) -> str:
        return ", ".join("?" for _ in self.keys)


_HOLDS: Final = ("namespace_blobs", ("namespace", "digest"))
_MANIFESTS: Final = ("manifests", ("namespace", "digest"))
_TAGS: Final = ("tags", ("namespace", "name"))
# First, what the later ones could bring about.
CHECKS: Final = (
    Check(Flaw.LEASE_LOST, *_HOLDS, f"lease_until <= 0 AND NOT {_REFERRED} AND {_NAMED}"),
    # A manifest that only policy keeps has no lease, and says since when it is untagged.
    Check(
        Flaw.LEASE_LOST,
        *_MANIFESTS,
        f"lease_until <= 0 AND NOT {_TAGGED} AND NOT {_REFERRED} AND {_NAMED} "
        "AND (subject IS NULL OR NOT EXISTS (SELECT 1 FROM manifests m "
        "WHERE m.namespace = t.namespace AND m.digest = t.subject)) "
        "AND (untagged_at IS NULL OR subject IS NOT NULL OR is_orphan <> 0)",
    ),
    Check(Flaw.NAMESPACE_UNKNOWN, *_TAGS, f"NOT {_NAMED}"),
    Check(Flaw.NAMESPACE_UNKNOWN, *_MANIFESTS, f"NOT {_NAMED}"),
    Check(Flaw.NAMESPACE_UNKNOWN, *_HOLDS, f"NOT {_NAMED}"),
    Check(Flaw.NAMESPACE_UNKNOWN, "tag_history", ("id",), f"NOT {_NAMED}"),
    Check(Flaw.TAG_OUT_OF_ORDER, *_TAGS, "sort_key <> natural_key(name)"),
    Check(Flaw.TAG_TO_NOTHING, *_TAGS, f"{_NAMED} AND NOT {_HELD.format(column='digest')}"),
    Check(
        Flaw.REFERENCE_OF_NOTHING,
        "manifest_references",
        ("namespace", "manifest", "digest"),
        f"NOT {_HELD.format(column='manifest')}",
    ),
    # Once for each digest, whoever holds it.
    Check(
        Flaw.MANIFEST_MISSING,
        *_MANIFESTS,
        "NOT EXISTS (SELECT 1 FROM manifest_bodies b WHERE b.digest = t.digest) "
        f"AND {_NAMED} AND t.namespace = (SELECT min(m.namespace) FROM manifests m "
        "JOIN namespaces n ON n.id = m.namespace WHERE m.digest = t.digest)",
    ),
    Check(
        Flaw.BODY_UNUSED,
        "manifest_bodies",
        ("digest",),
        "NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = t.digest)",
    ),
    Check(
        Flaw.COUNT_WRONG,
        "namespaces",
        ("id",),
        "manifest_count <> (SELECT count(*) FROM manifests m WHERE m.namespace = t.id) "
        "OR tag_count <> (SELECT count(*) FROM tags g WHERE g.namespace = t.id) "
        f"OR {_FACETED_ELSE} OR {_FACETS_ELSE} "
        f"OR (({_WEIGHS_ELSE}) AND NOT EXISTS (SELECT 1 FROM namespace_blobs h "
        "WHERE h.namespace = t.id AND NOT EXISTS "
        "(SELECT 1 FROM blobs b WHERE b.digest = h.digest)))",
    ),
)
TABLES: Final = (
    *("namespaces", "blobs", "namespace_blobs", "manifest_bodies", "manifests"),
    *("manifest_references", "tags", "tag_history", "events", "api_keys", "reclaims"),
    *("switches", "scrub_state", "tag_facets"),
)


def problem_of_table(rows: Rows, table: str) -> str | None:
    """What SQLite finds wrong with a table and its indexes."""
    found = rows.execute(f"PRAGMA integrity_check({table})").fetchall()
    problems = [str(row[0]) for row in found if row[0] != "ok"]
    return "; ".join(problems[:3]) or None


def give_lease(rows: Rows, table: str, namespace: int, digest: str, lease_until: int) -> None:
    """Let something be looked at then."""
    rows.execute(
        f"UPDATE {table} SET lease_until = max(lease_until, ?) WHERE namespace = ? AND digest = ?",
        (lease_until, namespace, digest),
    )


def lose_reference(rows: Rows, namespace: int, digest: str, lease_until: int) -> None:
    """A reference row is gone: what nothing else refers to is looked at again then."""
    row = rows.execute(
        "SELECT 1 FROM manifest_references WHERE namespace = ? AND digest = ?", (namespace, digest)
    ).fetchone()
    if row is None:
        for table in ("namespace_blobs", "manifests"):
            give_lease(rows, table, namespace, digest, lease_until)


def remove(rows: Rows, check: Check, key: Key) -> None:
    """Delete the row of a key."""
    where = " AND ".join(f"{name} = ?" for name in check.keys)
    rows.execute(f"DELETE FROM {check.table} WHERE {where}", key)


def remove_tags_of(rows: Rows, namespace: int, digest: str) -> None:
    """Delete every tag to a manifest of a namespace without a name."""
    rows.execute("DELETE FROM tags WHERE namespace = ? AND digest = ?", (namespace, digest))


def sort_again(rows: Rows, namespace: int, tag: str) -> None:
    """Give a tag its place among the others."""
    rows.execute(
        "UPDATE tags SET sort_key = natural_key(name) WHERE namespace = ? AND name = ?",
        (namespace, tag),
    )


def count_again(rows: Rows, namespace: int) -> None:
    """Make the counts of a namespace's manifests and tags, and of its bytes, what they are."""
    rows.execute(
        "UPDATE namespaces AS t SET manifest_count = "
        "(SELECT count(*) FROM manifests m WHERE m.namespace = t.id), tag_count = "
        f"(SELECT count(*) FROM tags g WHERE g.namespace = t.id), {_WEIGHED} "
        "WHERE id = ?",
        (namespace,),
    )
    facets.count_again(rows, namespace)


def weigh_again(rows: Rows, digest: str) -> None:
    """A blob has a row again, which no trigger has weighed: for all who hold it."""
    rows.execute(
        f"UPDATE namespaces AS t SET {_WEIGHED} "
        "WHERE id IN (SELECT namespace FROM namespace_blobs WHERE digest = ?)",
        (digest,),
    )


def lose_body(rows: Rows, digest: str) -> None:
    """No namespace serves the manifest until it is pushed again: an empty body, and a size below 0
    that only lists of referrers tell."""
    rows.execute(
        "INSERT INTO manifest_bodies (digest, body) VALUES (?, x'') "
        "ON CONFLICT (digest) DO UPDATE SET body = x''",
        (digest,),
    )
    rows.execute("UPDATE manifests SET size = -abs(size) WHERE digest = ?", (digest,))


def bodies(rows: Rows, after: str, limit: int) -> Iterator[tuple[str, bytes]]:
    """Manifest bodies in digest order, strictly after a text; they are read one by one."""
    found = rows.execute(
        "SELECT digest, body FROM manifest_bodies WHERE digest > ? ORDER BY digest LIMIT ?",
        (after, limit),
    )
    for digest, body in found:
        yield digest, bytes(body)


def manifest_rows(rows: Rows, digest: str) -> list[ManifestRow]:
    """What is recorded of a manifest, for each namespace that holds it."""
    found = rows.execute(
        "SELECT namespace, media_type, kind, artifact_type, subject, size, annotations, role, "
        "carries FROM manifests WHERE digest = ? ORDER BY namespace",
        (digest,),
    ).fetchall()
    return [ManifestRow(*(*row, _references(rows, row[0], digest))) for row in found]


def _references(rows: Rows, namespace: int, digest: str) -> frozenset[tuple[str, str]]:
    found = rows.execute(
        "SELECT digest, kind FROM manifest_references WHERE namespace = ? AND manifest = ?",
        (namespace, digest),
    )
    return frozenset(found.fetchall())


def repair_columns(rows: Rows, digest: str, wanted: ManifestRow) -> None:
    """Record what the body says; who describes manifests is to look at it again."""
    rows.execute(
        "UPDATE manifests SET media_type = ?, kind = ?, artifact_type = ?, subject = ?, size = ?, "
        "annotations = ?, role = '' WHERE namespace = ? AND digest = ?",
        (
            wanted.media_type,
            wanted.kind,
            wanted.artifact_type,
            wanted.subject,
            wanted.size,
            wanted.annotations,
            wanted.namespace,
            digest,
        ),
    )


def repair_references(
    rows: Rows, digest: str, row: ManifestRow, wanted: ManifestRow, lease_until: int
) -> None:
    """Record the references that the body has, and no other."""
    key = (wanted.namespace, digest)
    rows.execute("DELETE FROM manifest_references WHERE namespace = ? AND manifest = ?", key)
    rows.executemany(
        "INSERT INTO manifest_references (namespace, manifest, digest, kind) VALUES (?, ?, ?, ?)",
        [(*key, *reference) for reference in sorted(wanted.references)],
    )
    for lost, _ in row.references - wanted.references:
        lose_reference(rows, wanted.namespace, lost, lease_until)


def known_blobs(rows: Rows, after: str, limit: int) -> list[str]:
    """Digests of blobs that have a row or a holder, in order, strictly after a text."""
    found = rows.execute(
        "SELECT digest FROM blobs WHERE digest > ? "
        "UNION SELECT digest FROM namespace_blobs WHERE digest > ? ORDER BY digest LIMIT ?",
        (after, after, limit),
    )
    return [row[0] for row in found]


def blob_row(rows: Rows, digest: Digest) -> BlobRow:
    """What the rows say of a blob."""
    row = rows.execute("SELECT size, state FROM blobs WHERE digest = ?", (digest,)).fetchone()
    held = rows.execute("SELECT 1 FROM namespace_blobs WHERE digest = ? LIMIT 1", (digest,))
    is_held = held.fetchone() is not None
    if row is None:
        return BlobRow(None, is_present=False, is_held=is_held)
    return BlobRow(row[0], row[1] == "present", is_held)


def put_blob(rows: Rows, digest: Digest, size: int, *, is_present: bool, now: int) -> None:
    """Record what is true of a blob."""
    state = "present" if is_present else "missing"
    rows.execute(
        "INSERT INTO blobs (digest, size, state, created_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (digest) DO UPDATE SET size = excluded.size, state = excluded.state",
        (digest, size, state, now),
    )


def is_known(rows: Rows, digest: Digest) -> bool:
    """Whether a blob's file is wanted, or on its way to the trash."""
    row = rows.execute(
        "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = ?) "
        "OR EXISTS (SELECT 1 FROM namespace_blobs WHERE digest = ?) "
        "OR EXISTS (SELECT 1 FROM reclaims WHERE digest = ?)",
        (digest, digest, digest),
    ).fetchone()
    return bool(row[0])


def to_reclaim(rows: Rows, digest: Digest) -> None:
    """Note that the file of a blob without a row is to go."""
    rows.execute("INSERT OR IGNORE INTO reclaims (digest) VALUES (?)", (digest,))


def state(rows: Rows) -> tuple[str, int] | None:
    """The last blob that the scheduled scrub looked at, and when its last pass ended."""
    found: tuple[str, int] | None = rows.execute(
        "SELECT blob_cursor, ended_at FROM scrub_state WHERE id = 1"
    ).fetchone()
    return found


def keep_state(rows: Rows, blob_cursor: str, ended_at: int) -> None:
    """Remember how far it has come."""
    rows.execute(
        "INSERT INTO scrub_state (id, blob_cursor, ended_at) VALUES (1, ?, ?) ON CONFLICT (id) "
        "DO UPDATE SET blob_cursor = excluded.blob_cursor, ended_at = excluded.ended_at",
        (blob_cursor, ended_at),
    )
