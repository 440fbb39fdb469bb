"""What is attached to a manifest: everything whose subject it is, some at a time, and what older
clients have tagged after its digest."""

from __future__ import annotations

from typing import Final

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.oci.referrers import fallback_tag
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import listings, namespaces, tags
from angos_trio.storage.metadata.listings import RevisionRow
from angos_trio.storage.transactions import Rows

_SUFFIXES: Final = ("sig", "att", "sbom")
"""By which cosign tags what is about the digest in the rest of the tag."""


class AttachedPage(Frozen):
    """Referrers in digest order; `next_after` is the digest behind which the next page begins."""

    rows: list[RevisionRow]
    next_after: str | None


async def list_attached(
    registry: Registry, name: RepositoryName, digest: Digest, after: str, limit: int
) -> AttachedPage:
    """So many referrers of a manifest, strictly behind a digest. Nothing of it is verified."""

    def query(rows: Rows) -> list[RevisionRow]:
        namespace = namespaces.find(rows, name)
        if namespace is None:
            return []
        return listings.attached_to(rows, namespace, digest, after, limit + 1)

    found = await registry.storage.read(query)
    page = found[:limit]
    return AttachedPage(page, page[-1].digest if len(found) > limit else None)


async def tagged_after(
    registry: Registry, name: RepositoryName, digest: Digest
) -> list[RevisionRow]:
    """What tags such as `sha256-….sig` point to, without what says itself what it is about."""

    def query(rows: Rows) -> list[RevisionRow]:
        namespace = namespaces.find(rows, name)
        if namespace is None:
            return []
        found = []
        for suffix in _SUFFIXES:
            target = tags.find(rows, namespace, Tag(f"{fallback_tag(digest)}.{suffix}"))
            row = None if target is None else listings.find_revision(rows, namespace, target)
            if row is not None and row.subject != digest:
                found.append(row)
        return found

    return await registry.storage.read(query)
