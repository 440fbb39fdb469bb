"""Entity tags and conditional reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.conditional import entity_tag, is_not_modified, is_range_current
from angos_trio.oci.digest import Digest
from tests.oci.strategies import QUICK, SHA256, SHA512, digests, texts

DIGEST = Digest(SHA256)
OWN = f'"{SHA256}"'
OTHER = f'"{SHA512}"'


def test_entity_tag_is_the_quoted_digest() -> None:
    assert entity_tag(DIGEST) == OWN


@pytest.mark.parametrize(
    "header",
    [
        OWN,
        f"W/{OWN}",
        "*",
        " * ",
        f"{OTHER}, {OWN}",
        f"{OTHER},{OWN}",
        f"W/{OTHER} ,\tW/{OWN} ",
        f'"a", {OWN}, ""',
    ],
)
def test_content_named_by_if_none_match_is_not_modified(header: str) -> None:
    assert is_not_modified(header, entity_tag(DIGEST))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        SHA256,
        f"w/{OWN}",
        f"W/W/{OWN}",
        f"W/ {OWN}",
        f"W/{SHA256}",
        OTHER,
        OWN.upper(),
        OWN[:-1],
        f"{OWN}x",
        f"{OWN};{OTHER}",
        '"*"',
        "**",
        "W/*",
        ",,,",
        OWN.replace(":", "%3A"),
        '"' * 10_000,
    ],
)
def test_other_content_is_modified(header: str | None) -> None:
    assert not is_not_modified(header, entity_tag(DIGEST))


@pytest.mark.parametrize("header", [None, OWN, f" {OWN} "])
def test_range_stands_without_if_range_or_with_the_own_entity_tag(header: str | None) -> None:
    assert is_range_current(header, DIGEST)


@pytest.mark.parametrize(
    "header",
    ["", "*", f"W/{OWN}", OTHER, SHA256, f"{OWN}, {OTHER}", "Sat, 29 Oct 1994 19:43:31 GMT"],
)
def test_range_falls_with_another_if_range(header: str) -> None:
    assert not is_range_current(header, DIGEST)


@QUICK
@given(st.lists(digests(), max_size=4), digests(), st.booleans())
def test_list_of_entity_tags_names_its_members(
    others: list[Digest], digest: Digest, is_weak: bool
) -> None:
    prefix = "W/" if is_weak else ""
    header = ", ".join(prefix + entity_tag(member) for member in others)

    assert is_not_modified(header, entity_tag(digest)) == (digest in others)


@QUICK
@given(texts(st.just(OWN)))
def test_any_header_is_an_answer_and_only_our_tag_or_a_star_is_yes(header: str) -> None:
    assert is_not_modified(header, entity_tag(DIGEST)) <= (OWN in header or header.strip() == "*")
    assert is_range_current(header, DIGEST) == (header.strip() == OWN)
