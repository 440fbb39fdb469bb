"""Tokens of forms: who has one, and who has not."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.web.form_tokens import is_token, make_token
from tests.oci.strategies import QUICK

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def test_token_counts_for_the_browser_that_it_was_made_for_alone() -> None:
    token = make_token(KEY, "angos-form a")

    assert is_token(KEY, "angos-form a", token)
    assert not is_token(KEY, "angos-form b", token)
    assert not is_token(KEY, "angos-session a", token)
    assert not is_token(OTHER_KEY, "angos-form a", token)


def test_no_part_of_a_token_is_the_same_in_two_pages() -> None:
    made = [base64.urlsafe_b64decode(make_token(KEY, "angos-form a")) for _ in range(50)]

    for column in zip(*made, strict=True):
        assert len(set(column)) > 10


@given(st.text(max_size=120))
@QUICK
def test_any_other_text_is_no_token(text: str) -> None:
    assert not is_token(KEY, "angos-form a", text)


@pytest.mark.parametrize("change", range(64))
def test_token_that_was_changed_anywhere_is_none(change: int) -> None:
    content = bytearray(base64.urlsafe_b64decode(make_token(KEY, "angos-form a")))
    content[change] ^= 1

    assert not is_token(KEY, "angos-form a", base64.urlsafe_b64encode(content).decode())


def test_mask_alone_is_no_token() -> None:
    assert not is_token(KEY, "angos-form a", base64.urlsafe_b64encode(bytes(32)).decode())
    assert not is_token(KEY, "angos-form a", "")
