"""The manifests of a namespace as a tree: what stands alone, and below it what belongs to it."""

from __future__ import annotations

from collections.abc import Collection

from angos_trio.browse.cursors import cursor_of, parse_cursor
from angos_trio.browse.pulled import Pulled, pulled_of
from angos_trio.browse.revisions import related_of
from angos_trio.limits.lists import RELATED_MAX
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import listings
from angos_trio.storage.metadata.listings import NamespaceRow, RevisionRow
from angos_trio.storage.transactions import Rows

DEPTH_MAX = 4
"""Levels that are shown; an index that lists itself in a circle ends there."""


class Branch(Frozen):
    """A manifest in the tree. `parts` are the manifests that it lists, or that refer to it, where
    it is open; `count` is how many there are, so many at most; `absent` counts those that it lists
    and the namespace does not have."""

    row: RevisionRow
    tags: list[str]
    depth: int
    count: int
    absent: int
    parts: list[Branch]
    is_open: bool


class Tree(Frozen):
    """A page of it, and where the next one begins."""

    roots: list[Branch]
    next_after: str | None
    pulled: dict[str, Pulled]


async def tree_of(
    registry: Registry, namespace: NamespaceRow, after: str, limit: int, opened: Collection[str]
) -> Tree:
    """A page of roots, the newest first; those of `opened` with what belongs to them.

    Raises PAGINATION_NUMBER_INVALID (400) for what is no cursor.
    """
    place = parse_cursor(after) if after else None

    def query(rows: Rows) -> tuple[list[Branch], str | None]:
        found = listings.roots_in_order(rows, namespace.number, place, limit + 1)
        page = found[:limit]
        branches = [_branch(rows, namespace.number, row, opened, ()) for row in page]
        has_more = 0 < limit < len(found)
        return branches, cursor_of(page[-1].pushed_at, page[-1].digest) if has_more else None

    roots, next_after = await registry.storage.read(query)
    digests = [branch.row.digest for root in roots for branch in _all(root)]
    noted = await pulled_of(registry, namespace.name, digests)
    return Tree(roots, next_after, {digest: noted.of(digest) for digest in digests})


def _branch(
    rows: Rows, namespace: int, row: RevisionRow, opened: Collection[str], above: tuple[str, ...]
) -> Branch:
    """One manifest; nothing is shown below itself."""
    related = related_of(rows, namespace, row.digest)
    listed = listings.parts_of(rows, namespace, row.digest, RELATED_MAX)
    known = {part.digest for part in listed}
    referring = [digest for digest in related.referrers if digest not in known]
    path = (*above, row.digest)
    is_open = row.digest in opened and len(path) < DEPTH_MAX
    parts: list[Branch] = []
    if is_open:
        others = [listings.find_revision(rows, namespace, digest) for digest in referring]
        parts = [
            _branch(rows, namespace, part, opened, path)
            for part in [*listed, *(other for other in others if other is not None)]
            if part.digest not in path
        ]
    absent = listings.count_absent_parts(rows, namespace, row.digest)
    count = len(known.union(referring).difference(path))
    return Branch(row, related.tags, len(above), count, absent, parts, is_open)


def _all(branch: Branch) -> list[Branch]:
    return [branch, *(each for part in branch.parts for each in _all(part))]
