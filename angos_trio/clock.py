"""Wall-clock time, in whole seconds since the epoch. Rules never ask for it: it is a fact given."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

DAY_SECS: Final = 86_400
RELEASED_AT: Final = 1_767_225_600
"""Not later than when this version was made (2026-01-01): a clock that says less is wrong."""

BEHIND_SECS: Final = DAY_SECS
"""A clock that is behind a time that has been by no more may have been set by somebody."""

_counted_from: tuple[int, float] | None = None
"""A time that has been, and when it was told of by the clock that nobody sets."""


def wall_seconds() -> int:
    """What the host's clock says, in seconds since 1970-01-01 UTC, right or wrong."""
    return int(time.time())


def epoch_seconds() -> int:
    """Seconds since 1970-01-01 UTC. While the host's clock says a time at which this version was
    not made yet, they are counted from the newest one that is known to have been."""
    now = wall_seconds()
    if now >= RELEASED_AT or _counted_from is None:
        return now
    at, told_at = _counted_from
    return at + 1 + int(time.monotonic() - told_at)  # later than all that happened then


def count_from(at: int) -> None:
    """A time that has been, in epoch seconds: a clock without a battery may say 1970 all the same.
    It counts in this process and in those that are forked from it."""
    global _counted_from
    _counted_from = max(at, RELEASED_AT), time.monotonic()


def behind() -> tuple[int, int] | None:
    """What the host's clock says, and the time that has been, where it is far behind that: it is
    wrong, or was ahead once. None where nothing speaks against it."""
    now = wall_seconds()
    at = RELEASED_AT if _counted_from is None else _counted_from[0]
    return (now, at) if now < RELEASED_AT or now < at - BEHIND_SECS else None


def iso(at: int) -> str | None:
    """A time in epoch seconds as people and other programs read it (RFC 3339); None for one that is
    no date."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return None


def date_of(day: int) -> str:
    """A day as it is written, `2024-02-29`, by its number from 1970-01-01 UTC. Raises ValueError,
    OverflowError or OSError for one that is in no calendar."""
    return f"{datetime.fromtimestamp(day * DAY_SECS, UTC):%Y-%m-%d}"
