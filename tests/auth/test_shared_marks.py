"""Marks that all processes see."""

from __future__ import annotations

import os

from angos_trio.auth.shared_marks import MARK_BYTES, SharedMarks


def mark_of(number: int, within: int = 0) -> bytes:
    """A mark; those with the same `within` have the same places."""
    return within.to_bytes(8) + number.to_bytes(MARK_BYTES - 8)


def test_mark_is_there_until_its_end() -> None:
    marks = SharedMarks(64)
    marks.put(mark_of(1), 7.5)

    assert marks.until(mark_of(1)) == 7.5
    assert marks.until(mark_of(2)) == 0.0


def test_mark_has_one_end() -> None:
    marks = SharedMarks(64)
    marks.put(mark_of(1), 7.5)
    marks.put(mark_of(1), 3.5)

    assert marks.until(mark_of(1)) == 3.5


def test_of_too_many_the_one_that_ends_first_goes() -> None:
    marks = SharedMarks(64)
    for number in range(1, 9):
        marks.put(mark_of(number), 100.0 - number)
    marks.put(mark_of(9), 200.0)

    assert [marks.until(mark_of(number)) > 0 for number in range(1, 10)] == [
        *[True] * 7,
        False,
        True,
    ]


def test_marks_of_other_places_do_not_matter() -> None:
    marks = SharedMarks(64)
    for within in range(8):
        for number in range(1, 9):
            marks.put(mark_of(number, within), 1.0)

    assert all(marks.until(mark_of(n, w)) == 1.0 for w in range(8) for n in range(1, 9))


def test_what_a_forked_process_writes_is_seen_here() -> None:
    marks = SharedMarks(64)
    child = os.fork()
    if child == 0:
        marks.put(mark_of(1), 7.5)
        os._exit(0)
    os.waitpid(child, 0)

    assert marks.until(mark_of(1)) == 7.5
