"""Sums over the whole registry. Each costs a look at all rows: ask seldom."""

from __future__ import annotations

from collections.abc import Sequence

from angos_trio.records import Frozen
from angos_trio.storage.metadata.below import owner_of
from angos_trio.storage.transactions import Rows


class Totals(Frozen):
    """Bytes: `blob_bytes` on disk, each blob once; `held_bytes` each blob once for each namespace;
    `named_bytes` as if no image shared anything with another."""

    blobs: int
    blob_bytes: int
    manifests: int
    tags: int
    namespaces: int
    held_bytes: int
    named_bytes: int


def totals(rows: Rows) -> Totals:
    """All of them. A size that somebody claims can be anything, so sums are of floats."""
    blobs, blob_bytes = rows.execute(
        "SELECT count(*), total(size) FROM blobs WHERE state = 'present'"
    ).fetchone()
    manifests, tags, namespaces, held = rows.execute(
        "SELECT total(manifest_count), total(tag_count), total(manifest_count > 0), "
        "total(held_bytes) FROM namespaces"
    ).fetchone()
    (named,) = rows.execute(
        "SELECT total(total_size) FROM manifests WHERE kind = 'image'"
    ).fetchone()
    return Totals(
        blobs=blobs,
        blob_bytes=int(blob_bytes),
        manifests=int(manifests),
        tags=int(tags),
        namespaces=int(namespaces),
        held_bytes=int(held),
        named_bytes=int(named),
    )


class Share(Frozen):
    """What a repository holds on disk, each blob once; of that what no other repository has."""

    repository: str
    blob_bytes: int
    own_bytes: int

    @property
    def shared_bytes(self) -> int:
        """What others have too."""
        return self.blob_bytes - self.own_bytes


def shares_by_repository(rows: Rows, deep: Sequence[str]) -> list[Share]:
    """The share of each repository, the largest first; see `owner_of` for `deep`."""
    owner, values = owner_of(deep)
    found = rows.execute(
        "SELECT repository, total(size), total(CASE WHEN first = last THEN size ELSE 0 END) "
        "FROM (SELECT DISTINCT h.digest, b.size, o.repository, "
        "min(o.repository) OVER (PARTITION BY h.digest) AS first, "
        "max(o.repository) OVER (PARTITION BY h.digest) AS last FROM namespace_blobs h "
        "JOIN blobs b ON b.digest = h.digest AND b.state = 'present' "
        f"JOIN (SELECT id, {owner} AS repository FROM namespaces) o ON o.id = h.namespace) "
        "GROUP BY repository ORDER BY total(size) DESC, repository",
        values,
    )
    return [Share(row[0], int(row[1]), int(row[2])) for row in found]


def count_images_with(rows: Rows, digest: str, limit: int) -> int:
    """How many manifests name a blob that their namespace holds, up to a bound."""
    found = rows.execute(
        "SELECT count(*) FROM (SELECT 1 FROM namespace_blobs h JOIN manifest_references r "
        "ON r.namespace = h.namespace AND r.digest = h.digest WHERE h.digest = ? LIMIT ?)",
        (digest, limit),
    )
    return int(found.fetchone()[0])


def largest_blobs(rows: Rows, limit: int) -> list[tuple[str, int, int]]:
    """The largest blobs: digest, bytes, and by how many namespaces they are held."""
    found = rows.execute(
        "SELECT b.digest, b.size, "
        "(SELECT count(*) FROM namespace_blobs h WHERE h.digest = b.digest) FROM blobs b "
        "WHERE b.state = 'present' ORDER BY b.size DESC, b.digest LIMIT ?",
        (limit,),
    )
    return found.fetchall()


def largest_namespaces(rows: Rows, limit: int) -> list[tuple[str, int]]:
    """The namespaces that hold most, and how many bytes."""
    found = rows.execute(
        "SELECT name, held_bytes FROM namespaces WHERE held_bytes > 0 "
        "ORDER BY held_bytes DESC, name LIMIT ?",
        (limit,),
    )
    return found.fetchall()
