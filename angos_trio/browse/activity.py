"""What happened lately, as far as the caller sees it."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio

from angos_trio.clock import iso
from angos_trio.events.telling import data_for, is_for, learn
from angos_trio.identity import Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.lists import ACTIVITY_ROWS_AT_ONCE
from angos_trio.limits.requests import EXAMINED_PER_ENTRY_MAX
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import events
from angos_trio.storage.metadata.events import Stored

LATEST = 2**63 - 1
"""Before everything."""


class WantedActivity(Frozen):
    """Which events: so many with a number below `before`, of a namespace or an actor, of kinds that
    begin with a text, not older than `since` in epoch seconds. What is None or empty is any.

    `who` is an actor too, or their name alone, whatever recognised them."""

    size: int
    before: int = LATEST
    namespace: str | None = None
    actor: str | None = None
    kind: str = ""
    since: int = 0
    who: str = ""

    def fits(self, event: Stored) -> bool:
        """Whether an event is wanted."""
        return (
            self.namespace in (None, event.namespace)
            and self.actor in (None, event.actor)
            and self.who in ("", event.actor, event.actor.partition(":")[2].partition(":")[2])
            and event.kind.startswith(self.kind)
        )


async def newest_event(registry: Registry) -> int:
    """The id of the last event; 0 before the first. Raises UNAVAILABLE (503)."""
    return await registry.storage.read_point(events.newest)


def tell(caller: Caller, event: Stored, *, has_origin: bool) -> dict[str, Any]:
    """An event as JSON has it, as far as the caller may know of it; `has_origin` from
    `may_know_origins`."""
    return {
        "id": event.id,
        "at": event.at,
        "at_iso": iso(event.at),
        "kind": event.kind,
        "namespace": event.namespace or None,
        "actor": event.actor,
        "data": data_for(caller, event),
        "address": (event.address or None) if has_origin else None,
        "client": (event.client or None) if has_origin else None,
    }


async def list_activity(
    registry: Registry, caller: Caller, wanted: WantedActivity
) -> tuple[list[Stored], int | None]:
    """The latest first, and the number below which the next page begins, None at the end.

    At most ten events are examined for each one asked for, so a page may be short and still be
    followed by another.
    """
    found: list[Stored] = []
    before, left = wanted.before, EXAMINED_PER_ENTRY_MAX * wanted.size
    deadline = trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX
    while left > 0:
        limit = min(ACTIVITY_ROWS_AT_ONCE, left)
        rows = await registry.storage.read(partial(events.before, number=before, limit=limit))
        fitting = [event for event in rows if wanted.fits(event)]
        runs = await learn(caller, fitting, deadline)
        for event in rows:
            if event.at < wanted.since:
                return found, None
            before, left = event.id, left - 1
            if wanted.fits(event) and is_for(caller, event, runs):
                found.append(event)
                if len(found) == wanted.size:
                    return found, before
        if len(rows) < limit:
            return found, None
    return found, before if wanted.size else None
