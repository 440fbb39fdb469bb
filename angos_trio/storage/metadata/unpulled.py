"""The largest manifests, for who asks which of them nobody pulls."""

from __future__ import annotations

from collections.abc import Sequence

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


class Root(Frozen):
    """A manifest that no index lists and that is about no other: `size` has what it names too, in
    bytes; `pushed_at` in epoch seconds."""

    namespace: str
    digest: str
    size: int
    pushed_at: int


def largest_roots(rows: Rows, before: int, limit: int) -> list[Root]:
    """Of so many largest manifests those that are roots and were pushed before a time, the largest
    first."""
    found = rows.execute(
        "SELECT n.name, m.digest, m.total_size, m.pushed_at FROM "
        "(SELECT namespace, digest, total_size, pushed_at FROM manifests WHERE subject IS NULL "
        "ORDER BY total_size DESC, pushed_at DESC LIMIT ?) m "
        "CROSS JOIN namespaces n ON n.id = m.namespace WHERE m.pushed_at < ? "
        "AND NOT EXISTS (SELECT 1 FROM manifest_references r "
        "WHERE r.namespace = m.namespace AND r.digest = m.digest)",
        (limit, before),
    )
    return sorted((Root(*row) for row in found), key=lambda root: -root.size)


def has_more(rows: Rows, limit: int) -> bool:
    """Whether there are more manifests than so many that `largest_roots` may look at."""
    row = rows.execute(
        "SELECT 1 FROM manifests WHERE subject IS NULL ORDER BY total_size DESC LIMIT 1 OFFSET ?",
        (limit,),
    ).fetchone()
    return row is not None


def first_tags(rows: Rows, roots: Sequence[Root]) -> dict[Root, str | None]:
    """The first tag of each that is still there, None for one without a tag."""
    found = {}
    for root in roots:
        row = rows.execute(
            "SELECT (SELECT t.name FROM tags t WHERE t.namespace = m.namespace "
            "AND t.digest = m.digest ORDER BY t.name LIMIT 1) "
            "FROM manifests m JOIN namespaces n ON n.id = m.namespace "
            "WHERE n.name = ? AND m.digest = ?",
            (root.namespace, root.digest),
        ).fetchone()
        if row is not None:
            found[root] = row[0]
    return found
