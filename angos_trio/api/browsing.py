"""`/v2/_ext/`: lists of what is there, with the contract's keys first and more behind them.

A list is whole without `n` and a page with it. What its entries say comes from `browse`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from angos_trio.api.context import Runtime
from angos_trio.browse import repositories, revisions, tag_list
from angos_trio.browse.pulled import pulls_mark
from angos_trio.browse.repositories import Namespace, Repository
from angos_trio.browse.revisions import Revision, require_namespace
from angos_trio.browse.tag_list import ListedTag, WantedTags
from angos_trio.browse.uploads import Upload, list_uploads
from angos_trio.http.call import Call, Query
from angos_trio.http.reply import ListReply, Reply, json_reply
from angos_trio.limits import (
    FILTER_CHARACTERS_MAX,
    PAGE_ENTRIES_MAX,
    REVISIONS_AT_ONCE,
    TAGS_AT_ONCE,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.conditional import is_not_modified, weak_tag
from angos_trio.oci.pagination import next_link, parse_number
from angos_trio.oci.roles import names_of
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata.listings import NamespaceRow

Entries = AsyncGenerator[dict[str, Any], None]
_CODE = Code.PAGINATION_NUMBER_INVALID


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the query asks for: a page of `size` entries, or all of them."""

    size: int | None
    after: str
    contains: str
    sort: str
    is_descending: bool

    def link(self, call: Call, after: str) -> dict[str, str]:
        """The `Link` to the page behind a cursor."""
        asked = {name: call.query.one(name, _CODE) for name in ("q", "sort", "order")}
        parameters = {name: value for name, value in asked.items() if value}
        path = call.request.scope["path"]
        return {"Link": next_link(path, {"n": str(self.size), "after": after, **parameters})}


def _wanted(query: Query, sorts: Sequence[str]) -> _Wanted:
    """Raises PAGINATION_NUMBER_INVALID (400) for what there is not."""
    number, order = query.one("n", _CODE), query.one("order", _CODE)
    sort, contains = query.one("sort", _CODE), query.one("q", _CODE) or ""
    if sort not in (None, *sorts):
        raise OciError(_CODE, message=f"sort is one of: {', '.join(sorts)}", detail=sort)
    if order not in (None, "asc", "desc"):
        raise OciError(_CODE, message="order is asc or desc", detail=order)
    if len(contains) > FILTER_CHARACTERS_MAX:
        problem = f"q has at most {FILTER_CHARACTERS_MAX} characters"
        raise OciError(_CODE, message=problem, detail=len(contains))
    return _Wanted(
        size=None if number is None else min(parse_number(number), PAGE_ENTRIES_MAX),
        after=query.one("after", _CODE) or "",
        contains=contains,
        sort=sort or sorts[0],
        is_descending=order == "desc",
    )


class Browsing:
    """Handlers of the lists."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry

    async def repositories(self, call: Call) -> Reply:
        """GET: repositories, by name."""
        wanted = _wanted(call.query, ["name"])
        found = [
            repository
            for repository in await repositories.list_repositories(self._registry, call.caller)
            if repository.name > wanted.after and wanted.contains.lower() in repository.name
        ]
        if wanted.is_descending:
            found.reverse()
        page, link = found, {}
        if wanted.size is not None:
            page = found[: wanted.size]
            if 0 < len(page) < len(found):
                link = wanted.link(call, page[-1].name)
        return _tagged(call, {"repositories": [_repository(each) for each in page]}, link)

    async def namespaces(self, call: Call) -> Reply:
        """GET: the namespaces of a repository, by name; `after` is the `path` of an entry."""
        wanted = _wanted(call.query, ["name"])
        found = await repositories.find_repository(self._registry, call.caller, call.name)
        first = {"repository": _repository(found)}
        if wanted.size is None:
            entries = self._all_namespaces(call, wanted)
            return ListReply(200, key="namespaces", entries=entries, first=first)
        page: list[dict[str, Any]] = []
        after: str | None = wanted.after
        while after is not None and len(page) <= wanted.size:
            entries_here, after = await self._namespaces(call, wanted, after)
            page += entries_here
        has_more = 0 < wanted.size < len(page)
        page = page[: wanted.size]
        link = wanted.link(call, page[-1]["path"]) if has_more else {}
        return _tagged(call, {**first, "namespaces": page}, link)

    async def _namespaces(
        self, call: Call, wanted: _Wanted, after: str
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Some entries, and where the next ones begin."""
        batch = await repositories.list_namespaces(self._registry, call.caller, call.name, after)
        entries = [
            _namespace(namespace, call.name)
            for namespace in batch.namespaces
            if wanted.contains.lower() in namespace.row.name
        ]
        return entries, batch.next_after

    async def _all_namespaces(self, call: Call, wanted: _Wanted) -> Entries:
        after: str | None = wanted.after
        while after is not None:
            entries, after = await self._namespaces(call, wanted, after)
            for entry in entries:
                yield entry

    async def revisions(self, call: Call) -> Reply:
        """GET: the manifests of a namespace, by digest."""
        wanted = _wanted(call.query, ["digest"])
        namespace = await require_namespace(self._registry, call.name)
        headers = await self._etag(call, namespace)
        if is_not_modified(call.header("If-None-Match"), headers["ETag"]):
            return Reply(304, headers)
        if wanted.size is None:
            entries = _all_revisions(self._registry, namespace, wanted.after)
            return ListReply(200, headers, key="revisions", entries=entries)
        found = await revisions.list_revisions(
            self._registry, namespace, wanted.after, wanted.size + 1
        )
        page = found[: wanted.size]
        if 0 < len(page) < len(found):
            headers |= wanted.link(call, page[-1].row.digest)
        return json_reply(200, {"revisions": [_revision(each) for each in page]}, headers)

    async def tags(self, call: Call) -> Reply:
        """GET: the tags of a namespace, by name (as people order), time or size."""
        wanted = _wanted(call.query, tag_list.SORTS)
        namespace = await require_namespace(self._registry, call.name)
        headers = await self._etag(call, namespace)
        if is_not_modified(call.header("If-None-Match"), headers["ETag"]):
            return Reply(304, headers)
        some = partial(
            WantedTags,
            contains=wanted.contains,
            sort=wanted.sort,
            is_descending=wanted.is_descending,
        )
        if wanted.size is None:
            tag_list.order_of(some(0, wanted.after))  # refused before the answer begins
            entries = _all_tags(self._registry, namespace, some, wanted.after)
            return ListReply(200, headers, key="tags", entries=entries)
        page = await tag_list.list_tag_rows(
            self._registry, namespace, some(wanted.size, wanted.after)
        )
        if page.next_after is not None:
            headers |= wanted.link(call, page.next_after)
        return json_reply(200, {"tags": [_tag(each) for each in page.tags]}, headers)

    async def uploads(self, call: Call) -> Reply:
        """GET: the upload sessions of a namespace, by their ids."""
        wanted = _wanted(call.query, ["uuid"])
        size = PAGE_ENTRIES_MAX if wanted.size is None else wanted.size
        found = await list_uploads(self._registry, call.name, wanted.after, size + 1)
        page = found[:size]
        link = wanted.link(call, page[-1].session) if 0 < len(page) < len(found) else {}
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


async def _all_revisions(registry: Registry, namespace: NamespaceRow, after: str) -> Entries:
    while True:
        found = await revisions.list_revisions(registry, namespace, after, REVISIONS_AT_ONCE)
        for revision in found:
            yield _revision(revision)
        if len(found) < REVISIONS_AT_ONCE:
            return
        after = found[-1].row.digest


async def _all_tags(
    registry: Registry, namespace: NamespaceRow, some: partial[WantedTags], after: str
) -> Entries:
    cursor: str | None = after
    while cursor is not None:
        page = await tag_list.list_tag_rows(registry, namespace, some(TAGS_AT_ONCE, cursor))
        for tag in page.tags:
            yield _tag(tag)
        cursor = page.next_after


def _repository(repository: Repository) -> dict[str, Any]:
    rule = repository.rule
    return {
        "name": repository.name,
        "namespaces": repository.namespaces,
        "is_pull_through": False,
        "immutable_tags": rule.is_immutable,
        "configured": repository.is_configured,
        "immutable_tags_exclusions": [pattern.pattern for pattern in rule.exclusions],
        "manifests": repository.manifests,
        "tags": repository.tags,
        "uploads": repository.uploads,
        "held_bytes": repository.held_bytes,
        "last_pushed_at": repository.last_pushed_at,
    }


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


def _revision(revision: Revision) -> dict[str, Any]:
    row, related, pulled = revision.row, revision.related, revision.pulled
    return {
        "digest": row.digest,
        "media_type": row.media_type,
        "tags": related.tags,
        "parent": related.parents[0] if related.parents else None,
        "pushed_at": row.pushed_at,
        "last_pulled_at": pulled.last_at,
        "parents": related.parents,
        "referrers": related.referrers,
        "subject": row.subject,
        "kind": row.role or row.kind,
        "artifact_type": row.artifact_type,
        "size": row.size,
        "total_size": row.total_size,
        "platforms": row.platforms,
        "attached": names_of(row.attached),
        "pushed_by": row.pushed_by,
        "pushed_at_iso": iso(row.pushed_at),
        "pull_count": pulled.count,
    }


def _tag(tag: ListedTag) -> dict[str, Any]:
    row, revision = tag.row, tag.row.revision
    return {
        "name": row.name,
        "digest": revision.digest,
        "media_type": revision.media_type,
        "kind": revision.role or revision.kind,
        "artifact_type": revision.artifact_type,
        "size": revision.size,
        "total_size": revision.total_size,
        "platforms": revision.platforms,
        "attached": names_of(revision.attached),
        "pushed_at": row.updated_at,
        "pushed_by": row.updated_by,
        "pushed_at_iso": iso(row.updated_at),
        "last_pulled_at": tag.pulled.last_at,
        "pull_count": tag.pulled.count,
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


def iso(at: int) -> str | None:
    """A time in epoch seconds as people and other programs read it (RFC 3339)."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
