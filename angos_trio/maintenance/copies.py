"""Copies of the database that are kept in the data directory, should the database be damaged."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from angos_trio.limits import COPY_AGES_SECS, COPY_LOOK_SECS, COPY_SECS
from angos_trio.oci.codes import OciError
from angos_trio.registry.context import Registry
from angos_trio.telemetry.log import logger

_log = logger("maintenance.copies")


def superfluous(made_at: Sequence[int], now: int) -> list[int]:
    """Which copies to remove: all but those whose ages are nearest to 0, 6 and 24 hours.

    With a copy each hour the second is between 1 and 11 hours old, and the third between 11 and 37.
    """
    kept = {min(made_at, key=lambda at: (abs(now - at - age), -at)) for age in COPY_AGES_SECS}
    return sorted(set(made_at) - kept)


async def copy(registry: Registry) -> None:
    """Make a copy when the newest is an hour old and something was committed since, until
    cancelled. Those that are not kept go; where the disk is short, all but the newest go."""
    storage = registry.storage
    copied_version: int | None = None
    while True:
        await trio.sleep(COPY_LOOK_SECS)
        made_at = await storage.kept_copies()
        if made_at and not storage.space().is_enough:
            await _drop(registry, made_at[:-1])
        is_due = not made_at or registry.now() - made_at[-1] >= COPY_SECS
        version = storage.version()
        if is_due and version != copied_version:
            copied_version = await _copy(registry, version)


async def _copy(registry: Registry, version: int) -> int | None:
    """Make one; the version of the database that it has, None when there is no room for it."""
    storage, now = registry.storage, registry.now()
    try:
        await storage.keep_copy(now)
    except OciError as error:
        if error.status != 507:
            raise
        _log.warning("copy.no_space")
        return None
    made_at = [moment for moment in await storage.kept_copies() if moment <= now]
    await _drop(registry, superfluous(made_at, now))
    return version


async def _drop(registry: Registry, made_at: Sequence[int]) -> None:
    if made_at:
        await registry.storage.drop_copies(made_at)
