"""What the storage page says of other days: a chart, the same as rows, an outlook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from angos_trio.browse.over_time import Outlook
from angos_trio.clock import date_of
from angos_trio.limits.lists import CHART_DAYS, OUTLOOK_DAYS, OUTLOOK_DAYS_MAX
from angos_trio.records import Frozen
from angos_trio.storage.metadata.samples import Sample
from angos_trio.web.words import counted, number, size

DAY_UNITS: Final = 10
"""The width of a day in the drawing,"""
HEIGHT: Final = 1000
"""and how high the largest sample is."""
DAYS_MIN: Final = 14
"""A chart of fewer days would be all edges."""
SOON_DAYS: Final = 7
"""A disk that is full by then is a reason to look."""


class Chart(Frozen):
    """An area for each row of days with a sample, as SVG's paths, `width` units wide; what stands
    beside it; and the samples, the latest first, with their dates."""

    areas: Sequence[str]
    width: int
    title: str
    highest: str
    first: str
    last: str
    missing: int
    rows: Sequence[tuple[str, Sample]]


def chart_of(samples: Sequence[Sample], today: int) -> Chart | None:
    """Of bytes on disk in the last 90 days, or in as many as there are; None without two samples.
    Days without a sample are gaps. `today` is counted in days from 1970."""
    if len(samples) < 2:
        return None
    days = min(CHART_DAYS, max(DAYS_MIN, today - samples[0].day + 1))
    first = today - days + 1
    held = [sample.blob_bytes for sample in samples]
    return Chart(
        areas=[_area(run, first, max(held)) for run in _runs(samples)],
        width=days * DAY_UNITS,
        title=(
            f"On disk from {date_of(samples[0].day)} to {date_of(samples[-1].day)}: "
            f"at least {size(min(held))}, at most {size(max(held))}, "
            f"last {size(held[-1])}"
        ),
        highest=size(max(held)),
        first=date_of(first),
        last=date_of(today),
        missing=samples[-1].day - samples[0].day + 1 - len(samples),
        rows=[(date_of(sample.day), sample) for sample in reversed(samples)],
    )


def _runs(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Samples of days that follow each other."""
    run: list[Sample] = []
    for sample in samples:
        if run and sample.day != run[-1].day + 1:
            yield run
            run = []
        run.append(sample)
    if run:
        yield run


def _area(run: Sequence[Sample], first: int, highest: int) -> str:
    """From the middle of each day to that of the next; to the edges of the first and the last."""
    middle = DAY_UNITS // 2
    points = [
        ((sample.day - first) * DAY_UNITS + middle, _height(sample.blob_bytes, highest))
        for sample in run
    ]
    left, right = points[0][0] - middle, points[-1][0] + middle
    line = " ".join(f"L{x} {y}" for x, y in points)
    return f"M{left} {HEIGHT} V{points[0][1]} {line} H{right} V{HEIGHT}Z"


def _height(count: int, highest: int) -> int:
    """Where a count stands, from above; what is not nothing is seen."""
    units = max(1, count * HEIGHT // highest) if count else 0
    return HEIGHT - units


class Foretold(Frozen):
    """An outlook in words: the figure of a tile, what it rests on, and whether it is soon."""

    figure: str
    note: str
    is_soon: bool


def foretold(outlook: Outlook) -> Foretold:
    """What it comes to, and by what."""
    basis = f"by {counted(outlook.samples, 'sample')} of {OUTLOOK_DAYS} days"
    if outlook.days is None:
        return Foretold("–", f"not within {OUTLOOK_DAYS_MAX // 365} years, {basis}", False)
    return Foretold(number(outlook.days), basis, outlook.days < SOON_DAYS)
