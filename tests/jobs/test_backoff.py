"""Twice as long each time, up to a bound, and never for all at the same moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angos_trio.jobs.backoff import delay_secs


@given(failures=st.integers(1, 10**6), chance=st.floats(0, 1))
def test_delay_is_between_half_and_all_of_what_doubles(failures: int, chance: float) -> None:
    whole = min(60.0, 2.0 ** min(failures - 1, 10))

    found = delay_secs(failures, shortest=1.0, longest=60.0, chance=lambda: chance)

    assert whole / 2 <= found <= whole


def test_delays_as_a_reader_expects_them() -> None:
    found = [
        delay_secs(failures, shortest=1.0, longest=60.0, chance=lambda: 1.0)
        for failures in range(1, 9)
    ]

    assert found == [1, 2, 4, 8, 16, 32, 60, 60]
