"""The page that says what a delete would take with it, and the form on it that does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from angos_trio.browse.deleting import (
    Deletion,
    Matched,
    Outcome,
    Sorted,
    delete_chosen,
    match_tags,
    match_untagged,
    rows_of,
    sort_out,
)
from angos_trio.browse.facets import EVERYTHING, Chosen
from angos_trio.browse.impact import Impact, impact_of
from angos_trio.browse.revisions import require_namespace
from angos_trio.browse.tag_history import may_point
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action, Target
from angos_trio.limits.lists import DELETE_REFERENCES_MAX, FILTER_CHARACTERS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName, Tag, parse_reference_to_write
from angos_trio.oci.platform import is_platform
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata.facets import TagFilter
from angos_trio.storage.metadata.listings import RevisionRow
from angos_trio.storage.metadata.untagged import UntaggedOrder
from angos_trio.web import headers
from angos_trio.web.around import show_page
from angos_trio.web.asking import Link
from angos_trio.web.facets import FACETS, chosen_of, pairs_of
from angos_trio.web.forms import Form
from angos_trio.web.frame import Site
from angos_trio.web.places import manifest_path_of, path_of
from angos_trio.web.words import counted, number, short, size, span

PATH: Final = "/_ui/delete"
TYPED_ITEMS_MAX: Final = 20
"""Whoever deletes more at once types the name of the namespace."""
NAMED_MAX: Final = 30
"""Tags and manifests of a kind that the page names; it counts them all."""
RESTORED_MAX: Final = 20
"""Deleted tags that can be made again where the page tells what became of them."""


class Wanted(Frozen):
    """What somebody wants to delete in a namespace: references, or with `is_filter` all that a list
    shows which is filtered by `contains` and by what was `chosen`. `seen` is how many these were
    where they were chosen. `is_from_page`: it was chosen on the page of the tag itself. `matching`
    counts what the filter leaves, `total` all tags of the namespace."""

    name: RepositoryName
    references: tuple[Reference, ...]
    is_filter: bool = False
    contains: str = ""
    chosen: Chosen = EVERYTHING
    shows_all: bool = False
    seen: int | None = None
    is_from_page: bool = False
    matching: int = 0
    total: int = 0

    @property
    def others(self) -> int:
        """How many more match than can be deleted at once."""
        return max(0, self.matching - len(self.references))

    @property
    def noun(self) -> tuple[str, str]:
        """What it is one of, and many of."""
        if self.chosen.is_untagged:
            return "manifest without a tag", "manifests without a tag"
        return "tag", "tags"

    def fields(self) -> list[tuple[str, str]]:
        """The same as a form or an address says it."""
        chosen = [("ref", str(each)) for each in self.references]
        if self.is_filter:
            filtered = {"q": self.contains, "seen": str(self.matching)}
            filtered |= {"show": "all" if self.shows_all else "", **pairs_of(self.chosen)}
            chosen = [("all", "1"), *((key, value) for key, value in filtered.items() if value)]
        place = [("from", "page")] if self.is_from_page else []
        return [("ns", str(self.name)), *chosen, *place]


def wanted_of(values: Callable[[str], Sequence[str]]) -> Wanted:
    """Read a query or a form. What it chooses by is not left out where it cannot be: more would go.

    Raises NAME_INVALID, TAG_INVALID or DIGEST_INVALID (400).
    """

    def one(name: str) -> str:
        return next(reversed(values(name)), "")

    name, is_filter, contains = RepositoryName(one("ns")), bool(one("all")), one("q").strip()
    texts = [] if is_filter else list(dict.fromkeys(values("ref")))
    if len(texts) > DELETE_REFERENCES_MAX or len(contains) > FILTER_CHARACTERS_MAX:
        raise OciError(Code.NAME_INVALID, message="that is too much at once")
    if not is_filter and not texts:
        raise OciError(Code.NAME_INVALID, message="nothing was chosen that could be deleted")
    return Wanted(
        name,
        tuple(parse_reference_to_write(text) for text in texts),
        is_filter=is_filter,
        contains=contains,
        chosen=_chosen_by(one) if is_filter else EVERYTHING,
        shows_all=one("show") == "all",
        seen=_count(one("seen")) if is_filter else None,
        is_from_page=one("from") == "page" and len(texts) == 1,
    )


def _chosen_by(one: Callable[[str], str]) -> Chosen:
    """What the list was chosen by."""
    found = {name: value for name in FACETS if (value := one(name))}
    for name, value in found.items():
        known = FACETS[name]
        if not (value in known if known else is_platform(value)):
            raise OciError(Code.NAME_INVALID, message=f"nothing can be chosen by this {name}")
    return chosen_of(found)


def _count(text: str) -> int | None:
    """A number that a page wrote; None for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


class Deletes:
    """Handlers of the path."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def look(self, call: Call) -> Reply:
        """GET: what would go."""
        wanted, chosen = await self._chosen(call, wanted_of(call.query.all))
        found = await self._impact(wanted, chosen)
        problem = ""
        if wanted.seen is not None and wanted.seen != wanted.matching:
            then, now = counted(wanted.seen, *wanted.noun), number(wanted.matching)
            problem = f"{then} matched when you chose them, now it is {now}."
        return await self._confirm(call, _Look(wanted, chosen, found, problem))

    async def delete(self, call: Call, form: Form) -> Reply:
        """POST: delete what was looked at, if it is still the same."""
        await self._registry.require_changeable()
        wanted, chosen = await self._chosen(call, wanted_of(form.all))
        found = await self._impact(wanted, chosen)
        look = _Look(wanted, chosen, found)
        problem = _problem(look, form.one("token"), form.one("typed").strip())
        if problem is not None:
            status, text = problem
            return await self._confirm(call, replace(look, problem=text), status)
        deletion = Deletion(wanted.name, chosen, found, call.request_id)
        outcome = await delete_chosen(self._registry, call.caller, deletion)
        return await self._tell(call, look, outcome)

    async def _chosen(self, call: Call, wanted: Wanted) -> tuple[Wanted, Sorted]:
        """What is wanted, with the tags that match, and what of it the caller may delete. Raises
        as the gate does for who may delete none of it, before anything is looked up for them."""
        name, caller = wanted.name, call.caller
        if wanted.is_filter:
            found = await self._match(call, wanted)
            wanted = replace(wanted, references=found.references, matching=found.matching)
            if not found.references:
                return wanted, Sorted(())
        chosen = await sort_out(caller, name, wanted.references)
        if not chosen.allowed:
            raise call.refuse(Action.DELETE_MANIFEST, chosen.refusal)
        namespace = await require_namespace(self._registry, name)
        return replace(wanted, total=namespace.tag_count), chosen

    async def _match(self, call: Call, wanted: Wanted) -> Matched:
        """What a list with this filter shows now, for who may see that list."""
        name, chosen = wanted.name, wanted.chosen
        needed = (Action.LIST_TAGS, *([Action.LIST_REVISIONS] if chosen.is_untagged else []))
        for action in needed:
            decision = await call.caller.may(action, Target(name))
            if not decision.allowed:
                raise call.refuse(action, decision)
        contains = wanted.contains.lower()
        if chosen.is_untagged:
            order = UntaggedOrder(contains=contains, facets=chosen.facets)
            return await match_untagged(self._registry, name, order, DELETE_REFERENCES_MAX)
        left = TagFilter(contains, not wanted.shows_all, chosen.facets)
        return await match_tags(self._registry, name, left, DELETE_REFERENCES_MAX)

    async def _impact(self, wanted: Wanted, chosen: Sorted) -> Impact:
        if not chosen.allowed:  # nothing matches
            return Impact()
        return await impact_of(self._registry, wanted.name, chosen.allowed)

    async def _confirm(self, call: Call, look: _Look, status: int = 200) -> Reply:
        wanted, found = look.wanted, look.impact
        name = wanted.name
        named = [
            digest
            for group in (found.manifests, found.untagged, found.parts, found.referrers)
            for digest in group[:NAMED_MAX]
        ]
        rows = await rows_of(self._registry, name, [*named, *found.needed_by[:NAMED_MAX]])
        deeper = await self._deeper(wanted, found)
        limits = self._registry.limits
        values = {
            "title": f"Delete · {name}",
            "crumbs": [*_crumbs(wanted), ("Delete", "")],
            "name": name,
            "heading": _heading(look),
            "problem": look.problem,
            "impact": found,
            "rows": rows,
            "lost": _lost(rows, [*found.manifests, *found.parts, *found.untagged]),
            "named_max": NAMED_MAX,
            "denied": look.chosen.denied,
            "others": wanted.others,
            "noun": wanted.noun,
            "matching": wanted.matching,
            "freed": _freed(found),
            "after": span(limits.lease_secs),
            "kept_for": None if limits.untagged_secs is None else span(limits.untagged_secs),
            "deeper": deeper,
            "fields": wanted.fields(),
            "has_something": bool(found.tags or found.manifests),
            "is_simple": _is_simple(look),
            "must_type": _must_type(look),
            "back": _back(wanted),
            "href": lambda each: manifest_path_of(name, each),
            "answer": _button(found),
        }
        return await show_page(self._site, call, "delete.html", values, status)

    async def _deeper(self, wanted: Wanted, found: Impact) -> tuple[str, int] | None:
        """Where the manifests that would lose their last tag can be deleted as well, and the bytes
        that both would give back; None where there are none, or too many for an address."""
        if not found.untagged or len(found.tags) + len(found.untagged) > NAMED_MAX:
            return None
        digests = [Digest(each) for each in found.untagged]
        staying = dict(zip(found.tags, found.pointed, strict=True))
        tags = [Tag(each) for each in found.tags if staying[each] not in found.untagged]
        chosen: list[Reference] = [*tags, *digests, *(Digest(each) for each in found.manifests)]
        more = await impact_of(self._registry, wanted.name, chosen)
        references = tuple(("ref", str(each)) for each in chosen)
        return Link(PATH, (("ns", str(wanted.name)), *references)).having(), more.freed_bytes

    async def _tell(self, call: Call, look: _Look, outcome: Outcome) -> Reply:
        """What became of each; or the page of the digest, for a tag deleted on its own page."""
        wanted, deleted = look.wanted, outcome.deleted
        if wanted.is_from_page and deleted and deleted == look.impact.tags:
            there = manifest_path_of(wanted.name, look.impact.pointed[0])
            location = Link(there).having(deleted=deleted[0])
            return Reply(303, {"Location": location, **headers.PAGE})
        what = _of(deleted[0]) if len(deleted) == 1 else _count_of(deleted)
        heading = f"{what} deleted" if deleted else "Nothing was deleted"
        values = {
            "title": f"{heading} · {wanted.name}",
            "crumbs": [*_crumbs(wanted), ("Deleted", "")],
            "heading": heading,
            "verb": "Deleted",
            "name": wanted.name,
            "done": [_of(each) for each in deleted],
            "failed": [(_of(each.reference), each.message) for each in outcome.failed],
            "restored": await self._restorable(call, look, outcome),
            "links": [
                (f"Back to {wanted.name}", path_of(wanted.name)),
                *([("The others that match", _more(wanted))] if wanted.others else []),
            ],
        }
        return await show_page(self._site, call, "outcome.html", values, 200 if deleted else 409)

    async def _restorable(self, call: Call, look: _Look, outcome: Outcome) -> list[tuple[str, str]]:
        """The first deleted tags whose manifest is still here, with its digest, as far as the
        caller may set them."""
        pointed = dict(zip(look.impact.tags, look.impact.pointed, strict=True))
        found = [
            (tag, pointed[tag])
            for tag in outcome.deleted
            if pointed.get(tag) and pointed[tag] not in look.impact.manifests
        ]
        return [
            (tag, digest)
            for tag, digest in found[:RESTORED_MAX]
            if self._registry.takes_pushes(look.wanted.name)
            and (await may_point(call.caller, look.wanted.name, Tag(tag))).allowed
        ]


class _Look(Frozen):
    """What was found for what is wanted; `problem` is why nothing was done."""

    wanted: Wanted
    chosen: Sorted
    impact: Impact
    problem: str = ""


_CHANGED: Final = "What would go has changed since you looked. Nothing was deleted: look again."


def _problem(look: _Look, token: str, typed: str) -> tuple[int, str] | None:
    """Why a form is not followed, with the status to say so."""
    found = look.impact
    if not found.tags and not found.manifests:
        if found.blocked:
            tags = counted(len(found.blocked), "tag is", "tags are")
            return 409, f"Nothing was deleted: {tags} immutable."
        return 409, "Nothing was deleted: it is not here any more."
    if token != found.token:
        return 409, _CHANGED
    if _must_type(look) and typed != look.wanted.name:
        return 400, f"Nothing was deleted: type {look.wanted.name} to confirm."
    return None


def _must_type(look: _Look) -> bool:
    """Whether it is so much that a click is not enough: many, or everything that is there."""
    items = len(look.impact.tags) + len(look.impact.manifests)
    is_everything = len(look.impact.tags) >= look.wanted.total
    return items > TYPED_ITEMS_MAX or (len(look.chosen.allowed) > 1 and is_everything)


def _is_simple(look: _Look) -> bool:
    """Whether it is one tag that takes nothing with it."""
    found = look.impact
    more = (found.manifests, found.untagged, found.parts, found.referrers, found.needed_by)
    others = (found.unknown, found.blocked, look.chosen.denied)
    is_alone = not any((*more, *others))
    return is_alone and len(found.tags) == 1 and not look.wanted.is_filter and not look.problem


def _heading(look: _Look) -> str:
    found = look.impact
    if not found.tags and not found.manifests:
        return "Nothing here can be deleted"
    if found.manifests:
        what = (
            f"the manifest {short(found.manifests[0])}"
            if len(found.manifests) == 1
            else counted(len(found.manifests), "manifest")
        )
        return f"Delete {what}{_with_tags(found.tags)}?"
    if len(found.tags) == 1:
        return f"Delete the tag {found.tags[0]}?"
    return f"Delete {counted(len(found.tags), 'tag')}?"


def _with_tags(tags: Sequence[str]) -> str:
    if not tags:
        return ""
    return f" with the tag {tags[0]}" if len(tags) == 1 else f" with {counted(len(tags), 'tag')}"


def _button(found: Impact) -> str:
    parts = [
        counted(count, noun)
        for count, noun in ((len(found.tags), "tag"), (len(found.manifests), "manifest"))
        if count
    ]
    return f"Delete {' and '.join(parts)}"


def _freed(found: Impact) -> str:
    """Bytes that come back later, in words; empty where there are none."""
    if not found.freed_bytes:
        return ""
    return size(found.freed_bytes) if found.is_whole else f"at least {size(found.freed_bytes)}"


def _lost(rows: dict[str, RevisionRow], digests: Sequence[str]) -> tuple[str, ...]:
    """Platforms of what goes or loses its last tag, each once."""
    found = [platform for each in digests if each in rows for platform in rows[each].platforms]
    return tuple(dict.fromkeys(found))


def _of(reference: str) -> str:
    return short(reference) if ":" in reference else reference


def _count_of(references: Sequence[str]) -> str:
    digests = sum(":" in each for each in references)
    noun = "tag" if not digests else "manifest" if digests == len(references) else "item"
    return counted(len(references), noun)


def _crumbs(wanted: Wanted) -> list[tuple[str, str]]:
    return [("Repositories", "/"), (str(wanted.name), path_of(wanted.name))]


def _back(wanted: Wanted) -> str:
    """Where whoever changes their mind goes."""
    if len(wanted.references) == 1 and not wanted.is_filter and wanted.is_from_page:
        return manifest_path_of(wanted.name, str(wanted.references[0]))
    shown = "all" if wanted.shows_all else ""
    parameters = {"q": wanted.contains, "show": shown, **pairs_of(wanted.chosen)}
    return Link(path_of(wanted.name)).having(**parameters)


def _more(wanted: Wanted) -> str:
    return Link(PATH, tuple(pair for pair in wanted.fields() if pair[0] != "seen")).having()
