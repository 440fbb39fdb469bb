"""What the disk holds, and what sharing saves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import trio

from angos_trio.identity import Caller
from angos_trio.limits import (
    IMAGES_WITH_MAX,
    LARGEST_EXAMINED_MAX,
    LARGEST_MAX,
    STORAGE_USE_REST,
    STORAGE_USE_SECS,
    TALLIED_MAX,
    WEBHOOK_QUESTIONS_SECS_MAX,
)
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import leases, totals
from angos_trio.storage.metadata.leases import Tally
from angos_trio.storage.metadata.totals import Share, Totals
from angos_trio.storage.transactions import Rows


@dataclass(frozen=True, slots=True)
class StorageUse:
    """A look at the whole registry: sums, what is largest, and what repositories share. `at` in
    epoch seconds; of blobs digest, bytes, and by how many namespaces and images they are held, the
    latter up to a bound; `untagged` are manifests without a tag that nothing else names."""

    at: int
    totals: Totals
    blobs: list[tuple[str, int, int]]
    namespaces: list[tuple[str, int]]
    images: list[int]
    shares: list[Share]
    untagged: Tally

    @property
    def saved_ratio(self) -> float | None:
        """How many times smaller the disk's use is than if nothing were shared."""
        on_disk = self.totals.blob_bytes
        return self.totals.named_bytes / on_disk if on_disk else None


@dataclass(slots=True)
class StorageLooks:
    """The last look. One is good for half a minute, and for twenty times as long as it took; while
    somebody looks anew, everybody else has the last one."""

    _last: StorageUse | None = None
    _stale_at: float = 0.0
    _lock: trio.Lock = field(default_factory=trio.Lock)

    async def look(self, registry: Registry, caller: Caller) -> StorageUse:
        """The last look, or a new one; of its names those that the caller sees."""
        last = self._last
        if last is None or (self._is_stale(registry, last) and not self._lock.locked()):
            async with self._lock:
                last = self._last
                if last is None or self._is_stale(registry, last):
                    last = await self._look_anew(registry)
        names = [name for name, _ in last.namespaces]
        await caller.learn(names, trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
        seen = [row for row in last.namespaces if caller.sees(row[0])]
        # A share is a sum over all that is in a repository.
        shares = [each for each in last.shares if caller.sees_all(each.repository)]
        return replace(last, namespaces=seen[:LARGEST_MAX], shares=shares)

    def _is_stale(self, registry: Registry, last: StorageUse) -> bool:
        return time.monotonic() >= self._stale_at or registry.now() < last.at

    async def _look_anew(self, registry: Registry) -> StorageUse:
        deep = [name for name in registry.tag_rules.by_repository if "/" in name]
        began = time.monotonic()
        found = await registry.storage.read(partial(_look, now=registry.now(), deep=deep))
        took = time.monotonic() - began
        self._stale_at = began + took + max(STORAGE_USE_SECS, STORAGE_USE_REST * took)
        self._last = found
        return found


def _look(rows: Rows, now: int, deep: Sequence[str]) -> StorageUse:
    """Runs in a reader's thread."""
    blobs = totals.largest_blobs(rows, LARGEST_MAX)
    return StorageUse(
        at=now,
        totals=totals.totals(rows),
        blobs=blobs,
        namespaces=totals.largest_namespaces(rows, LARGEST_EXAMINED_MAX),
        images=[totals.count_images_with(rows, digest, IMAGES_WITH_MAX) for digest, _, _ in blobs],
        shares=totals.shares_by_repository(rows, deep)[:LARGEST_EXAMINED_MAX],
        untagged=leases.tally_untagged(rows, None, TALLIED_MAX),
    )
