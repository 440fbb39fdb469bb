"""Tokens taken apart: whatever comes, it is a token or it is refused, and quickly."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.jose import (
    Compact,
    TokenRefusedError,
    encode,
    issuer_of,
    parse_object,
    take_apart,
    time_of,
)
from angos_trio.limits.callers import TOKEN_CHARACTERS_MAX
from tests.oci.strategies import QUICK

SIGNED = jwt.encode({"iss": "https://issuer.example.test"}, b"k" * 32, "HS256")


def token_of(header: object, payload: object = None, signature: bytes = b"s") -> str:
    parts = [json.dumps(part).encode() for part in (header, payload or {})]
    return ".".join(map(encode, [*parts, signature]))


def refusal(token: str) -> str:
    with pytest.raises(TokenRefusedError) as raised:
        take_apart(token)
    return raised.value.reason


def test_token_is_taken_apart_as_it_was_put_together() -> None:
    assert take_apart(token_of({"alg": "X", "kid": "a"}, {"b": 1}, b"\xff\xfe")) == Compact(
        header={"alg": "X", "kid": "a"},
        algorithm="X",
        payload=b'{"b": 1}',
        signing_input=token_of({"alg": "X", "kid": "a"}, {"b": 1}).rpartition(".")[0].encode(),
        signature=b"\xff\xfe",
    )


HEAD = token_of({"alg": "RS256"}).partition(".")[0]


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a", "a.b", HEAD, f"{HEAD}.", f"{HEAD}..", f"{HEAD}.e30",
        f"{HEAD}.e30.a.b", f".e30.{HEAD}", f"{HEAD}.e30.a b", f"{HEAD}.e30.ab\n", f" {HEAD}.e30.ab",
        f"{HEAD}.e30.ab=", f"{HEAD}=.e30.ab", f"{HEAD}.e31.", f"{HEAD}.e3.ab", f"{HEAD}.e30.a",
        f"{HEAD}.e30.é", f"{HEAD}.e30.a+b/", f"{HEAD}.e30.\ud800", f"{HEAD}\x00.e30.ab",
        f"{HEAD}.{'A' * 5}.ab",
        *(f"{encode(head)}.e30.ab" for head in (
            b"{", b"[]", b"1", b"null", b'"alg"', b"\xff", b'{"alg":NaN}', b'{"alg":"a",}',
            b'\xef\xbb\xbf{"alg":"a"}', '{"alg":"a"}'.encode("utf-16"), b"[" * 2900,
            b'{"a":' * 580, b'{"alg":"\\ud800"}',
        )),
    ],
)  # fmt: skip
def test_what_is_no_token_is_malformed(token: str) -> None:
    assert refusal(token) == "is malformed"
    assert issuer_of(token) is None


@pytest.mark.parametrize("header", [{}, {"alg": None}, {"alg": 1}, {"alg": ["RS256"]}])
def test_token_names_its_algorithm(header: object) -> None:
    assert refusal(token_of(header)) == "names no algorithm"


@pytest.mark.parametrize("critical", [["exp"], ["b64"], [], None, "b64"])
def test_critical_headers_are_not_understood(critical: object) -> None:
    assert refusal(token_of({"alg": "RS256", "crit": critical})) == "has critical headers"


def test_token_of_a_megabyte_is_refused_unread() -> None:
    long = token_of({"alg": "RS256"}, {"a": "x" * 1_000_000})
    begun = time.perf_counter()

    assert refusal(long) == "is too long"
    assert refusal("x" * (TOKEN_CHARACTERS_MAX + 1)) == "is too long"
    assert time.perf_counter() - begun < 0.01


def test_long_header_is_refused() -> None:
    assert refusal(token_of({"alg": "RS256", "jwk": "x" * 4000})) == "has too long a header"


@QUICK
@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda part: f"{HEAD}.{encode(part)}.ab"))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    try:
        parts = take_apart(text)
    except TokenRefusedError:
        return
    assert parts.signing_input.decode() == text.rpartition(".")[0]
    assert encode(parts.signature) == text.rpartition(".")[2]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@QUICK
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_every_object_is_read_as_it_was_written(document: dict[str, object]) -> None:
    assert parse_object(json.dumps(document, ensure_ascii=False).encode()) == document


def test_what_cannot_be_stored_is_refused_and_pairs_of_surrogates_are_characters() -> None:
    assert parse_object(rb'{"sub": "\ud83d\ude00"}') == {"sub": "😀"}
    for content in (rb'{"sub": "\ud800"}', rb'{"a": ["\uDFFF"]}', rb'{"\ude00\ud83d": 1}'):
        with pytest.raises(TokenRefusedError):
            parse_object(content)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "true", '"1"', "[1]", "1e17"]
)
def test_what_is_no_time_is_refused(number: str) -> None:
    def read() -> float | None:
        return time_of(parse_object(b'{"exp": ' + number.encode() + b"}"), "exp")

    with pytest.raises(TokenRefusedError):
        read()


def test_times_may_have_fractions_and_may_be_absent() -> None:
    claims = parse_object(b'{"exp": 1.5, "nbf": -3, "iat": null}')

    assert [time_of(claims, name) for name in ("exp", "nbf", "iat", "auth_time")] == [
        1.5, -3.0, None, None,
    ]  # fmt: skip


def test_issuer_is_what_the_token_says() -> None:
    assert issuer_of(SIGNED) == "https://issuer.example.test"
    assert issuer_of(token_of({"alg": "none"}, {"iss": ["a"]})) is None
    assert issuer_of(token_of({"alg": "none"}, {"sub": "a"})) is None
