"""What was right is remembered for a while, under marks that say nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.remembered import Marks, Remembered, Verified
from angos_trio.limits.callers import REMEMBERED_SECS, VERIFIED_CHARACTERS_MAX, VERIFIED_SECS
from tests.oci.strategies import QUICK

TEXTS = st.lists(st.text(st.characters(codec=None), max_size=4), max_size=4)


def test_credential_is_known_for_some_time_after_it_was_last_shown() -> None:
    remembered = Remembered()
    remembered.remember("alice", "hash", "secret", 0)

    assert remembered.knows("alice", "hash", "secret", REMEMBERED_SECS - 1)
    assert remembered.knows("alice", "hash", "secret", 2 * REMEMBERED_SECS - 2)
    assert not remembered.knows("alice", "hash", "secret", 3 * REMEMBERED_SECS)


def test_whatever_differs_is_not_known() -> None:
    remembered = Remembered()
    remembered.remember("alice", "hash", "secret", 0)

    for user, phc, password in (
        ("bob", "hash", "secret"),
        ("alice", "another hash", "secret"),
        ("alice", "hash", "secret "),
        ("alice", "hash", ""),
        ("alice", "hashs", "ecret"),
        ("", "", ""),
    ):
        assert not remembered.knows(user, phc, password, 1)


def test_who_called_longest_ago_makes_room() -> None:
    remembered = Remembered(count_max=8)
    for number, user in enumerate("abcdefgh"):
        remembered.remember(user, "hash", "secret", number)
    assert remembered.knows("a", "hash", "secret", REMEMBERED_SECS - 1)
    remembered.remember("i", "hash", "secret", REMEMBERED_SECS - 1)

    known = [remembered.knows(user, "hash", "secret", REMEMBERED_SECS - 1) for user in "abi"]
    assert known == [True, False, True]


@QUICK
@given(TEXTS, TEXTS)
def test_marks_are_the_same_for_the_same_texts_only(one: list[str], other: list[str]) -> None:
    marks = Marks()

    assert (marks.mark(*one) == marks.mark(*other)) == (one == other)


def test_another_process_makes_other_marks() -> None:
    assert Marks().mark("secret") != Marks().mark("secret")


def test_token_is_verified_anew_after_a_while_and_when_it_expires() -> None:
    verified = Verified[str]()
    verified.put("long", "one", 1000, 9999)
    verified.put("short", "two", 1000, 1010)

    assert verified.get("long", 1000 + VERIFIED_SECS - 1) == "one"
    assert verified.get("long", 1000 + VERIFIED_SECS) is None
    assert verified.get("short", 1009) == "two"
    assert verified.get("short", 1010) is None
    assert verified.get("other", 1000) is None


def test_long_token_is_not_kept() -> None:
    verified = Verified[int]()
    for length in (VERIFIED_CHARACTERS_MAX, VERIFIED_CHARACTERS_MAX + 1):
        verified.put("x" * length, length, 0, 100)

    assert verified.get("x" * VERIFIED_CHARACTERS_MAX, 1) == VERIFIED_CHARACTERS_MAX
    assert verified.get("x" * (VERIFIED_CHARACTERS_MAX + 1), 1) is None
