"""The outlook: a straight line through what was free, and when there is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angos_trio.browse.over_time import Outlook, outlook_of
from angos_trio.clock import DAY_SECS
from angos_trio.limits.lists import OUTLOOK_DAYS_MAX
from angos_trio.storage.metadata.samples import Sample
from angos_trio.storage.store import Space

TODAY = 20_000
GB = 10**9


def free(day: int, count: int) -> Sample:
    """A sample of a day of which only free bytes matter."""
    return Sample(day, day * DAY_SECS, 0, 0, count, 0, 0)


def falling(days: int, lost: int, left: int = 100 * GB) -> list[Sample]:
    """A sample a day until today; so many bytes fewer are free each day."""
    return [free(TODAY - ago, left + ago * lost) for ago in reversed(range(days))]


def test_disk_that_fills_evenly_is_full_when_what_is_left_is_used_up() -> None:
    space = Space(free_bytes=100 * GB, reserve_bytes=10 * GB)

    assert outlook_of(falling(14, 3 * GB), space, TODAY) == Outlook(30, 14)
    assert outlook_of(falling(14, 4 * GB), space, TODAY) == Outlook(22, 14)


def test_fewer_than_seven_samples_foretell_nothing() -> None:
    space = Space(100 * GB, 0)

    assert outlook_of(falling(6, GB), space, TODAY) is None
    assert outlook_of(falling(7, GB), space, TODAY) == Outlook(100, 7)


def test_only_the_last_14_days_count() -> None:
    space = Space(100 * GB, 0)
    before = [free(TODAY - ago, 900_000 * GB) for ago in range(30, 13, -1)]
    later = [free(TODAY + ago, 0) for ago in range(1, 9)]

    assert outlook_of([*before, *falling(14, GB), *later], space, TODAY) == Outlook(100, 14)
    assert outlook_of([*before, *falling(6, GB)], space, TODAY) is None


def test_days_without_a_sample_are_no_days_without_a_change() -> None:
    every_other = falling(14, GB)[1::2]

    assert outlook_of(every_other, Space(100 * GB, 0), TODAY) == Outlook(100, 7)


def test_disk_that_does_not_fill_is_never_full() -> None:
    space = Space(100 * GB, 0)

    for lost in (0, -GB, 1):
        assert outlook_of(falling(14, lost), space, TODAY) == Outlook(None, 14)


def test_disk_without_room_is_full_now_however_it_went() -> None:
    for lost in (GB, -GB):
        assert outlook_of(falling(9, lost), Space(5, 5), TODAY) == Outlook(0, 9)


def test_samples_of_one_moment_foretell_nothing_that_is_soon() -> None:
    same = [Sample(TODAY - ago, 5, 0, 0, ago * GB, 0, 0) for ago in range(8)]

    assert outlook_of(same, Space(GB, 0), TODAY) == Outlook(None, 8)


@given(
    st.lists(st.integers(0, 2**63 - 1), max_size=20),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
)
def test_whatever_was_free_an_outlook_is_a_number_of_days_or_none(
    counts: list[int], free_bytes: int, reserve_bytes: int
) -> None:
    samples = [free(TODAY - ago, count) for ago, count in enumerate(counts)]
    found = outlook_of(samples, Space(free_bytes, reserve_bytes), TODAY)

    if found is not None and found.days is not None:
        assert 0 <= found.days <= OUTLOOK_DAYS_MAX
        assert 7 <= found.samples <= 14
