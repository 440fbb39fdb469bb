"""Copies of the database that are kept in the data directory, should the database be damaged."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from angos_trio.limits.housekeeping import COPY_LOOK_SECS, COPY_MARKS, COPY_SECS
from angos_trio.oci.codes import OciError
from angos_trio.registry.context import Registry
from angos_trio.telemetry.log import logger

_log = logger("maintenance.copies")


def superfluous(made_at: Sequence[int], now: int) -> list[int]:
    """Which copies to remove: all but the newest, and the last before each of the marks: the past
    two quarters of a day and three halves of a day.

    Each mark was a younger one before, so what it needs has been kept. There is always one of 6 to
    12 hours before, and one of 24 to 36, and an hour more where one is made each hour.
    """
    kept = {max(made_at)}
    for secs, count in COPY_MARKS:
        for number in range(count):
            mark = (now // secs - number) * secs
            kept.update([max((at for at in made_at if at <= mark), default=max(made_at))])
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
        past = [
            moment for moment in made_at if moment <= registry.now()
        ]  # of a clock that is right
        is_due = not past or registry.now() - past[-1] >= COPY_SECS
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
