"""When something that failed is tried again."""

from __future__ import annotations

import secrets
from collections.abc import Callable

_DOUBLINGS_MAX = 32
_DRAW = secrets.SystemRandom()


def chance() -> float:
    """A number from 0 to 1, another each time."""
    return _DRAW.random()


def delay_secs(
    failures: int, *, shortest: float, longest: float, chance: Callable[[], float]
) -> float:
    """Seconds to wait after so many failures in a row, of which there is one at least: twice as
    long each time, and of that between a half and all, so that not everybody comes back at once.
    `chance` gives a number from 0 to 1."""
    whole = min(longest, shortest * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))
    return whole * (0.5 + 0.5 * chance())
