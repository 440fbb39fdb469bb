"""What one process notices of itself for the service manager."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from angos_trio.app.building import REFUSED_RELOAD
from angos_trio.app.reporting import problems_of, watch_problems
from angos_trio.limits.processes import REPORT_SECS
from angos_trio.telemetry.health import Readiness


@pytest.mark.parametrize(
    ("readiness", "line"),
    [
        (Readiness(), ""),
        (Readiness(("no room",), ("certificates: old",)), "no room; certificates: old"),
        (Readiness((), (f"{REFUSED_RELOAD}server.x", "read-only")), "read-only"),
    ],
)
def test_problems_are_one_line_without_what_is_told_anyway(readiness: Readiness, line: str) -> None:
    assert problems_of(readiness) == line


def test_problems_are_looked_for_again_and_again() -> None:
    looks = iter([Readiness(("first",)), Readiness(), Readiness(("third",))])
    told: list[str] = []

    async def watch() -> None:
        with trio.move_on_after(2.5 * REPORT_SECS):
            await watch_problems(lambda: next(looks), told.append)

    trio.run(watch, clock=trio.testing.MockClock(autojump_threshold=0.05))
    assert told == ["first", "", "third"]
