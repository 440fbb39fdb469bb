"""The strip above the repositories: the disk in a few figures, and what happened last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from angos_trio.browse.activity import WantedActivity, list_activity
from angos_trio.browse.storage_use import look_at_storage
from angos_trio.http.call import Call
from angos_trio.identity import Action
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.web.activity import Happened, happened
from angos_trio.web.around import may
from angos_trio.web.frame import Site
from angos_trio.web.words import number, ratio, size

LATEST_EVENTS: Final = 5
"""What happened last."""


class Strip(Frozen):
    """Figures with their names, and events; either is empty for those who may not know."""

    figures: Sequence[tuple[str, str]] = ()
    latest: Sequence[Happened] = ()


async def strip_of(registry: Registry, site: Site, call: Call) -> Strip:
    """What the caller may see of it."""
    figures: list[tuple[str, str]] = []
    latest: list[Happened] = []
    if await may(call, Action.GET_STORAGE):
        use = await look_at_storage(registry, call.caller, site.home.looks)
        space = await trio.to_thread.run_sync(registry.storage.space)
        uploads = sum((await registry.storage.sessions.counts()).values())
        saved = use.saved_ratio
        figures = [
            ("On disk", size(use.totals.blob_bytes)),
            ("Free", size(space.free_bytes)),
            ("De-duplication", "–" if saved is None else ratio(saved)),
            ("Uploads now", number(uploads)),
        ]
    if await may(call, Action.GET_ACTIVITY):
        wanted = WantedActivity(LATEST_EVENTS)
        found, _ = await list_activity(registry, call.caller, wanted)
        latest = [happened(call.caller, each) for each in found]
    return Strip(figures, latest)
