"""Media types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_TYPES,
    INDEX_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    is_media_type,
    without_parameters,
)
from tests.oci.strategies import ENDINGS, QUICK, texts

KNOWN = sorted(IMAGE_TYPES | INDEX_TYPES)
# RFC 6838 4.2: restricted-name-first.
FIRST = "ABCXYZabcxyz0189"


@pytest.mark.parametrize(
    "text",
    [
        *KNOWN,
        "application/vnd.oci.empty.v1+json",
        "application/vnd.cncf.helm.config.v1+json",
        "text/plain",
        "a/b",
        "0/0",
        "Application/JSON",
        "a!#$&-^_.+/b!#$&-^_.+",
        "a" * 127 + "/" + "b" * 127,
    ],
)
def test_well_formed_text_is_a_media_type(text: str) -> None:
    assert is_media_type(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a",
        "a/",
        "/b",
        "a/b/c",
        "a//b",
        "a/b;q=1",
        "a/b; charset=utf-8",
        "a/b, c/d",
        "a/*",
        "*/*",
        "a b/c",
        "+a/b",
        "a/.b",
        "a/(b)",
        'a/"b"',
        "a%2Fb",
        "\u00e9/b",
        "a/\u0660",
        "a" * 128 + "/b",
        "a/" + "b" * 128,
        "a/" + "b" * 10_000,
    ],
)
def test_malformed_text_is_no_media_type(text: str) -> None:
    assert not is_media_type(text)


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != "#"])
def test_media_type_is_anchored_at_both_ends(ending: str) -> None:
    assert not is_media_type(OCI_MANIFEST + ending)
    assert not is_media_type(ending + OCI_MANIFEST)


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        (OCI_INDEX, OCI_INDEX),
        (f"{OCI_INDEX};charset=utf-8", OCI_INDEX),
        (f"  {OCI_INDEX} ; charset=utf-8; a=b", OCI_INDEX),
        (OCI_INDEX.upper(), OCI_INDEX),
        (";charset=utf-8", ""),
        ("", ""),
    ],
)
def test_parameters_case_and_space_of_a_content_type_are_dropped(
    content_type: str, media_type: str
) -> None:
    assert without_parameters(content_type) == media_type


def test_images_and_indexes_are_told_apart() -> None:
    assert {OCI_MANIFEST, DOCKER_MANIFEST} == IMAGE_TYPES
    assert {OCI_INDEX, DOCKER_LIST} == INDEX_TYPES


@QUICK
@given(texts(st.sampled_from(KNOWN)))
def test_any_text_is_a_media_type_or_none(text: str) -> None:
    parts = text.split("/")
    is_well_formed = len(parts) == 2 and all(
        0 < len(part) <= 127
        and part.isascii()
        and part[0].isalnum()
        and all(character.isalnum() or character in "!#$&-^_.+" for character in part)
        for part in parts
    )

    assert is_media_type(text) == is_well_formed


@QUICK
@given(st.sampled_from(FIRST), st.text(FIRST + "!#$&-^_.+", max_size=10))
def test_every_restricted_name_is_a_part_of_a_media_type(first: str, rest: str) -> None:
    name = first + rest

    assert is_media_type(f"application/{name}")
    assert is_media_type(f"{name}/json")


@QUICK
@given(texts(st.sampled_from(KNOWN)))
def test_any_content_type_loses_its_parameters(content_type: str) -> None:
    found = without_parameters(content_type)

    assert ";" not in found
    assert without_parameters(found) == found
