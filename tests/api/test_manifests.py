"""Pushing, reading and deleting manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from angos_trio.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import (
    Document,
    make_blob,
    make_descriptor,
    make_document,
    make_image,
    make_index,
    make_name,
)

NOBODY = "sha256:" + "0" * 64
MANIFEST_BYTES_MAX = 2000

KINDS = [
    make_image(),
    make_index(),
    make_image(media_type=DOCKER_MANIFEST),
    make_index(media_type=DOCKER_LIST),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.parametrize("document", KINDS, ids=lambda document: document.media_type)
def test_manifest_comes_back_as_pushed(
    client: Client, name: str, document: Document, by: str, method: str
) -> None:
    pushed = client.push_manifest(name, document, "v1")
    reference = "v1" if by == "tag" else document.digest

    answer = client.request(method, f"/v2/{name}/manifests/{reference}")

    assert pushed.status_code == 201
    assert pushed.headers["Location"] == f"/v2/{name}/manifests/v1"
    assert pushed.headers["Docker-Content-Digest"] == document.digest
    assert pushed.headers["Content-Length"] == "0"
    assert "OCI-Tag" not in pushed.headers
    assert "OCI-Subject" not in pushed.headers
    assert answer.status_code == 200
    assert answer.content == (document.body if method == "GET" else b"")
    assert answer.headers["Content-Type"] == document.media_type
    assert answer.headers["Content-Length"] == str(document.size)
    assert answer.headers["Docker-Content-Digest"] == document.digest
    assert answer.headers["ETag"] == f'"{document.digest}"'


def test_sha512_manifest_is_pushed_read_tagged_and_deleted(client: Client, name: str) -> None:
    document = make_image().in_sha512()

    answer = client.push_manifest(name, document, tags=["v1"])

    assert answer.headers["Docker-Content-Digest"] == document.digest
    assert answer.headers["Location"] == f"/v2/{name}/manifests/{document.digest}"
    for reference in (document.digest, "v1"):
        read = client.get(f"/v2/{name}/manifests/{reference}")
        assert read.content == document.body
        assert read.headers["Docker-Content-Digest"] == document.digest
    assert client.delete(f"/v2/{name}/manifests/{document.digest}").status_code == 202
    assert client.tags(name) == []


def test_digest_of_other_content_is_refused(client: Client, name: str) -> None:
    document, other = make_image(), make_image()

    answer = client.push_manifest(name, document, other.digest)

    expect_error(
        answer,
        400,
        "DIGEST_INVALID",
        detail={"expected": other.digest, "received": document.digest},
    )
    expect_error(client.get(f"/v2/{name}/manifests/{document.digest}"), 404, "MANIFEST_UNKNOWN")
    expect_error(client.get(f"/v2/{name}/tags/list"), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("is_known", [True, False])
def test_if_none_match_spares_the_body(
    client: Client, name: str, method: str, is_known: bool
) -> None:
    document = client.stored(name, make_image(), "v1")
    digest = document.digest if is_known else NOBODY

    answer = client.request(
        method, f"/v2/{name}/manifests/v1", headers={"If-None-Match": f'W/"{digest}"'}
    )

    assert answer.status_code == (304 if is_known else 200)
    assert answer.headers["ETag"] == f'"{document.digest}"'
    assert answer.headers["Docker-Content-Digest"] == document.digest
    assert answer.content == (document.body if method == "GET" and not is_known else b"")


def test_tag_moves_and_both_manifests_stay(client: Client, name: str) -> None:
    first = client.stored(name, make_image(), "v1")
    second = client.stored(name, make_image(), "v1")

    assert client.get(f"/v2/{name}/manifests/v1").content == second.body
    assert client.get(f"/v2/{name}/manifests/{first.digest}").content == first.body


def test_push_of_the_same_manifest_again_is_201(client: Client, name: str) -> None:
    document = make_image()
    for _ in range(3):
        answer = client.push_manifest(name, document, "v1")
        assert answer.status_code == 201
        assert answer.headers["Docker-Content-Digest"] == document.digest
    assert client.tags(name) == ["v1"]


def test_tags_of_the_query_are_set_with_the_manifest(client: Client, name: str) -> None:
    document = make_image()

    answer = client.push_manifest(name, document, tags=["v1", "latest", "v1", "1.0"])

    assert answer.status_code == 201
    assert answer.headers["OCI-Tag"] == "v1, latest, 1.0"
    assert client.tags(name) == ["1.0", "latest", "v1"]
    for tag in client.tags(name):
        assert client.get(f"/v2/{name}/manifests/{tag}").content == document.body


@pytest.mark.parametrize("tag", [".a", "-a", "a b", "a/b", "ä", "a" * 129, "a\n", "sha256:a"])
def test_malformed_tag_of_the_query_refuses_it_all(client: Client, name: str, tag: str) -> None:
    document = make_image()

    answer = client.push_manifest(name, document, tags=["good", tag])

    expect_error(answer, 400, "TAG_INVALID", detail=tag)
    expect_error(client.get(f"/v2/{name}/manifests/good"), 404, "MANIFEST_UNKNOWN")
    expect_error(client.get(f"/v2/{name}/manifests/{document.digest}"), 404, "MANIFEST_UNKNOWN")


def test_subject_is_acknowledged(client: Client, name: str) -> None:
    subject = make_image()
    for document in (
        make_image(subject=make_descriptor(subject)),
        make_index(subject=make_descriptor(subject)),
        make_image(subject=make_descriptor(subject.in_sha512())),
    ):
        answer = client.push_manifest(name, document)
        wanted = json.loads(document.body)["subject"]["digest"]
        assert answer.status_code == 201
        assert answer.headers["OCI-Subject"] == wanted


WITHOUT_TYPE = make_document(
    {"schemaVersion": 2, "config": make_descriptor(), "layers": []}, OCI_MANIFEST
)


@pytest.mark.parametrize(
    ("document", "content_type", "served_as"),
    [
        (make_image(), None, OCI_MANIFEST),
        (make_index(), None, OCI_INDEX),
        (WITHOUT_TYPE, OCI_MANIFEST, OCI_MANIFEST),
        (WITHOUT_TYPE, DOCKER_MANIFEST, DOCKER_MANIFEST),
        (make_image(), f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
        (make_image(), f"{OCI_MANIFEST};charset=utf-8;x=y", OCI_MANIFEST),
        (make_image(), OCI_MANIFEST.upper(), OCI_MANIFEST),
    ],
)
def test_type_is_that_of_the_header_or_of_the_body(
    client: Client, name: str, document: Document, content_type: str | None, served_as: str
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}

    assert client.push_manifest(name, document, "v1", headers=headers).status_code == 201

    answer = client.get(f"/v2/{name}/manifests/v1")
    assert answer.headers["Content-Type"] == served_as
    assert answer.content == document.body


@pytest.mark.parametrize(
    ("content_type", "status", "code"),
    [
        (OCI_INDEX, 400, "MANIFEST_INVALID"),
        (DOCKER_MANIFEST, 400, "MANIFEST_INVALID"),
        ("application/json", 400, "MANIFEST_INVALID"),
    ],
)
def test_type_that_is_not_that_of_the_body_is_refused(
    client: Client, name: str, content_type: str, status: int, code: str
) -> None:
    answer = client.push_manifest(name, make_image(), headers={"Content-Type": content_type})

    expect_error(answer, status, code)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.oci.artifact.manifest.v1+json",
        "text/plain",
    ],
)
def test_type_that_is_no_manifest_is_415(client: Client, name: str, media_type: str) -> None:
    by_header = client.push_manifest(
        name, WITHOUT_TYPE, headers={"Content-Type": f"{media_type}; charset=utf-8"}
    )
    by_body = client.push_manifest(name, make_image(media_type=media_type), headers={})

    for answer in (by_header, by_body):
        expect_error(answer, 415, "UNSUPPORTED", detail=media_type)


def broken(**changes: object) -> Document:
    """An image manifest with these keys changed; None leaves one out."""
    return make_document({**json.loads(make_image().body), **changes})


INVALID = {
    "empty": Document(b""),
    "no JSON": Document(b"{"),
    "a list": Document(b"[]"),
    "text": Document(b'"manifest"'),
    "null": Document(b"null"),
    "not UTF-8": Document(b'{"schemaVersion": 2, "\xff": 1}'),
    "with a byte order mark": Document(b"\xef\xbb\xbf" + make_image().body),
    "NaN": Document(make_image().body[:-1] + b', "x": NaN}'),
    "a number without end": Document(make_image().body[:-1] + b', "x": ' + b"9" * 100_000 + b"}"),
    "a key twice": Document(make_image().body[:-1] + b', "schemaVersion": 2}'),
    "a key twice below": Document(make_image().body[:-1] + b', "x": {"a": 1, "a": 2}}'),
    "nested deeply": Document(b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    "nested lists": Document(b"[" * 1_000_000),
    "schemaVersion 1": broken(schemaVersion=1),
    "schemaVersion as text": broken(schemaVersion="2"),
    "schemaVersion true": broken(schemaVersion=True),
    "no schemaVersion": broken(schemaVersion=None),
    "no config": broken(config=None),
    "config as text": broken(config="sha256:0"),
    "no layers": broken(layers=None),
    "layers as object": broken(layers={}),
    "layer as text": broken(layers=["x"]),
    "mixed with an index": broken(manifests=[]),
    "digest malformed": broken(layers=[make_descriptor(digest="sha256:xyz")]),
    "digest in upper case": broken(layers=[make_descriptor(digest=NOBODY.upper())]),
    "digest of another algorithm": broken(layers=[make_descriptor(digest="md5:" + "0" * 32)]),
    "digest as number": broken(layers=[make_descriptor(digest=1)]),
    "no digest": broken(layers=[{"mediaType": "a/b", "size": 1}]),
    "size negative": broken(layers=[make_descriptor(size=-1)]),
    "size as text": broken(layers=[make_descriptor(size="1")]),
    "size as fraction": broken(layers=[make_descriptor(size=1.5)]),
    "size true": broken(layers=[make_descriptor(size=True)]),
    "size huge": broken(layers=[make_descriptor(size=2**63)]),
    "layer without type": broken(layers=[make_descriptor(media_type="")]),
    "layer type with parameters": broken(layers=[make_descriptor(media_type="a/b; c=d")]),
    "artifactType malformed": broken(artifactType="x"),
    "artifactType with parameters": broken(artifactType="a/b;c=d"),
    "mediaType with parameters": broken(mediaType=f"{OCI_MANIFEST}; a=b"),
    "mediaType as number": broken(mediaType=1),
    "subject as text": broken(subject="x"),
    "subject malformed": broken(subject=make_descriptor(digest="x")),
    "annotations as list": broken(annotations=[]),
    "annotation as number": broken(annotations={"a": 1}),
    "index without manifests": make_document({"schemaVersion": 2}, OCI_INDEX),
    "index with config": make_index(config=make_descriptor()),
    "index with layers": make_index(layers=[]),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_manifest_is_refused(client: Client, name: str, case: str) -> None:
    answer = client.push_manifest(name, INVALID[case], "v1")

    expect_error(answer, 400, "MANIFEST_INVALID")
    expect_error(client.get(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN")


VALID = {
    "unknown fields": broken(x={"y": [1, None, 1e9]}),
    "text of every kind": broken(annotations={"": "", "\0": "\ud800", "ä": "𝄞\n"}),
    "the same layer twice": broken(layers=[make_descriptor(make_blob("l"))] * 2),
    "an empty layer list": broken(layers=[]),
    "data in a descriptor": broken(config=make_descriptor(make_blob("{}"), data="e30=")),
    "a foreign layer": broken(layers=[make_descriptor(urls=["http://localhost/x"])]),
    "an artifact": broken(artifactType="application/x"),
    "an empty artifactType": broken(artifactType=""),
    "sha512 references": broken(layers=[make_descriptor(make_blob(algorithm="sha512"))]),
    "an index of an index": make_index([make_descriptor(make_index())]),
    "an index of layers": make_index([make_descriptor(make_blob())]),
    "an empty index": make_index(),
    "nested a little": broken(x=json.loads("[" * 50 + "]" * 50)),
}


@pytest.mark.parametrize("case", VALID)
def test_valid_manifest_is_stored_byte_for_byte(client: Client, name: str, case: str) -> None:
    document = client.stored(name, VALID[case], "v1")

    assert client.get(f"/v2/{name}/manifests/v1").content == document.body


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        ("latest", 404, "MANIFEST_UNKNOWN"),
        (NOBODY, 404, "MANIFEST_UNKNOWN"),
        (".INVALID_MANIFEST_NAME", 404, "MANIFEST_UNKNOWN"),
        ("-a", 404, "MANIFEST_UNKNOWN"),
        ("a" * 129, 404, "MANIFEST_UNKNOWN"),
        ("%C3%A4", 404, "MANIFEST_UNKNOWN"),
        ("%D9%A3", 404, "MANIFEST_UNKNOWN"),
        ("latest%0A", 404, "MANIFEST_UNKNOWN"),
        ("a%20b", 404, "MANIFEST_UNKNOWN"),
        ("sha256:xyz", 400, "DIGEST_INVALID"),
        ("sha256:" + "A" * 64, 400, "DIGEST_INVALID"),
        ("a:b:c", 400, "DIGEST_INVALID"),
        ("md5:" + "0" * 32, 415, "UNSUPPORTED"),
    ],
)
def test_reference_that_names_nothing(
    client: Client, name: str, reference: str, status: int, code: str
) -> None:
    client.stored(name, make_image(), "v1")
    path = f"/v2/{name}/manifests/{reference}"

    assert client.head(path).status_code == status
    for method in ("GET", "DELETE"):
        expect_error(client.request(method, path), status, code)


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        (".a", 400, "TAG_INVALID"),
        ("a" * 129, 400, "TAG_INVALID"),
        ("%C3%A4", 400, "TAG_INVALID"),
        ("%D9%A3", 400, "TAG_INVALID"),
        ("latest%0A", 400, "TAG_INVALID"),
        ("sha256:xyz", 400, "DIGEST_INVALID"),
        ("sha512:" + "0" * 64, 400, "DIGEST_INVALID"),
        ("md5:" + "0" * 32, 415, "UNSUPPORTED"),
    ],
)
def test_reference_that_cannot_be_written(
    client: Client, name: str, reference: str, status: int, code: str
) -> None:
    answer = client.put(
        f"/v2/{name}/manifests/{reference}",
        content=make_image().body,
        headers={"Content-Type": OCI_MANIFEST},
    )

    expect_error(answer, status, code)


@pytest.mark.parametrize("tag", ["a", "_", "A-b.c_d", "1", "a" * 128, "latest", "__x"])
def test_tag_of_every_shape_is_written_and_read(client: Client, name: str, tag: str) -> None:
    document = client.stored(name, make_image(), tag)

    assert client.get(f"/v2/{name}/manifests/{tag}").content == document.body
    assert client.tags(name) == [tag]


def test_delete_of_a_tag_leaves_the_manifest_and_other_tags(client: Client, name: str) -> None:
    document = client.stored(name, make_image(), tags=["v1", "v2"])

    assert client.delete(f"/v2/{name}/manifests/v1").status_code == 202

    expect_error(client.get(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN", detail="v1")
    expect_error(client.delete(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN", detail="v1")
    assert client.get(f"/v2/{name}/manifests/{document.digest}").content == document.body
    assert client.tags(name) == ["v2"]


def test_delete_by_digest_removes_its_tags_and_no_others(client: Client, name: str) -> None:
    document = client.stored(name, make_image(), tags=["v1", "v2"])
    other = client.stored(name, make_image(), "v3")
    elsewhere = make_name()
    client.stored(elsewhere, document, "v1")
    path = f"/v2/{name}/manifests/{document.digest}"

    assert client.delete(path).status_code == 202

    for reference in ("v1", "v2", document.digest):
        answer = client.get(f"/v2/{name}/manifests/{reference}")
        expect_error(answer, 404, "MANIFEST_UNKNOWN", detail=reference)
    expect_error(client.delete(path), 404, "MANIFEST_UNKNOWN", detail=document.digest)
    assert client.tags(name) == ["v3"]
    assert client.get(f"/v2/{name}/manifests/v3").content == other.body
    assert client.get(f"/v2/{elsewhere}/manifests/v1").content == document.body


def test_deleted_manifest_can_be_pushed_again(client: Client, name: str) -> None:
    document = client.stored(name, make_image(), "v1")
    client.delete(f"/v2/{name}/manifests/{document.digest}")

    client.stored(name, document, "v1")

    assert client.get(f"/v2/{name}/manifests/v1").content == document.body


def test_manifest_of_another_namespace_is_unknown_here(client: Client, name: str) -> None:
    document = client.stored(name, make_image(), "v1")

    for other in (f"{name}/sub", make_name()):
        for reference in ("v1", document.digest):
            answer = client.get(f"/v2/{other}/manifests/{reference}")
            expect_error(answer, 404, "MANIFEST_UNKNOWN", detail=reference)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry that refuses missing references, and manifests over 2,000 bytes."""
    root: Path = tmp_path_factory.mktemp("strict")
    settings = {
        "allow_missing_manifest_references": False,
        "max_manifest_size": MANIFEST_BYTES_MAX,
    }
    with serving(root, global_=settings) as served:
        yield served


@pytest.fixture
def picky(strict: ServedRegistry) -> Iterator[Client]:
    """Speaks to `strict`."""
    with Client(strict.url) as speaking:
        yield speaking


def test_missing_references_are_refused_where_the_operator_wants_it(
    picky: Client, name: str
) -> None:
    config, layer = picky.push_blob(name), make_blob()
    image = make_image(make_descriptor(config), [make_descriptor(layer)])
    index = make_index([make_descriptor(image)])

    expect_error(picky.push_manifest(name, image), 404, "MANIFEST_BLOB_UNKNOWN", layer.digest)
    expect_error(picky.push_manifest(name, index), 404, "MANIFEST_BLOB_UNKNOWN", image.digest)
    assert picky.get(f"/v2/{name}/manifests/{image.digest}").status_code == 404
    picky.push_blob(make_name(), layer)
    expect_error(picky.push_manifest(name, image), 404, "MANIFEST_BLOB_UNKNOWN", layer.digest)
    picky.push_blob(name, layer)
    picky.stored(name, image, "v1")
    picky.stored(name, index, "v2")


def test_what_need_not_be_here_is_not_missing(picky: Client, name: str) -> None:
    config = picky.push_blob(name)
    foreign = make_descriptor(urls=["http://localhost/layer"])
    inline = make_descriptor(make_blob("{}"), data="e30=")
    subject = make_descriptor(make_image())

    picky.stored(name, make_image(make_descriptor(config), [foreign, inline], subject=subject))


@pytest.mark.parametrize("is_chunked", [False, True])
def test_manifest_over_the_bound_is_413(picky: Client, name: str, is_chunked: bool) -> None:
    body = make_index(annotations={"x": "y" * MANIFEST_BYTES_MAX}).body

    answer = picky.put(
        f"/v2/{name}/manifests/v1",
        content=iter([body[:1500], body[1500:]]) if is_chunked else body,
        headers={"Content-Type": OCI_INDEX},
    )

    expect_error(answer, 413, "MANIFEST_INVALID")
    expect_error(picky.get(f"/v2/{name}/manifests/v1"), 404, "MANIFEST_UNKNOWN")


def test_manifest_of_the_size_of_the_bound_is_taken(picky: Client, name: str) -> None:
    padding = MANIFEST_BYTES_MAX - make_index(annotations={"x": ""}).size
    document = make_index(annotations={"x": "y" * padding})

    assert document.size == MANIFEST_BYTES_MAX
    picky.stored(name, document)


def test_manifest_of_several_megabytes_goes_in_and_out(client: Client, name: str) -> None:
    document = make_index(annotations={"x": "y" * 4_000_000})

    client.stored(name, document, "v1")

    assert client.get(f"/v2/{name}/manifests/v1").content == document.body
    assert client.head(f"/v2/{name}/manifests/v1").headers["Content-Length"] == str(document.size)
