"""Listing: tags, the catalog and referrers. A page costs a page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from angos_trio.identity import Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.requests import (
    CATALOG_ROWS_AT_ONCE,
    EXAMINED_PER_ENTRY_MAX,
    REFERRERS_PAGE_BYTES,
    REFERRERS_PAGE_ENTRIES,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.pagination import Page, cut
from angos_trio.oci.referrers import (
    Referrer,
    cut_page,
    fallback_tag,
    merge,
    parse_fallback_index,
)
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import manifests, namespaces, tags
from angos_trio.storage.transactions import Rows


class Listing(Frozen):
    """A page of names; `next_after` is where the next one begins, None when there is none.

    `next_behind` is the number of a namespace that the next page begins behind as well, where its
    name is not for the caller to know.
    """

    names: list[str]
    next_after: str | None
    next_behind: int | None = None


async def list_tags(registry: Registry, name: RepositoryName, page: Page) -> Listing:
    """Tags in byte order. Raises NAME_UNKNOWN (404) for a namespace that never held anything."""

    def query(rows: Rows) -> list[str] | None:
        namespace = namespaces.find(rows, name)
        if namespace is None:
            return None
        return tags.list_names(rows, namespace, page.last, page.size + 1)

    found = await registry.storage.read(query)
    if found is None:
        raise OciError(Code.NAME_UNKNOWN, detail=name)
    names, has_more = cut(found, page)
    return Listing(names, names[-1] if has_more else None)


async def list_catalog(
    registry: Registry, caller: Caller, page: Page, behind: int | None = None
) -> Listing:
    """Namespaces that hold a manifest and that the caller may see, in byte order.

    At most ten names are examined for each one asked for, so a page may be short and still be
    followed by another. `behind` is what the page before gave.
    """
    seen: list[str] = []
    after = await _beginning(registry, page, behind)
    left = EXAMINED_PER_ENTRY_MAX * page.size
    deadline = trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX
    while len(seen) < page.size and left > 0:
        count = min(CATALOG_ROWS_AT_ONCE, left)
        found = await registry.storage.read(
            partial(namespaces.list_with_content, after=after, limit=count + 1)
        )
        await caller.learn(found[:count], deadline)
        for name in found[:count]:
            if len(seen) == page.size:
                return await _cut(registry, page, seen, after)
            after, left = name, left - 1
            if caller.sees(name):
                seen.append(name)
        if len(found) <= count:
            return Listing(seen, None)
    return await _cut(registry, page, seen, after) if page.size else Listing(seen, None)


async def _beginning(registry: Registry, page: Page, behind: int | None) -> str:
    """The name after which a page of the catalog begins; a number that is gone says nothing."""
    if behind is None:
        return page.last
    hidden = await registry.storage.read_point(lambda rows: namespaces.name_of(rows, behind))
    return max(page.last, hidden or "")


async def _cut(registry: Registry, page: Page, seen: list[str], after: str) -> Listing:
    """A page that ends at a name. One that the caller does not see is told by its number."""
    last = seen[-1] if seen else page.last
    if last == after:
        return Listing(seen, after)
    name = RepositoryName(after)
    number = await registry.storage.read_point(lambda rows: namespaces.find(rows, name))
    return Listing(seen, last, number)


class ReferrersPage(Frozen):
    """Referrers in digest order; `has_more` when another page follows the last of them."""

    referrers: list[Referrer]
    has_more: bool


async def list_referrers(
    registry: Registry,
    name: RepositoryName,
    subject: Digest,
    artifact_type: str | None,
    after: str,
    elsewhere: Sequence[Referrer] = (),
) -> ReferrersPage:
    """Manifests that name the subject, with those of the fallback tag's index merged in, and those
    that are known `elsewhere`.

    The filter is applied before the page is cut. An unknown subject has no referrers.
    """
    more = [entry for entry in elsewhere if entry.digest > after]

    def query(rows: Rows) -> list[Referrer]:
        namespace = namespaces.find(rows, name)
        if namespace is None:
            return merge([], more, artifact_type)
        stored = manifests.list_referrers(
            rows,
            namespace,
            subject,
            artifact_type=artifact_type,
            after=after,
            limit=REFERRERS_PAGE_ENTRIES + 1,
        )
        fallback = _fallback(rows, namespace, subject, after)
        return merge(stored, [*more, *fallback], artifact_type)

    found = await registry.storage.read(query)
    page, has_more = cut_page(found, REFERRERS_PAGE_ENTRIES, REFERRERS_PAGE_BYTES)
    return ReferrersPage(page, has_more)


def _fallback(rows: Rows, namespace: int, subject: Digest, after: str) -> list[Referrer]:
    """The fallback index's entries after a digest, as far as the namespace still holds them."""
    digest = tags.find(rows, namespace, fallback_tag(subject))
    body = None if digest is None else manifests.read_body(rows, digest)
    if body is None:
        return []
    following = sorted(
        (entry for entry in parse_fallback_index(body) if entry.digest > after),
        key=lambda entry: entry.digest,
    )
    return [entry for entry in following if _is_word_of_index(rows, namespace, subject, entry)]


def _is_word_of_index(rows: Rows, namespace: int, subject: Digest, entry: Referrer) -> bool:
    """Whether the manifest is held and does not name the subject itself, which would count more."""
    found = manifests.find_subject(rows, namespace, entry.digest)
    return found is not None and found[0] != subject
