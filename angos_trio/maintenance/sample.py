"""What the disk holds, noted each day: what a chart is drawn from, and an outlook.

The sums are taken a page at a time, so that everybody else has their turn: what is pushed or
deleted meanwhile may be counted or not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from angos_trio.clock import DAY_SECS
from angos_trio.limits.housekeeping import (
    SAMPLE_AGAIN_SECS,
    SAMPLE_DAYS_MAX,
    SAMPLE_FIRST_SECS,
    SAMPLE_LOOK_SECS,
    SAMPLE_REST,
    SAMPLE_ROWS,
)
from angos_trio.maintenance.resting import read_and_rest
from angos_trio.oci.codes import OciError
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.storage.metadata import samples
from angos_trio.storage.metadata.samples import Sample
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Transaction
from angos_trio.telemetry.log import logger

_log = logger("maintenance.sample")


async def sample(current: Callable[[], Registry]) -> None:
    """Take a sample when one is due, until cancelled; not while the registry is read-only. What a
    disk refuses waits for the next look."""
    await trio.sleep(SAMPLE_FIRST_SECS)
    while True:
        registry = current()
        try:
            if await is_due(registry):
                await take_sample(registry)
        except ReadOnlyError:
            pass
        except OciError as error:
            _log.warning("sample.refused", error=str(error.__cause__ or error))
        await trio.sleep(SAMPLE_LOOK_SECS)


async def is_due(registry: Registry) -> bool:
    """Whether today has no sample, or one that is some hours old or of a time that has not come."""
    now = registry.now()
    last = await registry.storage.read(partial(samples.newest, last=now // DAY_SECS))
    if last is None or last.day < now // DAY_SECS:
        return True
    return not 0 <= now - last.at < SAMPLE_AGAIN_SECS


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
        samples.prune(transaction.rows, taken.day - SAMPLE_DAYS_MAX + 1)

    await registry.change(step)
    return taken


async def _sum_blobs(storage: Storage) -> int:
    total, last = 0, ""
    while True:
        query = partial(samples.sum_blobs, after=last, limit=SAMPLE_ROWS)
        page, last = await read_and_rest(storage, query, SAMPLE_REST)
        total += page
        if not last:
            return total


async def _sum_images(storage: Storage) -> int:
    total, last = 0, (0, "")
    while True:
        query = partial(samples.sum_images, after=last, limit=SAMPLE_ROWS)
        page, last = await read_and_rest(storage, query, SAMPLE_REST)
        total += page
        if not last[1]:
            return total


async def _sum_namespaces(storage: Storage) -> tuple[int, int]:
    tags = manifests = last = 0
    while True:
        query = partial(samples.sum_namespaces, after=last, limit=SAMPLE_ROWS)
        found = await read_and_rest(storage, query, SAMPLE_REST)
        tags, manifests, last = tags + found[0], manifests + found[1], found[2]
        if not last:
            return tags, manifests
