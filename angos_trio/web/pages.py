"""Pages of repositories and of what is in them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from angos_trio.browse import overview, repositories, tag_list, tree
from angos_trio.browse.facets import Counted, count_rows, list_untagged
from angos_trio.browse.folders import is_foldable, look_at_folders
from angos_trio.browse.overview import NAMESPACE_ORDERS, REPOSITORY_ORDERS, Below
from angos_trio.browse.pulled import pulls_mark
from angos_trio.browse.repositories import Namespace, Repository
from angos_trio.browse.rights import rights_of
from angos_trio.browse.selection import Wanted
from angos_trio.browse.tag_list import TagPage, WantedTags
from angos_trio.browse.uploads import Upload, list_uploads
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action, Target
from angos_trio.limits.lists import FILTER_CHARACTERS_MAX, FOLDED_FROM, FOLDED_LESS
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import listings
from angos_trio.storage.metadata.listings import NamespaceRow, RevisionRow
from angos_trio.web.around import show_page
from angos_trio.web.asking import Asked, Choices, Link, asked_of, first_page
from angos_trio.web.below import (
    FOLDER_COLUMNS,
    NAMESPACE_COLUMNS,
    folder_row,
    kept_in_words,
    namespace_row,
    rights_in_words,
)
from angos_trio.web.facets import FACETS, chosen_of, fields_of, pairs_of
from angos_trio.web.frame import Site, crumbs_to
from angos_trio.web.freshness import current_tag
from angos_trio.web.headers import page_headers
from angos_trio.web.lists import Counts, ListView, list_view
from angos_trio.web.live import CURSOR, live_of
from angos_trio.web.offers import deletable_of
from angos_trio.web.places import path_of
from angos_trio.web.recipes import IMAGES, Recipe, pull_command, recipes_for, stanza_for
from angos_trio.web.strip import strip_of
from angos_trio.web.words import counted, size

EXAMPLE: Final = "demo"
"""A repository for those who have none."""
BELOW_MAX: Final = 12
"""Namespaces below one that its page names."""
UPLOADS_MAX: Final = 50
"""Upload sessions that a page names."""
_REPOSITORIES: Final = Choices(("name", *REPOSITORY_ORDERS))
_NAMESPACES: Final = Choices(("name", *NAMESPACE_ORDERS), ("below", "folders", "tags", "tree"))
_TAGS: Final = Choices(
    ("pushed", "name", "size"),
    ("below", "tags", "tree"),
    is_descending=True,
    shows=("all",),
    facets=FACETS,
)
_REPOSITORY_COLUMNS: Final = (
    *(("name", "Repository"), ("namespaces", "Namespaces"), ("tags", "Tags"), ("size", "Size")),
    *(("-uploads", "Uploads"), ("pushed", "Last push")),
)
_TAG_COLUMNS: Final = (
    *(("name", "Tag"), ("-digest", "Manifest"), ("-what", "What it is"), ("size", "Size")),
    *(("pushed", "Pushed"), ("-pulled", "Pulls"), ("-do", "")),
)


class Pages:
    """Handlers of pages."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site
        # These handlers are made anew with each configuration: rights and rules are as they are.
        self._made = secrets.token_hex(8)

    async def home(self, call: Call) -> Reply:
        """GET: repositories."""
        asked = asked_of("/", call.query, _REPOSITORIES)
        look = partial(overview.page_of_repositories, self._registry, call.caller)
        try:
            page, total = await look(_wanted(asked))
        except OciError as error:
            asked = first_page(asked, error)
            page, total = await look(_wanted(asked))
        counts = Counts(total, page.matching, "repository", "repositories")
        view = list_view(asked, _REPOSITORY_COLUMNS, counts, page.next_after)
        is_empty = not asked.contains and not asked.after and not any(r.tags for r in page.rows)
        name = page.rows[0].name if page.rows else EXAMPLE
        values = {
            "title": self._site.name,
            "list": view,
            "rows": page.rows,
            "answer": _sums_of(page.rows, total),
            "recipes": self._recipes(call, name) if is_empty else None,
            "stanza": stanza_for(EXAMPLE),
            "strip": await strip_of(self._registry, self._site, call),
            "notices": asked.notices,
        }
        return await self._show(call, "repositories.html", values)

    async def repository(self, call: Call) -> Reply:
        """GET: the namespaces of a repository; or its tags, where it has no other namespace."""
        if _view_of(call) in ("tags", "tree"):
            return await self._tags_of(call)
        found = await self._look_below(call)
        below, asked = found
        if below.is_namespace and below.sums.namespaces == 1 and not asked.view:
            return await self._tags_of(call)
        return await self._below(call, below, asked)

    async def namespace(self, call: Call) -> Reply:
        """GET: the tags of a namespace; or what is below a name that holds nothing itself."""
        row = await self._find(call.name)
        if _view_of(call) not in ("below", "folders") and row is not None and row.manifest_count:
            return await self._tags(call, row)
        if not await self._may(call, Action.LIST_NAMESPACES):
            raise OciError(Code.NAME_UNKNOWN, detail=call.name)
        below, asked = await self._look_below(call)
        if below.is_namespace and below.sums.namespaces == 1 and not asked.view:
            return await self._tags(call, row or NamespaceRow(0, call.name))
        return await self._below(call, below, asked)

    async def _look_below(self, call: Call) -> tuple[Below, Asked]:
        """What is below the name of a page. Raises NAME_UNKNOWN (404)."""
        asked = asked_of(path_of(call.name), call.query, _NAMESPACES)
        look = partial(overview.look_below, self._registry, call.caller, call.name)
        try:
            return await look(_wanted(asked)), asked
        except OciError as error:
            asked = first_page(asked, error)
            return await look(_wanted(asked)), asked

    async def _below(self, call: Call, below: Below, asked: Asked) -> Reply:
        name, sums = call.name, below.sums
        owner = repositories.owner_of(self._registry, name)
        folded = await self._folded(call, below, asked)
        sources = self._site.sources(name)
        values = {
            "title": name,
            "crumbs": crumbs_to(name, owner),
            "name": name,
            "is_repository": owner == name,
            "sums": sums,
            "answer": _answer(sums),
            **(folded or _unfolded(below, asked, name)),
            "views": self._views(below, asked, is_folded=folded is not None),
            "policy": await self._in_words(call, below, is_repository=owner == name),
            "inner": below.inner,
            "has_own": below.is_namespace,
            "own_href": Link(path_of(name)).having(view="tags"),
            "sources": sources,
            "recipes": None if sums.namespaces or sources else self._recipes(call, name),
            "notices": asked.notices,
        }
        return await self._show(call, "repository.html", values)

    async def _folded(self, call: Call, below: Below, asked: Asked) -> dict[str, Any] | None:
        """The folders of a page, where it shows them: a filter looks through all namespaces."""
        name, caller = call.name, call.caller
        if asked.contains or asked.view == "below":
            return None
        count = below.sums.namespaces
        if not asked.view and not await is_foldable(self._registry, caller, name, count):
            return None
        page = await look_at_folders(self._registry, caller, name, _wanted(asked))
        if not asked.view and page.matching * FOLDED_LESS > count:
            return None
        counts = Counts(page.matching, page.matching, "folder")
        return {
            "list": list_view(asked, FOLDER_COLUMNS, counts, page.next_after),
            "folders": [folder_row(folder, name) for folder in page.rows],
            "rows": (),
        }

    def _views(self, below: Below, asked: Asked, *, is_folded: bool) -> list[tuple[str, str, bool]]:
        """The ways to look at many namespaces, with their addresses."""
        if below.sums.namespaces <= FOLDED_FROM and not asked.view:
            return []
        link = Link(asked.link.path)
        return [
            ("Folders", link.having(view="folders"), is_folded),
            ("Namespaces", link.having(view="below"), not is_folded),
        ]

    async def _in_words(self, call: Call, below: Below, *, is_repository: bool) -> str:
        """What is kept and what the caller may do, where one repository decides it."""
        if below.inner and not is_repository:
            return ""
        rules = len(self._registry.retention.policy_for(call.name).rules)
        kept = kept_in_words(rules, self._registry.limits.untagged_secs)
        rights = await rights_of(call.caller, call.name)
        rights["push"] &= self._registry.takes_pushes(call.name)
        return f"{kept} {rights_in_words(rights)}"

    async def _tags_of(self, call: Call) -> Reply:
        """The tags of a repository that is a namespace too."""
        await self._require(call, Action.LIST_TAGS)
        row = await self._find(call.name)
        if row is None and not await self._uploads(call):
            raise OciError(Code.NAME_UNKNOWN, detail=call.name)
        return await self._tags(call, row or NamespaceRow(0, call.name))

    async def _tags(self, call: Call, row: NamespaceRow) -> Reply:
        asked = asked_of(path_of(call.name), call.query, _TAGS)
        read, view = self._tag_rows, "tags"
        if asked.view == "tree":
            read, view = self._tree, "tree"
        elif chosen_of(asked.facets).is_untagged:
            read, view = self._untagged, "untagged"
        if view != "tags":
            await self._require(call, Action.LIST_REVISIONS)
        uploads = await self._uploads(call)
        below, has_more = await overview.first_below(
            self._registry, call.caller, call.name, BELOW_MAX
        )
        # The bytes of an upload change without a change of the namespace, and so does what a
        # webhook says.
        is_steady = not uploads and not self._site.has_webhooks
        mark = await self._mark(call, row, below, has_more) if is_steady else ""
        tag = current_tag(call.header("If-None-Match"), mark, self._site.now())
        if mark and tag:
            return Reply(304, {"ETag": tag, **page_headers(self._site.url_of(call.request))})
        try:
            values = await read(call, row, asked)
        except OciError as error:
            asked = first_page(asked, error)
            values = await read(call, row, asked)
        owner = repositories.owner_of(self._registry, call.name)
        link = Link(path_of(call.name))
        is_own = owner == call.name
        values |= {
            "title": f"{call.name}",
            "crumbs": crumbs_to(call.name, owner),
            "name": call.name,
            "namespace": row,
            "rule": self._registry.tag_rules.rule_for(call.name),
            "answer": _holds(row),
            "view": view,
            "sees_exclusive": await self._may(call, Action.GET_MANIFEST),
            "views": [
                ("Tags", link.having(view="tags" if is_own else ""), asked.view != "tree"),
                ("Manifests", link.having(view="tree"), asked.view == "tree"),
            ],
            "below": [] if is_own else below,
            "has_more_below": has_more,
            "below_href": link.having(view="below"),
            "uploads": uploads,
            "can_cancel": await self._may(call, Action.CANCEL_UPLOAD),
            "sees_all_uploads": call.caller.could(Action.LIST_UPLOADS, Target()),
            "notices": asked.notices,
            "mark": mark,
        }
        return await self._show(call, "namespace.html", values)

    async def _mark(
        self, call: Call, row: NamespaceRow, below: Sequence[Namespace], has_more: bool
    ) -> str:
        """All that the page of a namespace is made from, as text: what is stored, who asks for
        what, and the program with its configuration. What a page comes to depend on besides, such
        as a right, belongs here too: otherwise a browser keeps what is not true any more."""
        request = call.request
        of_stored = (row, await pulls_mark(self._registry, call.name), below, has_more)
        cookies = request.headers.get("Cookie", "")
        of_request = (request.scope["raw_path"], request.query_string, cookies)
        identity = call.caller.identity
        of_caller = (identity, self._site.url_of(request))
        return repr((of_stored, of_request, of_caller, call.values.get(CURSOR) == "", self._made))

    async def _tag_rows(self, call: Call, row: NamespaceRow, asked: Asked) -> dict[str, Any]:
        wanted = _wanted_tags(asked)
        page: TagPage = await tag_list.list_tag_rows(self._registry, row, wanted)
        found = await self._count(call, row, asked)
        address = self._site.address_of(call.request)

        def pull(manifest: RevisionRow, tag: str) -> str:
            return "" if address is None else pull_command(address, call.name, tag, manifest.role)

        chosen, matching = chosen_of(asked.facets), found.tallies.matching
        counts = Counts(found.total, matching, "tag")
        rule = self._registry.tag_rules.rule_for(call.name)
        return {
            "deletable": await deletable_of(
                call.caller, call.name, [Tag(tag.row.name) for tag in page.tags], rule
            ),
            "matching": matching,
            "chosen": pairs_of(chosen),
            "fields": fields_of(found.tallies, chosen),
            "list": list_view(asked, _TAG_COLUMNS, counts, page.next_after),
            "rows": page.tags,
            "pull": pull,
            "pulled_by_docker": IMAGES,
            "fallback": found.hidden,
            "shows_all": asked.shown == "all",
            "other_href": asked.link.having(show="" if asked.shown else "all", after=""),
        }

    async def _count(self, call: Call, row: NamespaceRow, asked: Asked) -> Counted:
        """Manifests without a tag are counted for who may list manifests."""
        return await count_rows(
            self._registry,
            row,
            _wanted_tags(asked),
            chosen_of(asked.facets),
            sees_untagged=await self._may(call, Action.LIST_REVISIONS),
        )

    async def _untagged(self, call: Call, row: NamespaceRow, asked: Asked) -> dict[str, Any]:
        page = await list_untagged(self._registry, row, _wanted_tags(asked))
        found = await self._count(call, row, asked)
        chosen, tallies = chosen_of(asked.facets), found.tallies
        nouns = ("manifest without a tag", "manifests without a tag")
        counts = Counts(tallies.untagged, tallies.matching, *nouns, is_whole=tallies.is_whole)
        digests = [each.row.digest for each in page.revisions]
        return {
            "list": list_view(asked, (), counts, page.next_after),
            "rows": page.revisions,
            "matching": tallies.matching,
            "is_whole": tallies.is_whole,
            "chosen": pairs_of(chosen),
            "fields": fields_of(tallies, chosen),
            "deletable": await deletable_of(
                call.caller, call.name, digests, self._registry.tag_rules.rule_for(call.name)
            ),
        }

    async def _tree(self, call: Call, row: NamespaceRow, asked: Asked) -> dict[str, Any]:
        found = await tree.tree_of(self._registry, row, asked.after, asked.size, asked.opened)
        counts = Counts(row.manifest_count, row.manifest_count, "manifest")
        view: ListView = list_view(asked, (), counts, found.next_after)
        return {
            "list": view,
            "rows": found.roots,
            "pulled": found.pulled,
            "deletable": await deletable_of(
                call.caller,
                call.name,
                [Digest(digest) for digest in found.pulled],
                self._registry.tag_rules.rule_for(call.name),
            ),
            "toggle": lambda branch: asked.link.toggling("open", branch.row.digest),
        }

    async def _uploads(self, call: Call) -> list[Upload]:
        """The sessions of a namespace, for those who may see them."""
        if not await self._may(call, Action.LIST_UPLOADS):
            return []
        return await list_uploads(self._registry, call.name, "", UPLOADS_MAX)

    async def _find(self, name: RepositoryName) -> NamespaceRow | None:
        return await self._registry.storage.read_point(partial(listings.find_namespace, name=name))

    async def _may(self, call: Call, action: Action) -> bool:
        return (await call.caller.may(action, Target(call.name))).allowed

    async def _require(self, call: Call, action: Action) -> None:
        """Ask for a second right, beside that of the route: what is shown depends on more than the
        path. Raises UNAUTHORIZED (401) or DENIED (403)."""
        decision = await call.caller.may(action, Target(call.name))
        if not decision.allowed:
            raise call.refuse(action, decision)

    def _recipes(self, call: Call, name: str) -> list[Recipe] | None:
        address = self._site.address_of(call.request)
        if address is None:
            return None
        return recipes_for(address, name, needs_login=self._site.needs_login, is_whole=False)

    async def _show(self, call: Call, template: str, values: dict[str, Any]) -> Reply:
        live = live_of(call, is_deep=template != "namespace.html")
        return await show_page(self._site, call, template, {**values, "live": live})


def _view_of(call: Call) -> str:
    return next(iter(reversed(call.query.all("view"))), "")[:FILTER_CHARACTERS_MAX]


def _wanted_tags(asked: Asked) -> WantedTags:
    return WantedTags(
        asked.size,
        asked.after,
        asked.contains,
        asked.sort,
        asked.is_descending,
        hides_fallback=asked.shown != "all",
        facets=chosen_of(asked.facets).facets,
    )


def _wanted(asked: Asked) -> Wanted:
    return Wanted(asked.size, asked.after, asked.contains, asked.sort, asked.is_descending)


def _sums_of(rows: Sequence[Repository], total: int) -> str:
    """What there is, in a sentence; of more than one page only how many."""
    repositories_text = counted(total, "repository", "repositories")
    if len(rows) < total:
        return f"{repositories_text}."
    tags, held = sum(row.tags for row in rows), sum(row.held_bytes for row in rows)
    verb = "holds" if total == 1 else "hold"
    return f"{repositories_text} {verb} {counted(tags, 'tag')} in {size(held)}."


def _answer(sums: Repository) -> str:
    if not sums.namespaces:
        return "It holds nothing yet."
    verb = "holds" if sums.namespaces == 1 else "hold"
    held = f"{counted(sums.tags, 'tag')} and {counted(sums.manifests, 'manifest')}"
    return f"{counted(sums.namespaces, 'namespace')} {verb} {held} in {size(sums.held_bytes)}."


def _holds(row: NamespaceRow) -> str:
    held = f"{counted(row.tag_count, 'tag')} and {counted(row.manifest_count, 'manifest')}"
    return f"It holds {held}."


def _unfolded(below: Below, asked: Asked, name: str) -> dict[str, Any]:
    """The namespaces of a page."""
    counts = Counts(below.sums.namespaces, below.page.matching, "namespace")
    return {
        "list": list_view(asked, NAMESPACE_COLUMNS, counts, below.page.next_after),
        "rows": [namespace_row(namespace, name) for namespace in below.page.rows],
        "folders": (),
    }
