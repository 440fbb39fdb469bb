"""Wall-clock time, in whole seconds since the epoch. Rules never ask for it: it is a fact given."""

from __future__ import annotations

import time
from datetime import UTC, datetime


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
