"""Sizes, times, digests and text of others, as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.web import words
from tests.oci.strategies import QUICK

NOW = 1_700_000_000
DAY = 86_400


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (9994, "9.99 kB"), (9996, "10.0 kB")),
        *((99_940, "99.9 kB"), (99_960, "100 kB"), (999_499, "999 kB"), (999_500, "1.00 MB")),
        *((73_400_320, "73.4 MB"), (10**12, "1.00 TB"), (2**63, "9.22 EB"), (10**22, "10000 EB")),
    ],
)
def test_size_has_three_digits(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("secs", "text"),
    [
        *((0, "just now"), (-30, "just now"), (-90, "in the future"), (4, "just now")),
        *((5, "5 seconds ago"), (59, "59 seconds ago"), (60, "1 minute ago")),
        *((3600, "1 hour ago"), (2 * DAY, "2 days ago"), (45 * DAY, "1 month ago")),
        *((364 * DAY, "12 months ago"), (800 * DAY, "2 years ago")),
    ],
)
def test_time_is_told_from_now(secs: int, text: str) -> None:
    found = words.moment(NOW - secs, NOW)

    assert found is not None
    assert found.text == text


def test_time_is_told_exactly_too() -> None:
    found = words.moment(0, NOW)

    assert found is not None
    assert (found.machine, found.exact) == ("1970-01-01T00:00:00Z", "1970-01-01 00:00:00 UTC")


@pytest.mark.parametrize("at", [None, 2**63, -(2**63)])
def test_time_that_has_no_date_is_none(at: int | None) -> None:
    assert words.moment(at, NOW) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("caf\u00e9 \u65e5\u672c", "caf\u00e9 \u65e5\u672c"),
        ("a\u202eb", "a\\u202eb"),
        ("a\nb\x00", "a\\u000ab\\u0000"),
        ("\u2066x\u200b", "\\u2066x\\u200b"),
        ("\U000e0001", "\\U000e0001"),
        ("<b>", "<b>"),
    ],
)
def test_what_cannot_be_seen_is_spelled(text: str, shown: str) -> None:
    assert words.visible(text) == shown


@QUICK
@given(text=st.text(max_size=400))
def test_text_of_others_is_one_short_line_that_all_can_see(text: str) -> None:
    shown = words.visible(text)

    assert len(shown) <= words.TEXT_CHARACTERS_MAX + 1
    assert words.visible(shown[:-1]) == shown[:-1]


@pytest.mark.parametrize(
    ("owner", "text"),
    [
        *(
            ("basic::alice", "alice"),
            ("oidc:ci:repo:a:b", "repo:a:b"),
            ("anonymous::", "anonymous"),
        ),
        *(
            ("operator::", "operator"),
            ("", "anonymous"),
            ("certificate::CN=\u202ex", "CN=\\u202ex"),
        ),
    ],
)
def test_who_did_something_is_told_by_name(owner: str, text: str) -> None:
    assert words.person(owner) == text


def test_equal_digests_have_equal_fingerprints_and_others_have_others() -> None:
    one, other = "sha256:" + "ab" * 32, "sha256:" + "ac" * 32

    assert words.fingerprint(one) == words.fingerprint(one)
    assert len(words.fingerprint(one)) == 6
    assert words.fingerprint(one) != words.fingerprint(other)
    assert words.short(one) == "ab" * 6


@pytest.mark.parametrize(
    ("platforms", "shown", "others"),
    [
        (("linux/amd64",), ["amd64"], []),
        (("linux/a", "linux/b", "linux/c", "linux/d"), ["a", "b", "c"], ["d"]),
        (("linux/amd64", "windows/amd64"), ["linux/amd64", "windows/amd64"], []),
        (("linux/\u202ea",), ["\\u202ea"], []),
        ((), [], []),
    ],
)
def test_linux_goes_without_saying_where_all_are_of_it(
    platforms: tuple[str, ...], shown: list[str], others: list[str]
) -> None:
    assert words.platforms_of(platforms) == (shown, others)


@pytest.mark.parametrize(
    ("secs", "text"),
    [
        *((0, "0 seconds"), (1, "1 second"), (60, "1 minute"), (89, "89 seconds")),
        *((150, "2 minutes"), (3600, "1 hour"), (5400, "90 minutes"), (86_400, "1 day")),
        *((30 * 3600, "30 hours"), (30 * 86_400, "30 days")),
    ],
)
def test_length_of_time_is_told_in_the_largest_unit_that_is_whole_enough(
    secs: int, text: str
) -> None:
    assert words.span(secs) == text
