"""The kinds of runs that can be asked for, from their options to their outcome."""

from __future__ import annotations

import trio

from angos_trio.errors import only_error
from angos_trio.limits.housekeeping import HURRIED_LEASE_SECS, RUN_TELL_SECS, SCRUB_RATE
from angos_trio.maintenance.collect import Collector, terms_of
from angos_trio.maintenance.preview import preview
from angos_trio.maintenance.prune import Pruner
from angos_trio.maintenance.scrub import Scrubbed, Scrubber, Wish
from angos_trio.maintenance.tasks import Document, Tell
from angos_trio.records import asdict
from angos_trio.registry.context import Registry


def early_secs_of(registry: Registry, options: Document) -> int:
    """How much earlier leases end for a run that does not wait for them (`now`): all but what was
    pushed or promised within five minutes."""
    return max(0, registry.limits.lease_secs - HURRIED_LEASE_SECS) if options.get("now") else 0


async def collect_on_request(collector: Collector, options: Document, tell: Tell) -> Document:
    """A collection, or with `dry_run` what it would come to."""
    registry = collector.current()
    early_secs = early_secs_of(registry, options)
    if not options.get("dry_run"):
        return asdict(await collector.collect(early_secs=early_secs))
    found = await preview(registry.storage, terms_of(registry, early_secs=early_secs))
    return {**asdict(found.collected), "is_whole": found.is_whole}


async def scrub_on_request(scrubber: Scrubber, options: Document, tell: Tell) -> Document:
    """A scrub, or with `dry_run` what it would find; `rate` in bytes a second, 0 for no bound."""
    rate = options.get("rate")
    wish = Wish(bool(options.get("dry_run")), SCRUB_RATE if rate is None else rate or None)
    found = Scrubbed()

    async def tell_on() -> None:
        while True:
            await trio.sleep(RUN_TELL_SECS)
            await tell({"so_far": found.describe()})

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_on)
            await scrubber.scrub(wish, found)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise only_error(group) from None
    return found.describe()


async def prune_on_request(pruner: Pruner, options: Document, tell: Tell) -> Document:
    """A run of retention, or with `dry_run` what it would come to."""
    return (await pruner.prune(dry_run=bool(options.get("dry_run")))).document()
