"""Wall-clock time, in whole seconds since the epoch. Rules never ask for it: it is a fact given."""

from __future__ import annotations

import time


def epoch_seconds() -> int:
    """Seconds since 1970-01-01 UTC."""
    return int(time.time())
