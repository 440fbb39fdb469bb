"""What a scrub consists of, and the one that nobody has to ask for."""

from __future__ import annotations

from contextlib import suppress

import trio

from angos_trio.limits.housekeeping import SCRUB_LOOK_SECS, SCRUB_SAVE_SECS
from angos_trio.maintenance.collect import Collector
from angos_trio.maintenance.scrub import Scrubber, Wish
from angos_trio.maintenance.scrub_files import scrub_blobs, scrub_files
from angos_trio.maintenance.scrub_rows import (
    scrub_counts,
    scrub_database,
    scrub_manifests,
    scrub_rows,
)
from angos_trio.oci.codes import OciError
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.storage.metadata import integrity
from angos_trio.storage.transactions import Transaction
from angos_trio.telemetry.metrics import Metrics


def scrubber_of(collector: Collector, metrics: Metrics) -> Scrubber:
    """All parts, in an order in which none finds what an earlier one repaired or brought about."""
    parts = (
        ("database", scrub_database),
        ("rows", scrub_rows),
        ("manifests", scrub_manifests),
        ("blobs", scrub_blobs),
        ("files", scrub_files),
        ("counts", scrub_counts),
    )
    return Scrubber(collector, parts, metrics.scrub_finds)


async def scrub_when_due(scrubber: Scrubber) -> None:
    """Scrub each time that it is due, until cancelled."""
    while True:
        with suppress(ReadOnlyError):
            await scrub_if_due(scrubber)
        await trio.sleep(SCRUB_LOOK_SECS)


async def scrub_if_due(scrubber: Scrubber) -> None:
    """Scrub if the last pass is long enough ago, or was interrupted.

    A store that was never scrubbed is due an interval after it was first seen.
    """
    registry = scrubber.collector.current()
    secs = registry.limits.scrub_secs
    if secs is None:
        return
    state = await registry.storage.read(integrity.state)
    if state is None:
        await _keep(registry, "", registry.now())
    elif state[0] or state[1] + secs <= registry.now():
        await _scrub_behind(scrubber, *state)


async def _scrub_behind(scrubber: Scrubber, cursor: str, ended_at: int) -> None:
    """One pass; its place among the blobs is kept each minute, so that a restart goes on there."""
    registry = scrubber.collector.current()
    kept_at = trio.current_time()

    async def passed(digest: str) -> None:
        nonlocal kept_at
        if trio.current_time() - kept_at >= SCRUB_SAVE_SECS:
            kept_at = trio.current_time()
            with suppress(OciError):  # a place that cannot be kept now ends no pass
                await _keep(registry, digest, ended_at)

    wish = Wish(False, registry.limits.scrub_bytes_per_sec, cursor, passed)
    await scrubber.scrub(wish)
    await _keep(registry, "", registry.now())


async def _keep(registry: Registry, cursor: str, ended_at: int) -> None:
    def step(transaction: Transaction) -> None:
        integrity.keep_state(transaction.rows, cursor, ended_at)

    await registry.change(step)
