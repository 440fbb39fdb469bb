"""What the disk held on the last days, and when it will be full if that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from angos_trio.clock import DAY_SECS
from angos_trio.limits.lists import CHART_DAYS, OUTLOOK_DAYS, OUTLOOK_DAYS_MAX, OUTLOOK_SAMPLES_MIN
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import samples
from angos_trio.storage.metadata.samples import Sample
from angos_trio.storage.store import Space


class Outlook(Frozen):
    """In how many days only what must stay free is left, by so many samples; None: not within ten
    years, or never."""

    days: int | None
    samples: int


async def list_samples(registry: Registry) -> list[Sample]:
    """Those of the last 90 days, in their order."""
    today = registry.now() // DAY_SECS
    find = partial(samples.between, first=today - CHART_DAYS + 1, last=today)
    return await registry.storage.read(find)


def outlook_of(found: Sequence[Sample], space: Space, today: int) -> Outlook | None:
    """By the straight line that is nearest to what was free in the samples of the last 14 days;
    None where fewer than seven have one. `today` is counted in days from 1970."""
    recent = [each for each in found if today - OUTLOOK_DAYS < each.day <= today]
    if len(recent) < OUTLOOK_SAMPLES_MIN:
        return None
    left = space.free_bytes - space.reserve_bytes
    if left <= 0:
        return Outlook(0, len(recent))
    lost = -_slope([(each.at / DAY_SECS, each.free_bytes) for each in recent])
    if lost * OUTLOOK_DAYS_MAX < left:
        return Outlook(None, len(recent))
    return Outlook(int(left / lost), len(recent))


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line with the least squares; 0 where all stand at one place."""
    middle = sum(x for x, _ in points) / len(points)
    level = sum(y for _, y in points) / len(points)
    width = sum((x - middle) ** 2 for x, _ in points)
    rise = sum((x - middle) * (y - level) for x, y in points)
    return rise / width if width else 0.0
