"""The manifests of a namespace, with what refers to each and when it was pulled."""

from __future__ import annotations

from functools import partial

from angos_trio.browse.pulled import Pulled, pulled_of
from angos_trio.browse.selection import Wanted
from angos_trio.limits.lists import RELATED_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import listings
from angos_trio.storage.metadata.listings import NamespaceRow, RevisionRow
from angos_trio.storage.transactions import Rows


class Related(Frozen):
    """What stands around a manifest, at most so many of each: its tags in byte order, the indexes
    that list it, the oldest first, and its referrers in digest order."""

    tags: list[str]
    parents: list[str]
    referrers: list[str]


class Revision(Frozen):
    """A manifest as a list shows it."""

    row: RevisionRow
    related: Related
    pulled: Pulled


async def require_namespace(registry: Registry, name: RepositoryName) -> NamespaceRow:
    """A namespace that something was put into. Raises NAME_UNKNOWN (404)."""
    found = await registry.storage.read_point(partial(listings.find_namespace, name=name))
    if found is None:
        raise OciError(Code.NAME_UNKNOWN, detail=name)
    return found


class RevisionPage(Frozen):
    """A page; `next_after` is where the next one begins."""

    revisions: list[Revision]
    next_after: str | None


async def list_revisions(
    registry: Registry, namespace: NamespaceRow, wanted: Wanted
) -> RevisionPage:
    """Manifests by digest; of `wanted` the sort counts for nothing, there is one."""

    def query(rows: Rows) -> list[tuple[RevisionRow, Related]]:
        found = listings.revisions_in_order(
            rows,
            namespace.number,
            wanted.after,
            wanted.size + 1,
            contains=wanted.contains.lower(),
            is_descending=wanted.is_descending,
        )
        return [(row, related_of(rows, namespace.number, row.digest)) for row in found]

    found = await registry.storage.read(query)
    has_more = 0 < wanted.size < len(found)
    page = found[: wanted.size]
    pulled = await pulled_of(registry, namespace.name, [row.digest for row, _ in page])
    return RevisionPage(
        [Revision(row, related, pulled.of(row.digest)) for row, related in page],
        page[-1][0].digest if has_more else None,
    )


def related_of(rows: Rows, namespace: int, digest: str) -> Related:
    """What stands around a manifest."""
    return Related(
        tags=listings.tags_of(rows, namespace, digest, RELATED_MAX),
        parents=listings.indexes_above(rows, namespace, digest, RELATED_MAX),
        referrers=listings.referrers_of(rows, namespace, digest, RELATED_MAX),
    )
