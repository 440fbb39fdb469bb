"""What the disk holds, and what sharing saves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from angos_trio.browse.repositories import deep_names
from angos_trio.identity import Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.housekeeping import TALLIED_MAX
from angos_trio.limits.lists import IMAGES_WITH_MAX, LARGEST_EXAMINED_MAX, LARGEST_MAX
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.registry.rested import Rested
from angos_trio.storage.metadata import leases, totals
from angos_trio.storage.metadata.leases import Tally
from angos_trio.storage.metadata.totals import Share, Totals
from angos_trio.storage.transactions import Rows


class StorageUse(Frozen):
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


async def look_at_storage(
    registry: Registry, caller: Caller, looks: Rested[StorageUse]
) -> StorageUse:
    """The last look, or a new one; of its names those that the caller sees."""
    deep = deep_names(registry)

    async def take() -> StorageUse:
        return await registry.storage.read(partial(_look, now=registry.now(), deep=deep))

    last = await looks.look(take)
    names = [name for name, _ in last.namespaces]
    await caller.learn(names, trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
    seen = [row for row in last.namespaces if caller.sees(row[0])]
    # A share is a sum over all that is in a repository.
    shares = [each for each in last.shares if caller.sees_all(each.repository)]
    at = min(last.at, registry.now())  # the clock may have been set back since
    return replace(last, at=at, namespaces=seen[:LARGEST_MAX], shares=shares)


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
