"""`/v2/_ext/`: lists of what is there, with the contract's keys first and more behind them.

A list is whole without `n` and a page with it. What its entries say comes from `browse`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any, Final

from angos_trio.api.context import Runtime
from angos_trio.browse import overview, repositories, revisions, tag_list
from angos_trio.browse.cursors import parse_cursor
from angos_trio.browse.facets import EVERYTHING, KINDS, STATES, UNTAGGED, Chosen, list_untagged
from angos_trio.browse.overview import NAMESPACE_ORDERS, REPOSITORY_ORDERS
from angos_trio.browse.pulled import Pulled, pulls_mark
from angos_trio.browse.repositories import Namespace, Repository
from angos_trio.browse.revisions import Related, Revision, require_namespace
from angos_trio.browse.selection import NAME
from angos_trio.browse.selection import Wanted as Selected
from angos_trio.browse.tag_list import ListedTag, WantedTags
from angos_trio.browse.uploads import Upload, list_uploads
from angos_trio.clock import iso
from angos_trio.http.call import Call, Query
from angos_trio.http.reply import ListReply, Reply, json_reply
from angos_trio.limits.lists import FILTER_CHARACTERS_MAX, REVISIONS_AT_ONCE, TAGS_AT_ONCE
from angos_trio.limits.requests import PAGE_ENTRIES_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.conditional import is_not_modified, weak_tag
from angos_trio.oci.pagination import next_link, parse_number
from angos_trio.oci.platform import is_platform
from angos_trio.oci.roles import names_of
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata.listings import NamespaceRow, RevisionRow

ALL: Final = 2**31
"""More repositories than there are; they are added up in memory anyway."""
Entries = AsyncGenerator[dict[str, Any], None]
_CODE = Code.PAGINATION_NUMBER_INVALID
FACETS: Final = ("kind", "platform", "state")
"""What some lists can be chosen by."""
_KEPT: Final = ("q", "sort", "order", *FACETS)
"""What the `Link` to the next page says again."""


class _Wanted(Frozen):
    """What the query asks for: a page of `size` entries, or all of them."""

    size: int | None
    after: str
    contains: str
    sort: str
    is_descending: bool
    chosen: Chosen = EVERYTHING

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the list, in the order in which it is read."""
        return self.size is None and self.sort == NAME and not self.is_descending

    def selection(self, most: int = PAGE_ENTRIES_MAX) -> Selected:
        """A page, of so many entries where none is asked for."""
        size = most if self.size is None else self.size
        return Selected(size, self.after, self.contains, self.sort, self.is_descending)

    def link(self, call: Call, after: str | None) -> dict[str, str]:
        """The `Link` to the page behind a cursor, if there is one."""
        if after is None:
            return {}
        asked = {name: call.query.one(name, _CODE) for name in _KEPT}
        parameters = {name: value for name, value in asked.items() if value}
        size = str(self.selection().size)
        path = call.request.scope["path"]
        return {"Link": next_link(path, {"n": size, "after": after, **parameters})}


def _wanted(query: Query, sorts: Sequence[str]) -> _Wanted:
    """Raises PAGINATION_NUMBER_INVALID (400) for what there is not; a list without `sorts` has
    neither a filter nor another order."""
    asked = {name: query.one(name, _CODE) for name in ("n", "after", "q", "sort", "order")}
    number, contains, sort, order = asked["n"], asked["q"] or "", asked["sort"], asked["order"]
    if not sorts and (contains or sort or order):
        raise OciError(
            _CODE, message="this list has one order and no filter", detail=contains or sort or order
        )
    if sort not in (None, *sorts):
        raise OciError(_CODE, message=f"sort is one of: {', '.join(sorts)}", detail=sort)
    if order not in (None, "asc", "desc"):
        raise OciError(_CODE, message="order is asc or desc", detail=order)
    if len(contains) > FILTER_CHARACTERS_MAX:
        problem = f"q has at most {FILTER_CHARACTERS_MAX} characters"
        raise OciError(_CODE, message=problem, detail=len(contains))
    return _Wanted(
        size=None if number is None else min(parse_number(number), PAGE_ENTRIES_MAX),
        after=asked["after"] or "",
        contains=contains,
        sort=sort or next(iter(sorts), NAME),
        is_descending=order == "desc",
    )


def _chosen(query: Query, wanted: _Wanted, states: Sequence[str]) -> _Wanted:
    """The same, as far as a list can be chosen by what its rows are.

    Raises PAGINATION_NUMBER_INVALID (400) for what there is not.
    """
    asked = {name: query.one(name, _CODE) or "" for name in FACETS}
    for name, known in (("kind", KINDS), ("state", states)):
        if asked[name] and asked[name] not in known:
            raise OciError(_CODE, message=f"{name} is one of: {', '.join(known)}", detail=name)
    if asked["platform"] and not is_platform(asked["platform"]):
        raise OciError(_CODE, message="platform is os/architecture", detail=asked["platform"])
    return replace(wanted, chosen=Chosen(**asked))


class Browsing:
    """Handlers of the lists."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry

    async def repositories(self, call: Call) -> Reply:
        """GET: repositories."""
        wanted = _wanted(call.query, ("name", *REPOSITORY_ORDERS))
        page, _ = await overview.page_of_repositories(
            self._registry, call.caller, wanted.selection(ALL)
        )
        link = wanted.link(call, page.next_after)
        return _tagged(call, {"repositories": [self._repository(each) for each in page.rows]}, link)

    def _repository(self, repository: Repository) -> dict[str, Any]:
        rule = repository.rule
        return {
            "name": repository.name,
            "namespaces": repository.namespaces,
            "is_pull_through": not self._registry.takes_pushes(repository.name),
            "immutable_tags": rule.is_immutable,
            "configured": repository.is_configured,
            "immutable_tags_exclusions": [pattern.pattern for pattern in rule.exclusions],
            "manifests": repository.manifests,
            "tags": repository.tags,
            "uploads": repository.uploads,
            "held_bytes": repository.held_bytes,
            "last_pushed_at": repository.last_pushed_at,
        }

    async def namespaces(self, call: Call) -> Reply:
        """GET: the namespaces of a repository."""
        wanted = _wanted(call.query, ("name", *NAMESPACE_ORDERS))
        if repositories.owner_of(self._registry, call.name) != call.name:
            raise OciError(Code.NAME_UNKNOWN, detail=call.name)
        below = await overview.look_below(
            self._registry, call.caller, call.name, wanted.selection()
        )
        if not below.sums.namespaces and not below.sums.is_configured:
            raise OciError(Code.NAME_UNKNOWN, detail=call.name)
        first = {"repository": self._repository(below.sums)}
        if wanted.is_whole:
            entries = self._all_namespaces(call, wanted)
            return ListReply(200, key="namespaces", entries=entries, first=first)
        page = below.page
        entries_here = [_namespace(each, call.name) for each in page.rows]
        link = wanted.link(call, page.next_after)
        return _tagged(call, {**first, "namespaces": entries_here}, link)

    async def _all_namespaces(self, call: Call, wanted: _Wanted) -> Entries:
        after: str | None = wanted.after
        while after is not None:
            batch = await repositories.list_namespaces(
                self._registry, call.caller, call.name, after
            )
            for namespace in batch.namespaces:
                if wanted.contains.lower() in namespace.row.name:
                    yield _namespace(namespace, call.name)
            after = batch.next_after

    async def revisions(self, call: Call) -> Reply:
        """GET: the manifests of a namespace, by digest."""
        wanted = _chosen(call.query, _wanted(call.query, ("digest",)), (UNTAGGED,))
        namespace = await require_namespace(self._registry, call.name)
        headers = await self._etag(call, namespace)
        if is_not_modified(call.header("If-None-Match"), headers["ETag"]):
            return Reply(304, headers)
        if wanted.chosen.is_any:
            return await self._untagged(call, namespace, wanted, headers)
        if wanted.size is None:
            entries = _all_revisions(self._registry, namespace, wanted)
            return ListReply(200, headers, key="revisions", entries=entries)
        page = await revisions.list_revisions(self._registry, namespace, wanted.selection())
        headers |= wanted.link(call, page.next_after)
        document = {"revisions": [_revision(each) for each in page.revisions]}
        return json_reply(200, document, headers)

    async def _untagged(
        self, call: Call, namespace: NamespaceRow, wanted: _Wanted, headers: dict[str, str]
    ) -> Reply:
        """The manifests without a tag."""
        asked = [call.query.one(name, _CODE) for name in ("sort", "order")]
        if not wanted.chosen.is_untagged or any(asked):
            problem = "kind and platform are chosen of state=untagged, which is the newest first"
            raise OciError(_CODE, message=problem, detail=UNTAGGED)
        some = partial(WantedTags, contains=wanted.contains, facets=wanted.chosen.facets)
        if wanted.size is None:
            if wanted.after:
                parse_cursor(wanted.after)  # refused before the answer begins
            entries = _all_untagged(self._registry, namespace, some, wanted.after)
            return ListReply(200, headers, key="revisions", entries=entries)
        page = await list_untagged(self._registry, namespace, some(wanted.size, wanted.after))
        headers |= wanted.link(call, page.next_after)
        document = {"revisions": [_revision(each) for each in page.revisions]}
        return json_reply(200, document, headers)

    async def tags(self, call: Call) -> Reply:
        """GET: the tags of a namespace, by name (as people order), time or size."""
        states = [state for state in STATES if state != UNTAGGED]
        wanted = _chosen(call.query, _wanted(call.query, tag_list.SORTS), states)
        namespace = await require_namespace(self._registry, call.name)
        headers = await self._etag(call, namespace)
        if is_not_modified(call.header("If-None-Match"), headers["ETag"]):
            return Reply(304, headers)
        some = partial(
            WantedTags,
            contains=wanted.contains,
            sort=wanted.sort,
            is_descending=wanted.is_descending,
            facets=wanted.chosen.facets,
        )
        if wanted.size is None:
            tag_list.order_of(some(0, wanted.after))  # refused before the answer begins
            entries = _all_tags(self._registry, namespace, some, wanted.after)
            return ListReply(200, headers, key="tags", entries=entries)
        page = await tag_list.list_tag_rows(
            self._registry, namespace, some(wanted.size, wanted.after)
        )
        headers |= wanted.link(call, page.next_after)
        return json_reply(200, {"tags": [_tag(each) for each in page.tags]}, headers)

    async def uploads(self, call: Call) -> Reply:
        """GET: the upload sessions of a namespace, by their ids."""
        wanted = _wanted(call.query, ())
        size = wanted.selection().size
        found = await list_uploads(self._registry, call.name, wanted.after, size + 1)
        page = found[:size]
        link = wanted.link(call, page[-1].session if 0 < len(page) < len(found) else None)
        return _tagged(call, {"uploads": [_upload(each) for each in page]}, link)

    async def _etag(self, call: Call, namespace: NamespaceRow) -> dict[str, str]:
        """The entity tag of a list: it changes with the namespace, its pulls, rules and query."""
        rule = self._registry.tag_rules.rule_for(call.name)
        mark = await pulls_mark(self._registry, call.name)
        query = call.request.query_string.decode("latin-1")
        text = f"{namespace.number} {namespace.generation} {mark} {rule} {query}"
        return {"ETag": weak_tag(text), "Cache-Control": "private, no-cache"}


def _tagged(call: Call, document: object, headers: dict[str, str]) -> Reply:
    """A list with an entity tag of what it says."""
    reply = json_reply(200, document, {**headers, "Cache-Control": "private, no-cache"})
    content = reply.body if isinstance(reply.body, bytes) else b""
    tag = weak_tag(f"{hashlib.sha256(content).hexdigest()} {sorted(headers.items())}")
    reply.headers["ETag"] = tag
    if is_not_modified(call.header("If-None-Match"), tag):
        return Reply(304, {"ETag": tag, "Cache-Control": "private, no-cache"})
    return reply


async def _all_revisions(registry: Registry, namespace: NamespaceRow, wanted: _Wanted) -> Entries:
    cursor: str | None = wanted.after
    while cursor is not None:
        some = replace(wanted.selection(REVISIONS_AT_ONCE), after=cursor)
        page = await revisions.list_revisions(registry, namespace, some)
        for revision in page.revisions:
            yield _revision(revision)
        cursor = page.next_after


async def _all_untagged(
    registry: Registry, namespace: NamespaceRow, some: partial[WantedTags], after: str
) -> Entries:
    cursor: str | None = after
    while cursor is not None:
        page = await list_untagged(registry, namespace, some(REVISIONS_AT_ONCE, cursor))
        for revision in page.revisions:
            yield _revision(revision)
        cursor = page.next_after


async def _all_tags(
    registry: Registry, namespace: NamespaceRow, some: partial[WantedTags], after: str
) -> Entries:
    cursor: str | None = after
    while cursor is not None:
        page = await tag_list.list_tag_rows(registry, namespace, some(TAGS_AT_ONCE, cursor))
        for tag in page.tags:
            yield _tag(tag)
        cursor = page.next_after


def _namespace(namespace: Namespace, repository: str) -> dict[str, Any]:
    row = namespace.row
    return {
        "name": repositories.relative_name(row.name, repository),
        "manifests": row.manifest_count,
        "uploads": namespace.uploads,
        "path": row.name,
        "tags": row.tag_count,
        "held_bytes": row.held_bytes,
        "last_pushed_at": row.last_pushed_at,
    }


def manifest_fields(row: RevisionRow) -> dict[str, Any]:
    """What is recorded of a manifest."""
    return {
        "digest": row.digest,
        "media_type": row.media_type,
        "kind": row.role or row.kind,
        "artifact_type": row.artifact_type,
        "subject": row.subject,
        "size": row.size,
        "total_size": row.total_size,
        "platforms": row.platforms,
        "attached": names_of(row.attached),
        **pushed_fields(row.pushed_at, row.pushed_by),
    }


def pushed_fields(at: int, by: str) -> dict[str, Any]:
    """When something was pushed, and by whom."""
    return {"pushed_at": at, "pushed_by": by, "pushed_at_iso": iso(at)}


def pulled_fields(pulled: Pulled) -> dict[str, Any]:
    """When something was pulled, and how often."""
    return {"last_pulled_at": pulled.last_at, "pull_count": pulled.count}


def related_fields(related: Related) -> dict[str, Any]:
    """What stands around a manifest."""
    return {
        "tags": related.tags,
        "parents": related.parents,
        "referrers": related.referrers,
    }


def _revision(revision: Revision) -> dict[str, Any]:
    """The keys of the contract stand first."""
    row, related = revision.row, revision.related
    return {
        "digest": row.digest,
        "media_type": row.media_type,
        "tags": related.tags,
        "parent": related.parents[0] if related.parents else None,
        "pushed_at": row.pushed_at,
        **pulled_fields(revision.pulled),
        **related_fields(related),
        **manifest_fields(row),
    }


def _tag(tag: ListedTag) -> dict[str, Any]:
    row = tag.row
    return {
        "name": row.name,
        **manifest_fields(row.revision),
        **pushed_fields(row.updated_at, row.updated_by),
        **pulled_fields(tag.pulled),
        "immutable": tag.is_immutable,
        "same_digest": tag.same_digest,
    }


def _upload(upload: Upload) -> dict[str, Any]:
    return {
        "uuid": upload.session,
        "size": upload.size,
        "started_at": upload.started_at,
        "started_at_iso": iso(upload.started_at),
        "actor": upload.owner,
        "idle_secs": upload.idle_secs,
    }
