"""The order that people expect of tags."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.natural import natural_key

TAGS = st.text(alphabet="abvV019._-", min_size=1, max_size=128)


def in_order(*tags: str) -> list[str]:
    return sorted(tags, key=lambda tag: (natural_key(tag).encode(), tag))


def test_numbers_count_by_their_value() -> None:
    tags = ["v1.9", "v1.10", "v1.10.1", "v1.100", "v2", "v10"]

    assert in_order(*reversed(tags)) == tags


def test_numbers_stand_before_letters_and_letters_count_without_their_case() -> None:
    assert in_order("latest", "1", "Edge", "edge-2", "nightly", "20260101") == [
        "1",
        "20260101",
        "Edge",
        "edge-2",
        "latest",
        "nightly",
    ]


def test_leading_zeros_make_no_difference() -> None:
    assert natural_key("v001.02") == natural_key("v1.2")
    assert in_order("build-010", "build-9") == ["build-9", "build-010"]


@given(st.integers(0, 10**127), st.integers(0, 10**127), TAGS)
def test_two_numbers_after_the_same_text_are_in_their_order(
    first: int, second: int, prefix: str
) -> None:
    prefix = prefix.rstrip("0123456789")
    keys = [natural_key(f"{prefix}{number}").encode() for number in (first, second)]

    assert (keys[0] < keys[1]) == (first < second)
    assert (keys[0] == keys[1]) == (first == second)


@given(TAGS)
def test_key_is_text_that_a_row_can_hold(tag: str) -> None:
    key = natural_key(tag)

    assert "\x00" not in key
    assert len(key) <= 3 * len(tag)
