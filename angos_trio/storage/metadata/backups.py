"""What a backup asks of a copy of the database."""

from __future__ import annotations

from collections.abc import Iterable

from angos_trio.oci.digest import Digest
from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class Counts(Frozen):
    """What a database tells of: `missing` are blobs that are known to be lost, `bytes` are those of
    the others."""

    namespaces: int
    manifests: int
    tags: int
    blobs: int
    missing: int
    bytes: int


class Wanted(Frozen):
    """A blob that a database tells of: size in bytes."""

    digest: Digest
    size: int
    is_present: bool


def counts(rows: Rows) -> Counts:
    """Counts over everything."""
    one = rows.execute(
        "SELECT (SELECT count(*) FROM namespaces WHERE manifest_count > 0), "
        "(SELECT count(*) FROM manifests), (SELECT count(*) FROM tags), "
        "count(*), coalesce(sum(state = 'missing'), 0), "
        "coalesce(sum(size * (state = 'present')), 0) FROM blobs"
    ).fetchone()
    return Counts(*map(int, one))


def blobs(rows: Rows, prefix: str, after: str, limit: int) -> list[Wanted]:
    """The blobs whose digest begins so, in digest order, strictly after a text."""
    found = rows.execute(
        "SELECT digest, size, state = 'present' FROM blobs "
        "WHERE digest > ? AND digest < ? ORDER BY digest LIMIT ?",
        (max(after, prefix), f"{prefix}g", limit),  # hexadecimal digits end with f
    )
    return [Wanted(Digest(row[0]), row[1], bool(row[2])) for row in found]


def is_known(rows: Rows, digest: Digest) -> bool:
    """Whether the database tells of a blob, be it there or missing, or held without a row."""
    row = rows.execute(
        "SELECT 1 FROM blobs WHERE digest = ? UNION ALL "
        "SELECT 1 FROM namespace_blobs WHERE digest = ? LIMIT 1",
        (digest, digest),
    ).fetchone()
    return row is not None


def set_states(rows: Rows, *, present: Iterable[Digest], missing: Iterable[Digest]) -> None:
    """Say which blobs are there and which are not."""
    for state, digests in (("present", present), ("missing", missing)):
        rows.executemany(
            "UPDATE blobs SET state = ? WHERE digest = ? AND state <> ?",
            [(state, digest, state) for digest in digests],
        )


def problem(rows: Rows) -> str | None:
    """What is wrong with the database itself; None when it is sound. Reads all of it.

    Rows that contradict each other are for a scrub, here and where it is restored.
    """
    found = rows.execute("PRAGMA integrity_check(1)").fetchone()[0]
    return None if found == "ok" else str(found)


def version(rows: Rows) -> int:
    """The number of its schema."""
    return int(rows.execute("PRAGMA user_version").fetchone()[0])
