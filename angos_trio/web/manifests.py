"""The page of one manifest: what it is made of, what is around it, what pulls it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from angos_trio.browse import repositories
from angos_trio.browse.attached import list_attached, tagged_after
from angos_trio.browse.detail import Detail, Layer, Part, describe_manifest
from angos_trio.browse.impact import Impact, impact_of
from angos_trio.browse.pulls import may_see_pulls, pull_history_of
from angos_trio.browse.tag_history import checked_at, current_of
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.limits.lists import FILTER_CHARACTERS_MAX, RELATED_MAX
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.image_config import ImageConfig
from angos_trio.oci.names import Reference, Tag, parse_reference_to_read
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.registry.pull import find_manifest, read_body
from angos_trio.storage.metadata.listings import RevisionRow
from angos_trio.web import tabs
from angos_trio.web.around import show_page
from angos_trio.web.asking import Link, choose
from angos_trio.web.frame import Site, crumbs_to
from angos_trio.web.live import live_of
from angos_trio.web.offers import deletable_of
from angos_trio.web.places import manifest_path_of, path_of
from angos_trio.web.pulls import RETENTION, view_of
from angos_trio.web.recipes import Recipe, pull_recipes
from angos_trio.web.tag_history import history_for
from angos_trio.web.words import counted, short, size

BAR_UNITS: Final = 1000
"""The width of the bar of layers, in the units of its drawing;"""
GAP_UNITS: Final = 3
"""between two layers."""
_SECRET: Final = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|(?:^|_)KEY(?:$|_)", re.IGNORECASE)
_SHELL: Final = re.compile(r"/bin/sh -c (?:#\(nop\) +)?")


class Stroke(Frozen):
    """A layer in the bar, in units; `is_own` if nothing else has it."""

    x: int
    width: int
    is_own: bool


class Fact(Frozen):
    """A value of a config, and whether its name says that it should not be there: whoever pulls the
    image can read it."""

    name: str
    values: Sequence[str]
    is_secret: bool = False


class Checked(Frozen):
    """When a tag was last looked at upstream, in epoch seconds, and why it cannot be now."""

    at: int | None
    problem: str | None


class Manifests:
    """Handler of the page."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: what a tag or a digest names."""
        reference = parse_reference_to_read(call.values["reference"])
        detail = await describe_manifest(self._registry, call.caller, call.name, reference)
        offered = await self._offered(call)
        tab, notices = choose(call.query, "tab", offered)
        if tab == tabs.JSON and tabs.BYTES in call.query.all("show"):
            body = await self._body(call, detail)
            return tabs.download(call.name, detail.row.digest, body)
        impact = await impact_of(self._registry, call.name, [detail.row.digest])
        row, name = detail.row, call.name
        owner = repositories.owner_of(self._registry, name)
        shown = reference if isinstance(reference, Tag) else short(reference)
        crumbs = [*crumbs_to(name, owner)[:-1], (crumbs_to(name, owner)[-1][0], path_of(name))]
        values = {
            "title": f"{shown} · {name}",
            "crumbs": [*crumbs, (shown, "")],
            "name": name,
            "reference": reference,
            "is_digest": isinstance(reference, Digest),
            "pinned": call.values.get("pinned"),
            "checked": await self._checked(call, detail.tag),
            "row": row,
            "detail": detail,
            "answer": _answer(detail, impact),
            "href": lambda each: manifest_path_of(name, each),
            "strokes": strokes_of(detail.layers),
            "steps": [_command(layer) for layer in detail.layers],
            "also": _also,
            "has_steps": any(layer.step is not None for layer in detail.layers),
            "platforms": [part for part in detail.parts if part.about is None],
            "about": _about(detail.parts),
            "facts": [] if detail.image is None else config_facts(detail.image),
            "recipes": self._recipes(call, detail),
            "live": live_of(call, tag=detail.tag or "", of=row.digest),
            "notices": [*notices, *await self._notices(call, row.digest)],
            **await self._tab(call, detail, tab, offered),
        }
        values |= await self._offers(call, detail, is_kept=bool(impact.blocked))
        return await show_page(self._site, call, "manifest.html", values)

    async def _checked(self, call: Call, tag: Tag | None) -> Checked | None:
        """When a tag that comes from upstream was last found to be so there."""
        sources = self._site.sources(call.name)
        if tag is None or not sources:
            return None
        at = await checked_at(self._registry, call.name, tag)
        problems = [source.problem for source in sources]
        return Checked(at, problems[0] if all(problems) else None)

    async def _offered(self, call: Call) -> list[str]:
        """The tabs that the caller may see."""
        sees_pulls = await may_see_pulls(call.caller, call.name)
        return [tab for tab in tabs.TABS if tab != tabs.PULLS or sees_pulls]

    async def _offers(self, call: Call, detail: Detail, *, is_kept: bool) -> dict[str, Any]:
        """What can be done with the tag and the manifest, and what the tag was before.
        `is_kept`: an immutable tag keeps the manifest."""
        tag, digest = detail.tag, Digest(detail.row.digest)
        rule = self._registry.tag_rules.rule_for(call.name)
        chosen: list[Reference] = [*([] if tag is None else [tag]), *([] if is_kept else [digest])]
        return {
            "deletable": await deletable_of(call.caller, call.name, chosen, rule),
            "history": None
            if tag is None
            else await history_for(self._registry, call, tag, digest),
        }

    async def _notices(self, call: Call, digest: str) -> list[str]:
        """That a tag was deleted which pointed here; for who comes from there and may know it."""
        try:
            tag = Tag(next(iter(call.query.all("deleted")), ""))
        except OciError:
            return []
        if await current_of(self._registry, call.name, tag) is not None:
            return []
        history = await history_for(self._registry, call, tag, "")
        if history is None or digest not in {change.digest for change in history.changes}:
            return []
        return [
            f"The tag {tag} is deleted. This is what it pointed to: it can be pulled by digest."
        ]

    async def _tab(
        self, call: Call, detail: Detail, tab: str, offered: Sequence[str]
    ) -> dict[str, Any]:
        """What a tab shows, and the way to the others."""
        here = manifest_path_of(call.name, detail.tag or detail.row.digest)
        link = Link(here, () if tab == tabs.LAYERS else (("tab", tab),))
        tagged = await tagged_after(self._registry, call.name, detail.row.digest)
        count = tabs.attached_count([*detail.related.referrers, *tagged], detail.parts, RELATED_MAX)
        names = {
            tabs.LAYERS: "Parts" if detail.row.kind == "index" else "Layers",
            tabs.CONFIG: "Config",
            tabs.ATTACHED: f"Attached {count}".strip(),
            tabs.PULLS: "Pulls",
            tabs.JSON: "JSON",
        }
        links = [
            (text, link.having(tab="" if each == tabs.LAYERS else each), each == tab)
            for each, text in names.items()
            if each in offered
        ]
        values: dict[str, Any] = {"tab": tab, "tabs": links}
        if tab == tabs.CONFIG:
            values["annotations"] = tabs.annotations_of(detail.annotations)
        if tab == tabs.ATTACHED:
            values |= await self._attached(call, detail, tagged, link)
        if tab == tabs.PULLS:
            values |= await self._pulls(call, detail)
        if tab == tabs.JSON:
            values["shown_json"] = tabs.json_view(await self._body(call, detail))
            values["bytes_href"] = link.having(show=tabs.BYTES)
        return values

    async def _attached(
        self, call: Call, detail: Detail, tagged: list[RevisionRow], link: Link
    ) -> dict[str, Any]:
        after = next(iter(reversed(call.query.all("after"))), "")[:FILTER_CHARACTERS_MAX]
        page = await list_attached(
            self._registry, call.name, detail.row.digest, after, tabs.ATTACHED_AT_ONCE
        )
        return {
            "groups": tabs.groups_of(page.rows, ())
            if after
            else tabs.groups_of([*tagged, *page.rows], detail.parts),
            "attached_first": link.having() if after else "",
            "attached_next": link.having(after=page.next_after) if page.next_after else "",
        }

    async def _pulls(self, call: Call, detail: Detail) -> dict[str, Any]:
        """Without a history while the file of pulls cannot be read: it can be lost, and no page is
        refused for it."""
        digest = Digest(detail.row.digest)
        try:
            history = await pull_history_of(self._registry, call.caller, call.name, digest)
        except OciError:
            return {"pulls": None}
        return {"pulls": view_of(history), "retention": RETENTION}

    async def _body(self, call: Call, detail: Detail) -> bytes:
        """The bytes as they were pushed. It is no pull."""
        found = await find_manifest(self._registry, call.name, detail.row.digest)
        return await read_body(self._registry, found)

    def _recipes(self, call: Call, detail: Detail) -> list[Recipe]:
        address = self._site.address_of(call.request)
        if address is None:
            return []
        tag = detail.tag or next(iter(detail.related.tags), None)
        return pull_recipes(address, call.name, tag, detail.row.digest, detail.row.role)


def _answer(detail: Detail, impact: Impact) -> str:
    """What it is and what it costs, in a sentence or two."""
    row = detail.row
    if row.kind == "index":
        here = sum(part.row is not None for part in detail.parts)
        parts = counted(len(detail.parts), "part")
        missing = f", of which {here} are stored here" if here < len(detail.parts) else ""
        what = f"{parts} in {size(row.total_size)}{missing}."
    else:
        what = f"{counted(len(detail.layers), 'layer')} in {size(row.total_size)}."
    more = "" if impact.is_whole else "at least "
    freed = f"Deleting it would free {more}{size(impact.freed_bytes)}."
    return f"{what} {'An immutable tag keeps it.' if impact.blocked else freed}"


def strokes_of(layers: Sequence[Layer]) -> list[Stroke]:
    """The bar of layers: widths by their sizes, each at least one unit wide."""
    total = sum(layer.size for layer in layers)
    room = BAR_UNITS - GAP_UNITS * (len(layers) - 1) - len(layers)
    if not total or room <= 0:
        return []
    strokes, x = [], 0
    for layer in layers:
        width = 1 + room * layer.size // total
        is_own = layer.sharing is not None and layer.sharing.is_exclusive
        strokes.append(Stroke(x, width, is_own))
        x += width + GAP_UNITS
    return strokes


def _command(layer: Layer) -> str:
    """What made a layer, without what every builder writes before it."""
    if layer.step is None:
        return layer.annotations.get("org.opencontainers.image.title", "")
    return _SHELL.sub("", layer.step.command, count=1).removesuffix(" # buildkit").strip()


def _also(layer: Layer) -> str:
    """What else has a layer, as far as the caller may know."""
    images = 0 if layer.sharing is None else layer.sharing.manifests - 1
    known = [
        counted(count, noun)
        for count, noun in ((images, "image"), (layer.seen, "other namespace"))
        if count > 0
    ]
    return ", ".join(known) or "others"


def _about(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """Attestations, by the part that they are about."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        if part.about is not None:
            found.setdefault(part.about, []).append(part)
    return found


def config_facts(image: ImageConfig) -> list[Fact]:
    """What people look for in an image's config; what is not said is left out."""
    single = {
        "Created": image.created,
        "Author": image.author,
        "User": image.user,
        "Working directory": image.working_dir,
        "Stop signal": image.stop_signal,
    }
    several = {
        "Entrypoint": image.entrypoint,
        "Command": image.cmd,
        "Ports": image.exposed_ports,
        "Volumes": image.volumes,
    }
    facts = [Fact(name, [value]) for name, value in single.items() if value]
    facts += [Fact(name, values) for name, values in several.items() if values]
    for text in image.env:
        name, _, value = text.partition("=")
        facts.append(Fact(f"${name}", [value], _SECRET.search(name) is not None and bool(value)))
    facts += [Fact(name, [value]) for name, value in image.labels.items()]
    return facts
