"""Wall-clock time, in whole seconds since the epoch. Rules never ask for it: it is a fact given."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

DAY_SECS: Final = 86_400


def epoch_seconds() -> int:
    """Seconds since 1970-01-01 UTC."""
    return int(time.time())


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
