"""The page of what the disk holds: sums, what is shared, and what is largest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from angos_trio.browse.over_time import Outlook, list_samples, outlook_of
from angos_trio.browse.storage_use import StorageUse, look_at_storage
from angos_trio.browse.unpulled import (
    UnpulledLook,
    look_for_unpulled,
)
from angos_trio.clock import DAY_SECS, date_of
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action
from angos_trio.limits.lists import IMAGES_WITH_MAX, UNPULLED_EXAMINED_MAX, UNPULLED_SECS
from angos_trio.maintenance.collect import terms_of
from angos_trio.maintenance.preview import Preview, preview
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata.totals import Share
from angos_trio.storage.store import Space
from angos_trio.web.around import may, show_page
from angos_trio.web.frame import Site
from angos_trio.web.samples import HEIGHT, chart_of, foretold
from angos_trio.web.words import counted, number, ratio, size

UNITS: Final = 1000
"""The width of a bar, in the units of its drawing."""

SHARES_MAX: Final = 24
"""Repositories whose share is drawn."""


class Tile(Frozen):
    """A figure: what it is, the figure itself, and what stands below it."""

    name: str
    figure: str
    note: str = ""
    title: str = ""
    tone: str = ""


class Bar(Frozen):
    """A repository's share, drawn: its own part and the shared one, in units of the widest."""

    share: Share
    own_units: int
    shared_units: int


class StoragePage:
    """Handler of the page."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: sums that are half a minute old at most, more where a look at all takes long."""
        registry, home = self._registry, self._site.home
        use = await look_at_storage(registry, call.caller, home.looks)
        space = await trio.to_thread.run_sync(registry.storage.space)
        due = None
        if await may(call, Action.GET_COLLECTION):
            due = await home.previews.look(partial(preview, registry.storage, terms_of(registry)))
        uploads = sum((await registry.storage.sessions.counts()).values())
        samples, today = await list_samples(registry), registry.now() // DAY_SECS
        bars = bars_of(use.shares[:SHARES_MAX])
        values = {
            "title": "Storage",
            "crumbs": [("Repositories", "/"), ("Storage", "")],
            "said": said_of(use, space),
            "tiles": [
                *tiles_of(use, space, due, uploads),
                *outlook_tiles(outlook_of(samples, space, today)),
            ],
            "chart": chart_of(samples, today),
            "chart_height": HEIGHT,
            **unpulled_values(await look_for_unpulled(registry, call.caller, home.unpulled)),
            "bars": bars,
            "others": len(use.shares) - len(bars),
            "use": use,
            "blobs": list(zip(use.blobs, map(images_of, use.images), strict=True)),
            "grace_secs": registry.limits.lease_secs,
        }
        return await show_page(self._site, call, "storage.html", values)


def said_of(use: StorageUse, space: Space) -> str:
    """The state of the disk in a sentence."""
    held = f"{counted(use.totals.blobs, 'blob')} in {size(use.totals.blob_bytes)} on disk"
    if not space.is_enough:
        return f"{held}. Less is free than must stay free: nothing new is taken in."
    return f"{held}, and {size(space.free_bytes)} free."


def tiles_of(use: StorageUse, space: Space, due: Preview | None, uploads: int) -> list[Tile]:
    """The figures of the page; what would go is left out where nobody may know it."""
    sums, saved = use.totals, use.saved_ratio
    free_tone = "" if space.is_enough else "danger"
    tiles = [
        _bytes_tile("On disk", sums.blob_bytes, counted(sums.blobs, "blob")),
        _bytes_tile("Logical", sums.named_bytes, counted(sums.manifests, "manifest")),
        Tile("De-duplication", "–" if saved is None else ratio(saved), "logical by on disk"),
        _bytes_tile(
            "Free", space.free_bytes, f"{size(space.reserve_bytes)} must stay free", tone=free_tone
        ),
    ]
    if due is not None:
        least = "" if due.is_whole else "at least "
        found = due.collected
        note = counted(found.blobs, "blob")
        tiles.append(_bytes_tile("Reclaimable now", found.bytes, note, least=least))
    more = "" if use.untagged.is_whole else "+"
    tiles += [
        Tile("Untagged", f"{number(use.untagged.count)}{more}", "manifests without a tag"),
        Tile("Uploads", number(uploads), "in progress"),
    ]
    return tiles


def unpulled_values(look: UnpulledLook) -> dict[str, object]:
    """What the part of the page about what nobody pulls says."""
    since = look.noted_since or 0
    return {
        "unpulled": look,
        "unpulled_secs": UNPULLED_SECS,
        "examined": UNPULLED_EXAMINED_MAX,
        "noted_on": date_of(since // DAY_SECS),
        "known_on": date_of((since + UNPULLED_SECS) // DAY_SECS),
    }


def outlook_tiles(outlook: Outlook | None) -> list[Tile]:
    """The figure of what is foretold, where anything is."""
    if outlook is None:
        return []
    said = foretold(outlook)
    return [Tile("Days to full", said.figure, said.note, tone="danger" if said.is_soon else "")]


def _bytes_tile(name: str, count: int, note: str, *, least: str = "", tone: str = "") -> Tile:
    return Tile(name, f"{least}{size(count)}", note, f"{number(count)} bytes", tone)


def bars_of(shares: Sequence[Share]) -> list[Bar]:
    """Bars as long as shares are large, the largest over all the width; what is not nothing is
    seen."""
    widest = max((share.blob_bytes for share in shares), default=0)

    def units(count: int) -> int:
        return max(2, count * UNITS // widest) if count and widest else 0

    found = []
    for share in shares:
        own = min(units(share.own_bytes), UNITS - 2 * bool(share.shared_bytes))
        found.append(Bar(share, own, min(units(share.shared_bytes), UNITS - own)))
    return found


def images_of(count: int) -> str:
    """How many images have a blob in them, of so many that were counted."""
    return f"{number(count)}+" if count >= IMAGES_WITH_MAX else number(count)
