"""Manifests of a namespace that nobody would miss by name: no tag points to them, no index lists
them, and what they refer to is not here."""

from __future__ import annotations

from typing import Final

from angos_trio.records import Frozen
from angos_trio.storage.metadata.facets import ALL, Facets, Group, groups_of
from angos_trio.storage.metadata.listings import REVISION, RevisionRow, revision_of
from angos_trio.storage.transactions import Rows

_LOOSE: Final = "(lease_until > 0 OR untagged_at IS NOT NULL)"
"""As the index `manifests_loose` has it: what is neither has been looked at, and is kept by a tag,
an index or a subject."""
_ROLE: Final = "CASE m.role WHEN '' THEN m.kind ELSE m.role END"
_SIGNED: Final = "m.attached & 1"
_UNTAGGED: Final = (
    "NOT EXISTS (SELECT 1 FROM tags t WHERE t.namespace = m.namespace AND t.digest = m.digest) "
    "AND NOT EXISTS (SELECT 1 FROM manifest_references r WHERE r.namespace = m.namespace "
    "AND r.digest = m.digest AND r.manifest <> m.digest) "
    "AND NOT EXISTS (SELECT 1 FROM manifests s WHERE s.namespace = m.namespace "
    "AND s.digest = m.subject AND s.digest <> m.digest)"
)


class UntaggedGroups(Frozen):
    """The same by all facets; `is_whole` is False where more would have had to be looked at."""

    groups: list[Group]
    is_whole: bool = True


def groups(rows: Rows, namespace: int, contains: str, examined_max: int) -> UntaggedGroups:
    """Of those that have a text in lower case in their digests, among so many that may be without a
    tag, the newest of these."""
    inner = f"FROM manifests WHERE namespace = ? AND {_LOOSE} "
    (examined,) = rows.execute(
        f"SELECT count(*) FROM (SELECT 1 {inner}LIMIT ?)", (namespace, examined_max + 1)
    ).fetchone()
    if not examined:
        return UntaggedGroups([])
    found = rows.execute(
        f"SELECT {_ROLE}, m.platforms, {_SIGNED}, count(*) FROM ("
        f"SELECT namespace, digest {inner}ORDER BY pushed_at DESC, digest DESC LIMIT ?) c "
        "JOIN manifests m ON m.namespace = c.namespace AND m.digest = c.digest "
        f"WHERE instr(m.digest, ?) > 0 AND {_UNTAGGED} GROUP BY 1, 2, 3",
        (namespace, examined_max, contains),
    )
    return UntaggedGroups(groups_of(found), is_whole=examined <= examined_max)


class UntaggedOrder(Frozen):
    """The newest first: strictly behind a time and a digest, or from the beginning."""

    after: tuple[int, str] | None = None
    contains: str = ""
    """In lower case; what a digest must have in it."""
    facets: Facets = ALL


def in_order(rows: Rows, namespace: int, order: UntaggedOrder, limit: int) -> list[RevisionRow]:
    """So many of them, the newest first."""
    texts, values = order.facets.conditions(_ROLE, _SIGNED)
    if order.contains:
        texts, values = [*texts, "instr(m.digest, ?) > 0"], [*values, order.contains]
    if order.after is not None:
        texts, values = [*texts, "(m.pushed_at, m.digest) < (?, ?)"], [*values, *order.after]
    where = "".join(f"AND {text} " for text in texts)
    loose = _LOOSE.replace("lease_until", "m.lease_until").replace("untagged_at", "m.untagged_at")
    found = rows.execute(
        f"SELECT {REVISION} FROM manifests m WHERE m.namespace = ? AND {loose} {where}"
        f"AND {_UNTAGGED} ORDER BY m.pushed_at DESC, m.digest DESC LIMIT ?",
        (namespace, *values, limit),
    )
    return [revision_of(row) for row in found]
