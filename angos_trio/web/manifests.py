"""The page of one manifest: what it is made of, what is around it, what pulls it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from angos_trio.browse import repositories
from angos_trio.browse.detail import Detail, Layer, Part, describe_manifest
from angos_trio.browse.impact import Impact, impact_of
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.oci.digest import Digest
from angos_trio.oci.image_config import ImageConfig
from angos_trio.oci.names import Tag, parse_reference_to_read
from angos_trio.registry.context import Registry
from angos_trio.web.frame import Site, crumbs_to, frame_of, show
from angos_trio.web.live import live_of
from angos_trio.web.places import manifest_path_of, path_of
from angos_trio.web.recipes import Recipe, pull_recipes
from angos_trio.web.words import counted, short, size

BAR_UNITS: Final = 1000
"""The width of the bar of layers, in the units of its drawing;"""
GAP_UNITS: Final = 3
"""between two layers."""
_SECRET: Final = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|(?:^|_)KEY(?:$|_)", re.IGNORECASE)
_SHELL: Final = re.compile(r"/bin/sh -c (?:#\(nop\) +)?")


@dataclass(frozen=True, slots=True)
class Stroke:
    """A layer in the bar, in units; `is_own` if nothing else has it."""

    x: int
    width: int
    is_own: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """A value of a config, and whether its name says that it should not be there: whoever pulls the
    image can read it."""

    name: str
    values: Sequence[str]
    is_secret: bool = False


class Manifests:
    """Handler of the page."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: what a tag or a digest names."""
        reference = parse_reference_to_read(call.values["reference"])
        detail = await describe_manifest(self._registry, call.caller, call.name, reference)
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
        }
        frame = frame_of(self._site, call.request, call.caller.identity)
        return show(self._site, call.request, "manifest.html", {**values, "frame": frame})

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
