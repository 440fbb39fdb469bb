"""What is read of a manifest's body."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.manifest import (
    ManifestFacts,
    ManifestReference,
    is_size,
    load_object,
    parse_manifest,
)
from angos_trio.oci.media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_TYPES,
    INDEX_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
)
from angos_trio.oci.roles import Carried, Role
from tests.oci.documents import (
    ABSENT,
    CONFIG_TYPE,
    LAYER_TYPE,
    Document,
    descriptor,
    digest_like,
    encoded,
    image,
    index,
)
from tests.oci.refusals import refused, value_or_refusal
from tests.oci.strategies import FEW, QUICK, SHA256, SHA512, digests, json_values, spoiled

KNOWN_TYPES = sorted(IMAGE_TYPES | INDEX_TYPES)
NO_DIGESTS: tuple[object, ...] = (
    ABSENT,
    None,
    5,
    "",
    "sha256:xyz",
    SHA256.upper(),
    SHA256 + "\n",
    SHA256[:-1] + "\u0660",
    "md5:" + "a" * 32,
    "sha256:" + "a" * 10_000,
    [SHA256],
)
NO_MEDIA_TYPES: tuple[object, ...] = (5, ["a/b"], "a", "a/b;q=1", "a/b\n", "\u00e9/b", "a" * 10_000)
NO_SIZES: tuple[object, ...] = (
    ABSENT,
    None,
    -1,
    2**63,
    10**400,
    1.0,
    5.5,
    1e3,
    "5",
    True,
    False,
    [5],
    {},
)
NO_TEXTS: tuple[object, ...] = (5, True, [], {})
NO_ITEMS: tuple[object, ...] = ([], None)


def facts_of(document: object, content_type: str | None = None) -> ManifestFacts:
    return parse_manifest(encoded(document), content_type)


def test_image_is_read() -> None:
    facts = facts_of(image(annotations={"a": "b"}))

    assert facts == ManifestFacts(
        media_type=OCI_MANIFEST,
        kind="image",
        artifact_type=CONFIG_TYPE,
        subject=None,
        annotations={"a": "b"},
        references=(
            ManifestReference(Digest(digest_like("c")), "config", CONFIG_TYPE, 5, False),
            ManifestReference(Digest(SHA256), "layer", LAYER_TYPE, 5, False),
        ),
        role=Role.IMAGE,
        carries=Carried.NOTHING,
    )


def test_index_is_read() -> None:
    facts = facts_of(index(artifactType="a/b", subject=descriptor(digest=SHA512)))

    assert facts == ManifestFacts(
        media_type=OCI_INDEX,
        kind="index",
        artifact_type="a/b",
        subject=Digest(SHA512),
        annotations={},
        references=(ManifestReference(Digest(SHA256), "manifest", OCI_MANIFEST, 5, False),),
        role=Role.INDEX,
        carries=Carried.NOTHING,
    )


@pytest.mark.parametrize("media_type", [*KNOWN_TYPES])
@pytest.mark.parametrize("says", ["header", "body", "both"])
def test_type_is_that_of_the_header_or_of_the_body(media_type: str, says: str) -> None:
    make = image if media_type in IMAGE_TYPES else index
    document = make(mediaType=ABSENT if says == "header" else media_type)
    facts = facts_of(document, None if says == "body" else media_type)

    assert facts.media_type == media_type
    assert facts.kind == ("image" if media_type in IMAGE_TYPES else "index")


@pytest.mark.parametrize(
    "content_type",
    [f"{OCI_MANIFEST}; charset=utf-8", f" {OCI_MANIFEST} ", OCI_MANIFEST.upper(), "", None],
)
def test_parameters_and_case_of_the_header_do_not_matter(content_type: str | None) -> None:
    assert facts_of(image(), content_type).media_type == OCI_MANIFEST


@pytest.mark.parametrize("media_type", [ABSENT, None, ""])
def test_body_without_a_type_is_typed_by_the_header(media_type: object) -> None:
    assert facts_of(image(mediaType=media_type), DOCKER_MANIFEST).media_type == DOCKER_MANIFEST


@pytest.mark.parametrize("content_type", [None, ""])
def test_manifest_without_any_type_is_refused(content_type: str | None) -> None:
    with refused(Code.MANIFEST_INVALID, 400):
        facts_of(image(mediaType=ABSENT), content_type)


@pytest.mark.parametrize(
    ("declared", "sent"),
    [
        (OCI_MANIFEST, DOCKER_MANIFEST),
        (OCI_MANIFEST, OCI_INDEX),
        (OCI_INDEX, OCI_MANIFEST),
        (OCI_MANIFEST, "application/json"),
        (OCI_MANIFEST, ";charset=utf-8"),
        (OCI_MANIFEST.upper(), OCI_MANIFEST),
    ],
)
def test_two_different_types_are_refused(declared: str, sent: str) -> None:
    with refused(Code.MANIFEST_INVALID, 400):
        facts_of(image(mediaType=declared), sent)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/octet-stream",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.artifact.manifest.v1+json",
        "text/plain",
        "nonsense",
        ";",
    ],
)
def test_type_that_is_no_manifest_is_unsupported(content_type: str) -> None:
    with refused(Code.UNSUPPORTED, 415):
        facts_of(image(mediaType=ABSENT), content_type)


@pytest.mark.parametrize("signed", ["v1+prettyjws", "v1+json"])
def test_docker_schema_1_is_unsupported(signed: str) -> None:
    document = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []}
    with refused(Code.UNSUPPORTED, 415):
        facts_of(document, f"application/vnd.docker.distribution.manifest.{signed}")


@pytest.mark.parametrize("media_type", NO_MEDIA_TYPES)
@pytest.mark.parametrize("key", ["mediaType", "artifactType"])
def test_malformed_media_type_is_refused(key: str, media_type: object) -> None:
    with refused(Code.MANIFEST_INVALID, 400):
        facts_of(image(**{key: media_type}), OCI_MANIFEST)


@pytest.mark.parametrize("version", [ABSENT, None, 0, 1, 3, "2", 2.0, 2.5, True, False, [2], {}])
def test_schema_version_is_the_number_2(version: object) -> None:
    for document in (image(schemaVersion=version), index(schemaVersion=version)):
        with refused(Code.MANIFEST_INVALID, 400):
            facts_of(document)


@pytest.mark.parametrize(
    "document",
    [
        image(manifests=[]),
        image(manifests=[descriptor()]),
        image(manifests=None),
        index(config=descriptor()),
        index(layers=[]),
        index(layers=[descriptor()]),
        image(mediaType=OCI_INDEX),
        index(mediaType=OCI_MANIFEST),
    ],
)
def test_mix_of_image_and_index_is_refused(document: Document) -> None:
    with refused(Code.MANIFEST_INVALID, 400):
        facts_of(document)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\x00",
        b"{",
        b"{}x",
        b"[]",
        b"null",
        b"2",
        b'"text"',
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": -1e999}',
        b'{"a": 1' + b"0" * 5_000 + b"}",
        b'{"a": 1, "a": 1}',
        b'{"b": [{"a": 1, "a": 2}]}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": "\n"}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 1_000_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with refused(Code.MANIFEST_INVALID, 400):
        load_object(body)
    with refused(Code.MANIFEST_INVALID, 400):
        parse_manifest(body, OCI_MANIFEST)


@pytest.mark.parametrize("key", ["config", "subject"])
@pytest.mark.parametrize("value", [5, "text", [], [descriptor()], True, {}])
def test_single_descriptor_must_be_an_object(key: str, value: object) -> None:
    with refused(Code.MANIFEST_INVALID, 400):
        facts_of(image(**{key: value}))


@pytest.mark.parametrize("value", [ABSENT, None])
def test_image_has_a_config(value: object) -> None:
    with refused(Code.MANIFEST_INVALID, 400):
        facts_of(image(config=value))


@pytest.mark.parametrize("value", [ABSENT, 5, "text", {}, {"0": descriptor()}, False])
def test_references_must_be_a_list(value: object) -> None:
    for document in (image(layers=value), index(manifests=value)):
        with refused(Code.MANIFEST_INVALID, 400):
            facts_of(document)


@pytest.mark.parametrize("value", NO_ITEMS)
def test_list_may_be_empty_or_null_as_go_writes_it(value: object) -> None:
    assert [item.kind for item in facts_of(image(layers=value)).references] == ["config"]
    assert facts_of(index(manifests=value)).references == ()


@pytest.mark.parametrize("item", [None, 5, "text", [], [descriptor()]])
def test_reference_must_be_an_object(item: object) -> None:
    for document in (image(layers=[descriptor(), item]), index(manifests=[item])):
        with refused(Code.MANIFEST_INVALID, 400):
            facts_of(document)


MALFORMED = [
    *(("digest", value) for value in NO_DIGESTS),
    *(("mediaType", value) for value in (ABSENT, None, "", *NO_MEDIA_TYPES)),
    *(("size", value) for value in NO_SIZES),
    *(("urls", value) for value in ("text", 5, True, {"a": 1}, [1], [["a"]], [None])),
    *(("data", value) for value in NO_TEXTS),
]


@pytest.mark.parametrize(("key", "value"), MALFORMED, ids=lambda item: repr(item)[:30])
def test_descriptor_with_a_wrong_type_is_refused(key: str, value: object) -> None:
    wrong = descriptor(**{key: value})
    documents = (
        image(config=wrong),
        image(layers=[descriptor(), wrong]),
        image(subject=wrong),
        index(manifests=[wrong]),
        index(subject=wrong),
    )
    for document in documents:
        with refused(Code.MANIFEST_INVALID, 400):
            facts_of(document)


@pytest.mark.parametrize("size", [0, 1, 2**63 - 1])
def test_size_is_a_count_that_63_bits_hold(size: int) -> None:
    assert is_size(size)
    assert facts_of(index(manifests=[descriptor(size=size)])).references[0].size == size


@pytest.mark.parametrize(
    ("changes", "is_elsewhere"),
    [
        ({}, False),
        ({"urls": None}, False),
        ({"urls": []}, False),
        ({"urls": ["https://example.test/layer"]}, True),
        ({"data": None}, False),
        ({"data": ""}, True),
        ({"data": "e30="}, True),
    ],
)
def test_descriptor_with_urls_or_data_is_elsewhere(changes: Document, is_elsewhere: bool) -> None:
    reference = facts_of(index(manifests=[descriptor(**changes)])).references[0]

    assert reference.is_elsewhere == is_elsewhere


@pytest.mark.parametrize(
    ("document", "artifact_type"),
    [
        (image(), CONFIG_TYPE),
        (image(artifactType=None), CONFIG_TYPE),
        (image(artifactType=""), CONFIG_TYPE),
        (image(artifactType="application/vnd.example+type"), "application/vnd.example+type"),
        (index(), None),
        (index(artifactType=""), None),
        (index(artifactType="a/b"), "a/b"),
    ],
)
def test_artifact_type_falls_back_to_that_of_the_config(
    document: Document, artifact_type: str | None
) -> None:
    assert facts_of(document).artifact_type == artifact_type


@pytest.mark.parametrize("subject", [ABSENT, None])
def test_subject_may_be_missing(subject: object) -> None:
    assert facts_of(image(subject=subject)).subject is None


@pytest.mark.parametrize("annotations", [ABSENT, None, {}])
def test_annotations_may_be_missing(annotations: object) -> None:
    assert facts_of(image(annotations=annotations)).annotations == {}


@pytest.mark.parametrize("annotations", [5, "a", [], ["a"], {"a": 1}, {"a": None}, {"a": {}}])
def test_annotations_map_text_to_text(annotations: object) -> None:
    for document in (image(annotations=annotations), index(annotations=annotations)):
        with refused(Code.MANIFEST_INVALID, 400):
            facts_of(document)


def test_digest_that_stands_twice_is_one_reference() -> None:
    layer, again = descriptor(size=1), descriptor(size=2, mediaType="a/b")
    references = facts_of(image(config=layer, layers=[again, layer, again])).references

    assert references == (ManifestReference(Digest(SHA256), "config", LAYER_TYPE, 1, False),)


def test_both_algorithms_are_referenced() -> None:
    layers = [descriptor(digest=SHA256), descriptor(digest=SHA512)]
    references = facts_of(image(layers=layers)).references

    assert [item.digest for item in references] == [digest_like("c"), SHA256, SHA512]


def test_index_may_list_layers_as_the_cache_of_buildkit_does() -> None:
    facts = facts_of(index(manifests=[descriptor(mediaType=LAYER_TYPE)]))

    assert [item.media_type for item in facts.references] == [LAYER_TYPE]


@pytest.mark.parametrize("media_type", [DOCKER_LIST, OCI_INDEX])
def test_unknown_fields_are_left_alone(media_type: str) -> None:
    item = descriptor(platform={"os": "linux", "x": [1]}, **{"example.test/new": {"deep": [None]}})
    document = index(mediaType=media_type, manifests=[item], future={"a": 1.5}, blobs=[5])

    assert len(facts_of(document).references) == 1


def test_lone_surrogate_in_an_annotation_can_be_written_as_json() -> None:
    facts = parse_manifest(encoded(image(annotations={"\ud800": "\udfff"})), None)

    assert json.loads(json.dumps(facts.annotations)) == facts.annotations


@FEW
@given(st.binary() | json_values().map(encoded), st.none() | st.sampled_from(KNOWN_TYPES))
def test_any_body_is_facts_or_an_oci_error(body: bytes, content_type: str | None) -> None:
    found = value_or_refusal(lambda: parse_manifest(body, content_type))

    assert isinstance(found, OciError)
    assert found.status in (400, 415)


@FEW
@given(st.binary() | json_values().map(encoded))
def test_any_body_is_an_object_or_an_oci_error(body: bytes) -> None:
    found = value_or_refusal(lambda: load_object(body))

    if not isinstance(found, OciError):
        assert load_object(encoded(found)) == found


def junk() -> st.SearchStrategy[object]:
    return json_values() | st.sampled_from([ABSENT, descriptor(), [descriptor()], SHA256, 2, 5])


def descriptors() -> st.SearchStrategy[Document]:
    """Valid ones, and such with one wrong value."""
    keys = st.sampled_from(["mediaType", "digest", "size", "urls", "data", "annotations", "x"])
    valid = st.builds(
        lambda digest, size: descriptor(digest=digest, size=size), digests(), st.integers(0, 2**64)
    )
    spoiled_digest = spoiled(digests().map(str)).map(lambda text: descriptor(digest=text))
    changed = st.builds(lambda key, value: descriptor(**{key: value}), keys, junk())
    return valid | changed | spoiled_digest


def documents() -> st.SearchStrategy[Document]:
    """Manifests that are nearly valid."""
    keys = st.sampled_from([*index(), *image(), "subject", "artifactType", "annotations"])
    changes = st.dictionaries(keys, junk(), max_size=1)
    lists = st.lists(descriptors(), max_size=3)
    images = st.builds(lambda layers, change: image(**{"layers": layers, **change}), lists, changes)
    indexes = st.builds(
        lambda items, change: index(**{"manifests": items, **change}), lists, changes
    )
    return images | indexes


@FEW
@given(documents(), st.none() | st.sampled_from([*KNOWN_TYPES, "text/plain", ""]))
def test_any_document_is_facts_or_an_oci_error(document: Document, sent: str | None) -> None:
    found = value_or_refusal(lambda: parse_manifest(encoded(document), sent))

    if isinstance(found, OciError):
        assert found.code in (Code.MANIFEST_INVALID, Code.UNSUPPORTED)
    else:
        kept = [item.digest for item in found.references]
        assert len(set(kept)) == len(kept)
        assert all(type(item.digest) is Digest and is_size(item.size) for item in found.references)
        assert found.media_type in (IMAGE_TYPES if found.kind == "image" else INDEX_TYPES)
        assert json.loads(json.dumps(found.annotations)) == found.annotations


@QUICK
@given(st.lists(digests(), unique=True, min_size=1, max_size=6))
def test_every_digest_of_an_image_is_a_reference_in_its_order(kept: list[Digest]) -> None:
    config, *layers = [descriptor(digest=digest) for digest in kept]
    facts = facts_of(image(config=config, layers=layers))

    assert [item.digest for item in facts.references] == kept
