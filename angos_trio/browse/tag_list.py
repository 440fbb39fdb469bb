"""The tags of a namespace in an order that people choose."""

from __future__ import annotations

from collections.abc import Sequence

from angos_trio.browse.cursors import cursor_of, parse_cursor
from angos_trio.browse.pulled import Pulled, pulled_of
from angos_trio.limits.lists import SAME_DIGEST_MAX
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.oci.natural import natural_key
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import listings
from angos_trio.storage.metadata.facets import ALL, Facets, TagFilter
from angos_trio.storage.metadata.listings import NamespaceRow, TagOrder, TagRow
from angos_trio.storage.transactions import Rows

SORTS = tuple(listings.ORDERS)
"""What tags can be sorted by."""


class ListedTag(Frozen):
    """A tag as a list shows it: `same_digest` are the first other tags of its manifest,
    `is_immutable` whether it may neither be moved nor deleted."""

    row: TagRow
    same_digest: list[str]
    pulled: Pulled
    is_immutable: bool


class TagPage(Frozen):
    """A page; `next_after` is where the next one begins."""

    tags: list[ListedTag]
    next_after: str | None


class WantedTags(Frozen):
    """Which tags, in which order: `after` is the cursor that a page before gave, or a tag."""

    size: int
    after: str = ""
    contains: str = ""
    sort: str = "name"
    is_descending: bool = False
    hides_fallback: bool = False
    facets: Facets = ALL

    @property
    def filter(self) -> TagFilter:
        """Which tags, in whatever order."""
        return TagFilter(self.contains.lower(), self.hides_fallback, self.facets)


def order_of(wanted: WantedTags) -> TagOrder:
    """The order, and where in it the page begins.

    Raises PAGINATION_NUMBER_INVALID (400) for a cursor of another one.
    """
    return TagOrder(
        wanted.sort,
        wanted.is_descending,
        _place(wanted) if wanted.after else None,
    )


async def list_tag_rows(registry: Registry, namespace: NamespaceRow, wanted: WantedTags) -> TagPage:
    """A page of tags that point to what is held. Raises as `order_of` does."""
    order = order_of(wanted)

    def query(rows: Rows) -> list[tuple[TagRow, list[str]]]:
        found = listings.tags_in_order(
            rows, namespace.number, order, wanted.filter, wanted.size + 1
        )
        return [(row, _others(rows, namespace.number, row)) for row in found]

    found = await registry.storage.read(query)
    has_more = 0 < wanted.size < len(found)
    page = found[: wanted.size]
    tags = await _listed(registry, RepositoryName(namespace.name), page)
    return TagPage(tags, _cursor(page[-1][0], wanted.sort) if has_more else None)


def _others(rows: Rows, namespace: int, row: TagRow) -> list[str]:
    names = listings.tags_of(rows, namespace, row.revision.digest, SAME_DIGEST_MAX + 1)
    return [name for name in names if name != row.name][:SAME_DIGEST_MAX]


async def _listed(
    registry: Registry, name: RepositoryName, page: Sequence[tuple[TagRow, list[str]]]
) -> list[ListedTag]:
    rule = registry.tag_rules.rule_for(name)
    pulled = await pulled_of(registry, name, [row.name for row, _ in page])
    return [
        ListedTag(row, others, pulled.of(row.name), rule.protects(Tag(row.name)))
        for row, others in page
    ]


def _cursor(row: TagRow, sort: str) -> str:
    place = listings.place_of(row, sort)
    return place[1] if sort == "name" else cursor_of(*place)


def _place(wanted: WantedTags) -> tuple[object, str]:
    if wanted.sort == "name":
        return natural_key(wanted.after), wanted.after
    return parse_cursor(wanted.after)
