"""What the disk held, day by day, and sums over the registry that are taken a page at a time."""

from __future__ import annotations

from typing import Final

from angos_trio.records import Frozen, astuple
from angos_trio.storage.transactions import Rows

INTEGER_MAX: Final = 2**63 - 1
"""What a row can hold: sizes that somebody claims may come to more."""


class Sample(Frozen):
    """What there was on a day, counted from 1970 in UTC; `at` in epoch seconds, and bytes as in
    `storage.metadata.totals`."""

    day: int
    at: int
    blob_bytes: int
    named_bytes: int
    free_bytes: int
    tags: int
    manifests: int


def put(rows: Rows, sample: Sample) -> None:
    """Keep a sample in the place of an earlier one of the same day."""
    rows.execute(
        "INSERT INTO storage_samples "
        "(day, at, blob_bytes, named_bytes, free_bytes, tags, manifests) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (day) DO UPDATE SET at = excluded.at, "
        "blob_bytes = excluded.blob_bytes, named_bytes = excluded.named_bytes, "
        "free_bytes = excluded.free_bytes, tags = excluded.tags, manifests = excluded.manifests",
        [min(value, INTEGER_MAX) for value in astuple(sample)],
    )


def prune(rows: Rows, before: int) -> None:
    """Remove those of days before this one."""
    rows.execute("DELETE FROM storage_samples WHERE day < ?", (before,))


def between(rows: Rows, first: int, last: int) -> list[Sample]:
    """Those of these days, both included, in their order."""
    found = rows.execute(
        "SELECT day, at, blob_bytes, named_bytes, free_bytes, tags, manifests "
        "FROM storage_samples WHERE day BETWEEN ? AND ? ORDER BY day",
        (first, last),
    )
    return [Sample(*row) for row in found]


def newest(rows: Rows, last: int) -> Sample | None:
    """The newest up to a day. A clock that was ahead may have left later ones."""
    row = rows.execute(
        "SELECT day, at, blob_bytes, named_bytes, free_bytes, tags, manifests "
        "FROM storage_samples WHERE day <= ? ORDER BY day DESC LIMIT 1",
        (last,),
    ).fetchone()
    return None if row is None else Sample(*row)


def sum_blobs(rows: Rows, after: str, limit: int) -> tuple[int, str]:
    """Bytes of the next blobs that are there, by digest, and the last one; empty at the end."""
    total, last = rows.execute(
        "SELECT total(CASE WHEN state = 'present' THEN size ELSE 0 END), max(digest) "
        "FROM (SELECT digest, size, state FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?)",
        (after, limit),
    ).fetchone()
    return int(total), last or ""


def sum_images(rows: Rows, after: tuple[int, str], limit: int) -> tuple[int, tuple[int, str]]:
    """Bytes that the images name among the next manifests, and the last one; empty at the end."""
    found = rows.execute(
        "SELECT namespace, digest, CASE WHEN kind = 'image' THEN total_size ELSE 0 END "
        "FROM manifests WHERE (namespace, digest) > (?, ?) ORDER BY namespace, digest LIMIT ?",
        (*after, limit),
    ).fetchall()
    return sum(row[2] for row in found), found[-1][:2] if found else (0, "")


def sum_namespaces(rows: Rows, after: int, limit: int) -> tuple[int, int, int]:
    """Tags and manifests of the next namespaces, and the last one's number; 0 at the end."""
    tags, manifests, last = rows.execute(
        "SELECT total(tag_count), total(manifest_count), max(id) FROM "
        "(SELECT id, tag_count, manifest_count FROM namespaces WHERE id > ? ORDER BY id LIMIT ?)",
        (after, limit),
    ).fetchone()
    return int(tags), int(manifests), last or 0
