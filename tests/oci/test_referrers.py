"""The referrers index and the fallback index that clients keep."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.media_types import OCI_INDEX, OCI_MANIFEST
from angos_trio.oci.referrers import (
    Referrer,
    cut_page,
    fallback_tag,
    merge,
    parse_artifact_type,
    parse_fallback_index,
    render_index,
)
from tests.oci.documents import ABSENT, descriptor, digest_like, encoded, index
from tests.oci.refusals import refused, value_or_refusal
from tests.oci.strategies import ENDINGS, FEW, QUICK, SHA256, SHA512, digests, json_values, texts

SIGNATURE, SBOM = "application/vnd.example.signature", "application/vnd.example.sbom"


def referrer(character: str, artifact_type: str | None = SIGNATURE, size: int = 5) -> Referrer:
    return Referrer(Digest(digest_like(character)), OCI_MANIFEST, size, artifact_type, {})


def referrers() -> st.SearchStrategy[Referrer]:
    return st.builds(
        Referrer,
        digest=digests(),
        media_type=st.sampled_from([OCI_MANIFEST, OCI_INDEX]),
        size=st.integers(0, 2**63 - 1),
        artifact_type=st.sampled_from([None, SIGNATURE, SBOM]),
        annotations=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3),
    )


def distinct(max_size: int = 8) -> st.SearchStrategy[list[Referrer]]:
    return st.lists(referrers(), max_size=max_size, unique_by=lambda item: item.digest)


def test_descriptor_has_everything_that_is_known() -> None:
    full = Referrer(Digest(SHA256), OCI_MANIFEST, 7, SBOM, {"a": "b"})

    assert full.descriptor() == {
        "mediaType": OCI_MANIFEST,
        "digest": SHA256,
        "size": 7,
        "artifactType": SBOM,
        "annotations": {"a": "b"},
    }


def test_descriptor_leaves_out_what_is_not_known() -> None:
    bare = Referrer(Digest(SHA256), OCI_INDEX, 0, None, {})

    assert bare.descriptor() == {"mediaType": OCI_INDEX, "digest": SHA256, "size": 0}


@pytest.mark.parametrize("text", [SIGNATURE, "a/b", "application/vnd.oci.image.config.v1+json"])
def test_filter_is_a_media_type(text: str) -> None:
    assert parse_artifact_type(text) == text


@pytest.mark.parametrize(
    "text", ["", "a", "a/", "a/b;q=1", "a/b, c/d", "a/*", "*", "a b/c", "\u00e9/a", "a" * 10_000]
)
def test_malformed_filter_is_refused(text: str) -> None:
    with refused(Code.MANIFEST_INVALID, 400):
        parse_artifact_type(text)


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != "#"])
def test_filter_is_anchored_at_both_ends(ending: str) -> None:
    for spoiled in (SIGNATURE + ending, ending + SIGNATURE):
        with refused(Code.MANIFEST_INVALID, 400):
            parse_artifact_type(spoiled)


@pytest.mark.parametrize(
    ("subject", "tag"),
    [
        (SHA256, "sha256-" + "0123456789abcdef" * 4),
        (SHA512, "sha512-" + "0123456789abcdef" * 4),
    ],
)
def test_fallback_tag_is_the_algorithm_and_64_characters(subject: str, tag: str) -> None:
    assert fallback_tag(Digest(subject)) == tag


def test_fallback_index_is_read() -> None:
    item = descriptor(artifactType=SBOM, annotations={"a": "b"}, platform={"os": "linux"})

    assert parse_fallback_index(encoded(index(manifests=[item]))) == [
        Referrer(Digest(SHA256), "application/vnd.oci.image.layer.v1.tar+gzip", 5, SBOM, {"a": "b"})
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"not json",
        b"\xff\xfe",
        b'{"manifests": 1, "manifests": []}',
        b"[" * 100_000,
        encoded({}),
        encoded({"manifests": None}),
        encoded({"manifests": {}}),
        encoded({"manifests": "text"}),
        encoded({"manifests": 5}),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_malformed_fallback_index_has_no_entries(body: bytes) -> None:
    assert parse_fallback_index(body) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("digest", ABSENT),
        ("digest", None),
        ("digest", 5),
        ("digest", "sha256:xyz"),
        ("digest", SHA256 + "\n"),
        ("digest", SHA256.upper()),
        ("digest", "md5:" + "a" * 32),
        ("mediaType", ABSENT),
        ("mediaType", None),
        ("mediaType", 5),
        ("mediaType", ""),
        ("mediaType", "no media type"),
        ("size", ABSENT),
        ("size", None),
        ("size", -1),
        ("size", 1.0),
        ("size", "5"),
        ("size", True),
        ("size", False),
        ("size", 2**63),
        ("size", 10**400),
    ],
    ids=lambda item: repr(item)[:30],
)
def test_malformed_entry_is_left_out_and_hides_no_other(key: str, value: object) -> None:
    good = descriptor(digest=SHA512)
    found = parse_fallback_index(
        encoded(index(manifests=[descriptor(**{key: value}), good, None, 5, "text", [good]]))
    )

    assert [entry.digest for entry in found] == [SHA512]


@pytest.mark.parametrize("artifact_type", [ABSENT, None, "", 5, ["a/b"]])
def test_entry_without_an_artifact_type_is_kept_without(artifact_type: object) -> None:
    [found] = parse_fallback_index(
        encoded(index(manifests=[descriptor(artifactType=artifact_type)]))
    )

    assert found.artifact_type is None


@pytest.mark.parametrize("annotations", [ABSENT, None, 5, "text", ["a"], {}, {"a": 5}])
def test_entry_with_malformed_annotations_is_kept_without(annotations: object) -> None:
    [found] = parse_fallback_index(encoded(index(manifests=[descriptor(annotations=annotations)])))

    assert found.annotations == {}


def test_well_formed_annotations_of_an_entry_are_kept() -> None:
    annotations = {"a": "b", "c": 5, "d": None}
    [found] = parse_fallback_index(encoded(index(manifests=[descriptor(annotations=annotations)])))

    assert found.annotations == {"a": "b"}


def test_both_lists_are_merged_in_digest_order() -> None:
    stored, fallback = [referrer("c"), referrer("a")], [referrer("d"), referrer("b")]

    assert merge(stored, fallback, None) == [referrer(character) for character in "abcd"]


def test_referrer_in_both_lists_stands_once_as_it_is_stored() -> None:
    stored, fallback = referrer("a", SIGNATURE), referrer("a", SBOM, size=9)

    assert merge([stored], [fallback, fallback], None) == [stored]
    assert merge([stored], [fallback], SBOM) == []


def test_filter_keeps_its_artifact_type_only() -> None:
    everything = [referrer("a", SIGNATURE), referrer("b", SBOM), referrer("c", None)]

    assert merge(everything, [], SBOM) == [referrer("b", SBOM)]
    assert merge([], everything, SIGNATURE) == [referrer("a", SIGNATURE)]


@pytest.mark.parametrize(
    ("count", "entries_max", "kept", "has_more"),
    [(0, 2, 0, False), (1, 2, 1, False), (2, 2, 2, False), (3, 2, 2, True), (3, 0, 1, True)],
)
def test_page_ends_at_its_entries(count: int, entries_max: int, kept: int, has_more: bool) -> None:
    found = [referrer(character) for character in "abc"[:count]]

    assert cut_page(found, entries_max, 4096) == (found[:kept], has_more)


def test_page_ends_at_its_bytes() -> None:
    found = [referrer(character) for character in "abc"]
    of_two = len(render_index(found[:2]))

    assert cut_page(found, 100, of_two + 1) == (found[:2], True)
    assert cut_page(found, 100, of_two - 1) == (found[:1], True)


def test_first_entry_stands_on_a_page_however_large_it_is() -> None:
    assert cut_page([referrer("a"), referrer("b")], 100, 1) == ([referrer("a")], True)
    assert cut_page([referrer("a")], 100, 1) == ([referrer("a")], False)


def test_index_of_nothing_is_an_image_index() -> None:
    assert json.loads(render_index([])) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [],
    }


@FEW
@given(distinct())
def test_rendered_index_is_read_back(found: list[Referrer]) -> None:
    assert parse_fallback_index(render_index(found)) == found


@FEW
@given(st.binary() | json_values().map(encoded))
def test_any_body_is_a_fallback_index(body: bytes) -> None:
    assert parse_fallback_index(body) == []


@FEW
@given(st.lists(json_values() | st.builds(lambda item: descriptor(x=item), json_values())))
def test_any_entries_give_an_index_that_can_be_rendered(items: list[object]) -> None:
    found = parse_fallback_index(encoded(index(manifests=items)))

    assert parse_fallback_index(render_index(found)) == found


@FEW
@given(distinct(), distinct(), st.sampled_from([None, SIGNATURE, SBOM]))
def test_merged_list_is_ordered_whole_and_filtered(
    stored: list[Referrer], fallback: list[Referrer], artifact_type: str | None
) -> None:
    merged = merge(stored, fallback, artifact_type)
    kept = [item.digest for item in merged]
    effective = {item.digest: item for item in [*fallback, *stored]}

    assert kept == sorted(set(kept))
    assert kept == sorted(
        digest
        for digest, item in effective.items()
        if artifact_type is None or item.artifact_type == artifact_type
    )


@FEW
@given(distinct(), st.integers(1, 4), st.integers(100, 1000))
def test_pages_together_are_the_list_and_each_keeps_its_bounds(
    found: list[Referrer], entries_max: int, bytes_max: int
) -> None:
    rest, seen, has_more = found, list[Referrer](), True
    while has_more:
        page, has_more = cut_page(rest, entries_max, bytes_max)
        assert page or not rest
        assert len(page) <= entries_max
        assert len(page) <= 1 or len(render_index(page)) <= bytes_max
        seen, rest = seen + page, rest[len(page) :]
        assert has_more == bool(rest)

    assert seen == found


@QUICK
@given(digests())
def test_fallback_tag_begins_the_subject(subject: Digest) -> None:
    assert subject.replace(":", "-").startswith(fallback_tag(subject))


@QUICK
@given(texts(st.sampled_from([SIGNATURE, "a/b"])))
def test_any_text_is_a_filter_or_an_oci_error(text: str) -> None:
    found = value_or_refusal(lambda: parse_artifact_type(text))

    assert found == text or isinstance(found, OciError)
