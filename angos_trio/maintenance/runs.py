"""The kinds of runs that can be asked for, from their options to their outcome."""

from __future__ import annotations

from dataclasses import asdict

from angos_trio.limits.housekeeping import HURRIED_LEASE_SECS, SCRUB_RATE
from angos_trio.maintenance.collect import Collector, terms_of
from angos_trio.maintenance.preview import preview
from angos_trio.maintenance.prune import Pruner
from angos_trio.maintenance.scrub import Scrubber, Wish
from angos_trio.maintenance.tasks import Document, Tell
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
    found = await scrubber.scrub(wish)
    return found.describe()


async def prune_on_request(pruner: Pruner, options: Document, tell: Tell) -> Document:
    """A run of retention, or with `dry_run` what it would come to."""
    return (await pruner.prune(dry_run=bool(options.get("dry_run")))).document()
