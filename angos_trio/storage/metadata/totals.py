"""Sums over the whole registry. Each costs a look at all rows: ask seldom."""

from __future__ import annotations

from dataclasses import dataclass

from angos_trio.storage.transactions import Rows


@dataclass(frozen=True, slots=True)
class Totals:
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
