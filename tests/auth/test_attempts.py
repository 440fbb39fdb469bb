"""Failed attempts: who fails too often waits, and nobody else does."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.attempts import Attempts, network_of
from angos_trio.limits.callers import (
    FAILURE_DEBT_SECS_MAX,
    FAILURES_KEPT_MAX,
    FAILURES_OF_ADDRESS,
    FAILURES_OF_USER,
)
from tests.oci.strategies import QUICK

HERE, THERE = "192.0.2.1", "198.51.100.7"


def failing(attempts: Attempts, count: int, user: str = "alice", now: float = 0) -> Attempts:
    for _ in range(count):
        attempts.failed(HERE, user, now)
    return attempts


def test_ten_in_a_minute_may_fail_and_then_one_each_six_seconds() -> None:
    attempts = failing(Attempts(), FAILURES_OF_USER - 1)
    assert attempts.blocked_secs(HERE, "alice", 0) == 0

    attempts.failed(HERE, "alice", 0)
    assert attempts.blocked_secs(HERE, "alice", 0) == pytest.approx(6)
    assert attempts.blocked_secs(HERE, "alice", 5) == pytest.approx(1)
    assert attempts.blocked_secs(HERE, "alice", 6) == 0

    attempts.failed(HERE, "alice", 6)
    assert attempts.blocked_secs(HERE, "alice", 6) == pytest.approx(6)


def test_other_users_and_other_addresses_are_not_blocked() -> None:
    attempts = failing(Attempts(), FAILURES_OF_USER)

    assert attempts.blocked_secs(HERE, "bob", 0) == 0
    assert attempts.blocked_secs(THERE, "alice", 0) == 0


def test_address_that_tries_many_names_is_blocked_for_all() -> None:
    attempts = Attempts()
    for number in range(FAILURES_OF_ADDRESS):
        assert attempts.blocked_secs(HERE, "someone", 0) == 0
        attempts.failed(HERE, f"user {number}", 0)

    assert attempts.blocked_secs(HERE, "someone", 0) == pytest.approx(1)
    assert attempts.blocked_secs(THERE, "user 1", 0) == 0


def test_many_that_were_under_way_at_once_cost_what_they_are_but_not_for_ever() -> None:
    attempts = failing(Attempts(), 20)
    assert attempts.blocked_secs(HERE, "alice", 0) == pytest.approx(66)

    failing(attempts, 10_000)
    waits = attempts.blocked_secs(HERE, "alice", 0)
    assert FAILURE_DEBT_SECS_MAX <= waits <= FAILURE_DEBT_SECS_MAX + 6


def test_success_forgives_the_name_and_not_the_address() -> None:
    attempts = failing(Attempts(), FAILURES_OF_USER)
    attempts.succeeded(HERE, "alice")
    assert attempts.blocked_secs(HERE, "alice", 0) == 0

    for number in range(FAILURES_OF_ADDRESS):
        attempts.failed(HERE, f"user {number}", 0)
    attempts.succeeded(HERE, "mallory")
    assert attempts.blocked_secs(HERE, "mallory", 0) > 0


@pytest.mark.parametrize(("processes", "allowed"), [(1, 10), (2, 5), (4, 3), (64, 3)])
def test_limit_is_divided_by_the_processes_but_leaves_three(processes: int, allowed: int) -> None:
    attempts = Attempts(processes)
    count = 0
    while attempts.blocked_secs(HERE, "alice", 0) == 0:
        attempts.failed(HERE, "alice", 0)
        count += 1

    assert count == allowed


@QUICK
@given(st.lists(st.floats(0, 20), max_size=40))
def test_over_any_time_no_more_pass_than_the_limit(gaps: list[float]) -> None:
    attempts, now, passed = Attempts(), 0.0, []
    for gap in gaps:
        now += gap
        if attempts.blocked_secs(HERE, "alice", now) == 0:
            attempts.failed(HERE, "alice", now)
            passed.append(now)

    for first, begun in enumerate(passed):
        for count, ended in enumerate(passed[first:], 1):
            assert count <= FAILURES_OF_USER + (ended - begun) / 6 + 1e-6


@pytest.mark.slow
def test_names_that_are_made_up_cost_no_memory() -> None:
    attempts = Attempts()
    tracemalloc.start()
    for number in range(2 * FAILURES_KEPT_MAX):
        attempts.failed(f"2001:db8:{number:x}::1", f"{number}" * 10_000, number)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert used < 6_000_000


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("local", "192.0.2.1", False),
        ("no address", "no other", False),
    ],
)
def test_place_is_an_address_or_the_network_of_one_host(
    one: str, other: str, are_one: bool
) -> None:
    assert (network_of(one) == network_of(other)) == are_one
