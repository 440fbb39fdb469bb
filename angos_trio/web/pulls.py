"""The tab of a manifest's page that tells who pulled it lately, and how often each day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from angos_trio.browse.pulls import PullHistory
from angos_trio.clock import DAY_SECS, date_of
from angos_trio.limits.storage import PULL_DAYS, PULL_LINE_SECS_MAX, PULL_LINES_PER_MANIFEST_MAX
from angos_trio.records import Frozen
from angos_trio.web.words import counted, number, span

STEP_UNITS: Final = 20
"""From one bar to the next, in the units of the drawing;"""
BAR_UNITS: Final = 16
"""how wide a bar is,"""
HEIGHT_UNITS: Final = 64
"""and how high the highest."""
RETENTION: Final = (
    f"The newest {PULL_LINES_PER_MANIFEST_MAX} pulls are told one by one, for "
    f"{span(PULL_LINE_SECS_MAX)} at most. A pull is here after a few seconds."
)
"""What is kept, in words."""


class Bar(Frozen):
    """A day in the chart, in units from its upper left; `said` is the same in words."""

    day: str
    count: int
    x: int
    y: int
    height: int

    @property
    def said(self) -> str:
        """The day and its pulls."""
        return f"{self.day}: {counted(self.count, 'pull')}"


class PullsView(Frozen):
    """What the tab shows. `partial_since` is since when the days are whole, in epoch seconds, where
    that is within them."""

    history: PullHistory
    bars: Sequence[Bar]
    said: str
    most: int
    partial_since: int | None

    @property
    def width(self) -> int:
        """Of the drawing, in units."""
        return STEP_UNITS * len(self.bars)


def view_of(history: PullHistory) -> PullsView:
    """The history as the page shows it."""
    bars = bars_of(history.days)
    since, first = history.since, history.days[0][0]
    return PullsView(
        history,
        bars,
        said_of(bars),
        max(bar.count for bar in bars),
        since if since is not None and since > first else None,
    )


def bars_of(days: Sequence[tuple[int, int]]) -> list[Bar]:
    """Bars as high as days have pulls, the highest over all the height; one pull is seen."""
    most = max((count for _, count in days), default=0)
    bars = []
    for index, (at, count) in enumerate(days):
        height = max(2, count * HEIGHT_UNITS // most) if count else 0
        day = date_of(at // DAY_SECS)
        bars.append(Bar(day, count, index * STEP_UNITS, HEIGHT_UNITS - height, height))
    return bars


def said_of(bars: Sequence[Bar]) -> str:
    """The chart in a sentence."""
    total = sum(bar.count for bar in bars)
    if not total:
        return f"No pulls in the last {PULL_DAYS} days."
    most = max(bars, key=lambda bar: bar.count)
    days = sum(bar.count > 0 for bar in bars)
    if days == 1:
        return f"{counted(total, 'pull')} in the last {PULL_DAYS} days, all on {most.day}."
    return (
        f"{counted(total, 'pull')} in the last {PULL_DAYS} days, on {number(days)} of them; "
        f"the most on {most.day}: {number(most.count)}."
    )
