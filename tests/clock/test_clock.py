"""What time it is when the host's clock says what cannot be."""

from __future__ import annotations

import time

import pytest

from angos_trio import clock
from angos_trio.app.timekeeping import time_problem
from angos_trio.clock import BEHIND_SECS, DAY_SECS, RELEASED_AT, behind, count_from, epoch_seconds

PAST = RELEASED_AT + 200 * DAY_SECS


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_counted_from", None)


def host_says(monkeypatch: pytest.MonkeyPatch, at: float) -> None:
    monkeypatch.setattr(time, "time", lambda: at)


def test_clock_of_the_host_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    count_from(PAST)
    host_says(monkeypatch, PAST + 5.9)
    assert (epoch_seconds(), behind(), time_problem()) == (PAST + 5, None, None)
    host_says(monkeypatch, PAST - BEHIND_SECS)
    assert (epoch_seconds(), behind()) == (PAST - BEHIND_SECS, None)


def test_clock_in_1970_is_not_believed_and_time_goes_on_from_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host_says(monkeypatch, 7.0)
    assert epoch_seconds() == 7, "nothing else is known yet"
    count_from(PAST)
    ticks = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: ticks + 100)
    assert epoch_seconds() in (PAST + 100, PAST + 101)
    assert behind() == (7, PAST)
    assert "says 1970-01-01T00:00:07Z" in (time_problem() or "")
    host_says(monkeypatch, PAST + 1000)
    assert (epoch_seconds(), time_problem()) == (PAST + 1000, None)


def test_without_rows_it_is_not_before_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    host_says(monkeypatch, 7.0)
    count_from(0)
    assert epoch_seconds() in (RELEASED_AT + 1, RELEASED_AT + 2)
    assert behind() == (7, RELEASED_AT)


def test_clock_that_is_behind_and_could_be_right_is_believed_and_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count_from(PAST)
    now = PAST - BEHIND_SECS - 1
    host_says(monkeypatch, float(now))
    assert (epoch_seconds(), behind()) == (now, (now, PAST))
    assert "or wait if it was ahead then" in (time_problem() or "")
