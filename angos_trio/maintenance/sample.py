"""What the disk holds, noted each day: what a chart is drawn from, and an outlook.

The sums are taken a page at a time, so that everybody else has their turn: what is pushed or
deleted meanwhile may be counted or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from angos_trio.clock import DAY_SECS
from angos_trio.oci.codes import OciError
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.storage.metadata import samples
from angos_trio.storage.metadata.samples import Sample
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Outcome, Rows, Transaction
from angos_trio.telemetry.log import logger

_log = logger("maintenance.sample")
FIRST_SECS: Final = 60.0
"""After a start, before the first look whether a sample is due;"""
LOOK_SECS: Final = 600.0
"""between two looks."""
AGAIN_SECS: Final = 6 * 3600
"""The sample of a day is taken anew after this, so that it tells of the end of its day."""
DAYS_MAX: Final = 400
"""Days of which a sample is kept."""
ROWS: Final = 1000
"""That are added up at once;"""
REST: Final = 1.0
"""and then everybody else has so many times as long."""


async def sample(current: Callable[[], Registry]) -> None:
    """Take a sample when one is due, until cancelled; not while the registry is read-only. What a
    disk refuses waits for the next look."""
    await trio.sleep(FIRST_SECS)
    while True:
        registry = current()
        try:
            if await is_due(registry):
                await take_sample(registry)
        except ReadOnlyError:
            pass
        except OciError as error:
            _log.warning("sample.refused", error=str(error.__cause__ or error))
        await trio.sleep(LOOK_SECS)


async def is_due(registry: Registry) -> bool:
    """Whether today has no sample, or one that is some hours old or of a time that has not come."""
    now = registry.now()
    last = await registry.storage.read(partial(samples.newest, last=now // DAY_SECS))
    if last is None or last.day < now // DAY_SECS:
        return True
    return not 0 <= now - last.at < AGAIN_SECS


async def take_sample(registry: Registry) -> Sample:
    """Count what there is and keep it, in the place of an earlier sample of the day; those that are
    too old go. Raises ReadOnlyError (405), UNAVAILABLE (503, 507)."""
    await registry.require_changeable()
    storage = registry.storage
    tags, manifests = await _sum_namespaces(storage)
    blob_bytes, named_bytes = await _sum_blobs(storage), await _sum_images(storage)
    space = await trio.to_thread.run_sync(storage.space)
    now = registry.now()
    taken = Sample(now // DAY_SECS, now, blob_bytes, named_bytes, space.free_bytes, tags, manifests)

    def step(transaction: Transaction) -> None:
        samples.put(transaction.rows, taken)
        samples.prune(transaction.rows, taken.day - DAYS_MAX + 1)

    await registry.change(step)
    return taken


async def _sum_blobs(storage: Storage) -> int:
    total, last = 0, ""
    while True:
        page, last = await _page(storage, partial(samples.sum_blobs, after=last, limit=ROWS))
        total += page
        if not last:
            return total


async def _sum_images(storage: Storage) -> int:
    total, last = 0, (0, "")
    while True:
        page, last = await _page(storage, partial(samples.sum_images, after=last, limit=ROWS))
        total += page
        if not last[1]:
            return total


async def _sum_namespaces(storage: Storage) -> tuple[int, int]:
    tags = manifests = last = 0
    while True:
        found = await _page(storage, partial(samples.sum_namespaces, after=last, limit=ROWS))
        tags, manifests, last = tags + found[0], manifests + found[1], found[2]
        if not last:
            return tags, manifests


async def _page(storage: Storage, query: Callable[[Rows], Outcome]) -> Outcome:
    """One page of rows, and a rest for everybody else."""
    begun_at = time.monotonic()
    found = await storage.read(query)
    await trio.sleep(REST * (time.monotonic() - begun_at))
    return found
