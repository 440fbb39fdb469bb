"""The header in which a registry says what it wants to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.limits.mirror import CHALLENGES_MAX
from angos_trio.mirror.challenge import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ("Basic", [Challenge("basic", {})]),
        ('BASIC realm="a"', [Challenge("basic", {"realm": "a"})]),
        (
            'Bearer realm="https://auth.test/token",service="a, b",scope="repository:a/b:pull"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.test/token",
                        "service": "a, b",
                        "scope": "repository:a/b:pull",
                    },
                )
            ],
        ),
        (
            'Bearer Realm = "a" , service=b, Basic realm="c"',
            [
                Challenge("bearer", {"realm": "a", "service": "b"}),
                Challenge("basic", {"realm": "c"}),
            ],
        ),
        (
            'Negotiate YII=, Basic realm="c"',
            [Challenge("negotiate", {}), Challenge("basic", {"realm": "c"})],
        ),
        ('Basic realm="a \\"quoted\\" word"', [Challenge("basic", {"realm": 'a "quoted" word'})]),
        ('Basic realm="a", realm="b"', [Challenge("basic", {"realm": "a"})]),
        ('Basic realm="not closed', [Challenge("basic", {})]),
        ('"', []),
    ],
)
def test_challenges_are_taken_apart(header: str, found: list[Challenge]) -> None:
    assert parse_challenges(header)[: len(found)] == found
    assert bool(parse_challenges(header)) == bool(found)


def test_so_many_are_looked_at() -> None:
    assert len(parse_challenges(", ".join(["Basic"] * 1000))) == CHALLENGES_MAX


@given(st.text(max_size=400))
def test_any_text_is_read_to_an_end(header: str) -> None:
    assert len(parse_challenges(header)) <= CHALLENGES_MAX


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Bearer", "Basic", "Digest"]),
            st.dictionaries(
                st.sampled_from(["realm", "service", "scope", "nonce"]),
                st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
                min_size=1,
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read(written: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{key}={quoted(text)}" for key, text in parameters.items())
        for scheme, parameters in written
    )
    assert parse_challenges(header) == [
        Challenge(scheme.lower(), parameters) for scheme, parameters in written
    ]
