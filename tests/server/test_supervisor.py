"""How long a process that failed waits, and whose turn a new connection is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.limits.processes import CHILD_BACKOFF_SECS_MAX, CHILD_BACKOFF_SECS_MIN, WORKERS_MAX
from angos_trio.limits.requests import ACCEPT_DELAY_SECS, ACCEPT_DELAY_SECS_MAX
from angos_trio.server.sockets import Turns, turn_delay_secs
from angos_trio.server.supervisor import backoff_secs


@pytest.mark.parametrize(
    ("failures", "secs"),
    [(0, 0.1), (1, 0.2), (2, 0.4), (5, 3.2), (8, 25.6), (9, 30.0), (100, 30.0), (10**9, 30.0)],
)
def test_each_failure_in_a_row_doubles_the_wait(failures: int, secs: float) -> None:
    assert backoff_secs(failures) == pytest.approx(secs)


@given(st.integers(0, 10**6))
def test_wait_never_shrinks_and_has_bounds(failures: int) -> None:
    secs = backoff_secs(failures)

    assert CHILD_BACKOFF_SECS_MIN <= secs <= CHILD_BACKOFF_SECS_MAX
    assert backoff_secs(failures + 1) >= secs


def test_worker_with_fewest_connections_does_not_wait() -> None:
    assert turn_delay_secs(0, 0) == 0
    assert turn_delay_secs(7, 7) == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_worker_waits_longer_the_more_it_has(fewest: int, more: int) -> None:
    secs = turn_delay_secs(fewest + more, fewest)

    assert 0 <= secs <= ACCEPT_DELAY_SECS_MAX
    assert turn_delay_secs(fewest + more + 1, fewest) >= secs
    assert secs == pytest.approx(min(more * ACCEPT_DELAY_SECS, ACCEPT_DELAY_SECS_MAX))


def test_turns_are_told_and_kept_for_each_worker() -> None:
    turns = Turns(3)
    assert [turns.delay_secs(worker) for worker in range(3)] == [0, 0, 0]

    turns.tell(0, 2)
    turns.tell(2, 1)

    assert turns.delay_secs(1) == 0
    assert 0 < turns.delay_secs(2) < turns.delay_secs(0)

    turns.tell(1, 5)
    turns.tell(0, 0)
    assert turns.delay_secs(0) == 0
    assert turns.delay_secs(1) == ACCEPT_DELAY_SECS_MAX


def test_the_most_workers_have_a_turn() -> None:
    turns = Turns(WORKERS_MAX)
    turns.tell(WORKERS_MAX - 1, 1)

    assert turns.delay_secs(WORKERS_MAX - 1) > turns.delay_secs(0) == 0
