"""What the disk holds, and what sharing saves."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import trio

from angos_trio.identity import Caller
from angos_trio.limits import (
    LARGEST_EXAMINED_MAX,
    LARGEST_MAX,
    STORAGE_USE_SECS,
    WEBHOOK_QUESTIONS_SECS_MAX,
)
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import totals
from angos_trio.storage.metadata.totals import Totals
from angos_trio.storage.transactions import Rows


@dataclass(frozen=True, slots=True)
class StorageUse:
    """A look at the whole registry: sums, and what is largest. `at` in epoch seconds."""

    at: int
    totals: Totals
    blobs: list[tuple[str, int, int]]
    namespaces: list[tuple[str, int]]


@dataclass(slots=True)
class StorageLooks:
    """The last look: one is good for a while, and nobody looks while another does."""

    _last: StorageUse | None = None
    _lock: trio.Lock = field(default_factory=trio.Lock)

    async def look(self, registry: Registry, caller: Caller) -> StorageUse:
        """The last look, or a new one; of its namespaces those that the caller sees."""
        async with self._lock:
            last = self._last
            now = registry.now()
            if last is None or not 0 <= now - last.at < STORAGE_USE_SECS:
                last = self._last = await registry.storage.read(partial(_look, now=now))
        names = [name for name, _ in last.namespaces]
        await caller.learn(names, trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
        seen = [row for row in last.namespaces if caller.sees(row[0])]
        return StorageUse(last.at, last.totals, last.blobs, seen[:LARGEST_MAX])


def _look(rows: Rows, now: int) -> StorageUse:
    """Runs in a reader's thread."""
    return StorageUse(
        at=now,
        totals=totals.totals(rows),
        blobs=totals.largest_blobs(rows, LARGEST_MAX),
        namespaces=totals.largest_namespaces(rows, LARGEST_EXAMINED_MAX),
    )
