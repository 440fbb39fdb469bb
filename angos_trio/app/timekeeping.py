"""A clock that says a time that cannot be: what is known of time all the same.

A host without a battery begins in 1970. Rows are then stamped, and leases, keys and tokens judged,
by a time that goes on from the newest change. A clock that is behind that and could be right is
believed, since it may have been ahead before; nothing is deleted by age until that is clear.
"""

from __future__ import annotations

from functools import partial

from angos_trio.clock import RELEASED_AT, behind, count_from, iso
from angos_trio.limits.housekeeping import TIME_ROWS
from angos_trio.storage.metadata import events
from angos_trio.storage.store import Storage
from angos_trio.telemetry.log import logger

_log = logger("app")


async def keep_time(storage: Storage) -> None:
    """Let this process know a time that has been. Raises UNAVAILABLE (503)."""
    count_from(await storage.read(partial(events.newest_time, looked_at=TIME_ROWS)))


def tell_time() -> None:
    """Say in the log when the clock cannot be right."""
    problem = time_problem()
    if problem is not None:
        _log.warning("clock.behind", problem=problem)


def time_problem() -> str | None:
    """What is wrong with the clock now, and what to do; None where nothing is known to be."""
    found = behind()
    if found is None:
        return None
    now, at = found
    told = (
        f"the clock of this host says {iso(now)}, which is before the newest change, of {iso(at)}"
    )
    if now < RELEASED_AT:
        return f"{told}: set it; until then time is counted from that, and retention rests"
    return f"{told}: set it, or wait if it was ahead then; until then retention rests"
