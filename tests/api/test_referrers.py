"""Referrers: what names a subject, filtered and in pages."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import httpx
import pytest

from angos_trio.oci.media_types import OCI_INDEX, OCI_MANIFEST
from tests.api.client import Client, expect_error, next_page
from tests.api.serving import ServedRegistry
from tests.factories import (
    OCI_EMPTY,
    SBOM,
    Document,
    make_descriptor,
    make_document,
    make_image,
    make_index,
    make_name,
)

SIGNATURE = "application/vnd.example.signature+json"
COUNT = 250


def make_referrer(subject: Document, artifact_type: str | None = SBOM, **more: Any) -> Document:
    return make_image(subject=make_descriptor(subject), artifactType=artifact_type, **more)


def entry_of(document: Document, artifact_type: str | None, **more: Any) -> dict[str, Any]:
    entry = {"mediaType": document.media_type, "digest": document.digest, "size": document.size}
    if artifact_type is not None:
        entry["artifactType"] = artifact_type
    return {**entry, **more}


def referrers(client: Client, name: str, subject: Document, **query: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v2/{name}/referrers/{subject.digest}", params=query)
    return manifests_of(answer)


def manifests_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The entries of an answer that must be an image index."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == OCI_INDEX
    document = answer.json()
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == OCI_INDEX
    found: list[dict[str, Any]] = document["manifests"]
    return found


def follow(client: Client, path: str) -> list[list[dict[str, Any]]]:
    pages = []
    following: str | None = path
    while following is not None:
        answer = client.get(following)
        pages.append(manifests_of(answer))
        following = next_page(answer)
    return pages


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_unknown_subject_has_no_referrers(client: Client, name: str, algorithm: str) -> None:
    subject = make_image()
    if algorithm == "sha512":
        subject = subject.in_sha512()

    answer = client.get(f"/v2/{name}/referrers/{subject.digest}")

    assert manifests_of(answer) == []
    assert "Link" not in answer.headers
    assert "OCI-Filters-Applied" not in answer.headers


def test_referrers_are_listed_with_what_they_say_of_themselves(client: Client, name: str) -> None:
    subject = make_image()
    artifact = make_referrer(subject, annotations={"a": "1"})
    image = make_image(make_descriptor(media_type=SIGNATURE), subject=make_descriptor(subject))
    index = make_index(subject=make_descriptor(subject), annotations={"b": ""})
    typed = make_index(subject=make_descriptor(subject), artifactType=SBOM, annotations=None)
    for document in (artifact, image, index, typed):
        client.stored(name, document)

    expected = [
        entry_of(artifact, SBOM, annotations={"a": "1"}),
        entry_of(image, SIGNATURE),
        entry_of(index, None, annotations={"b": ""}),
        entry_of(typed, SBOM),
    ]

    assert referrers(client, name, subject) == sorted(
        expected, key=lambda entry: str(entry["digest"])
    )


def test_referrer_is_listed_before_and_after_its_subject_came(client: Client, name: str) -> None:
    subject = make_image()
    referrer = client.stored(name, make_referrer(subject))
    before = referrers(client, name, subject)
    client.stored(name, subject, "v1")

    assert before == referrers(client, name, subject) == [entry_of(referrer, SBOM)]


def test_referrer_pushed_again_is_listed_once(client: Client, name: str) -> None:
    subject = make_image()
    referrer = make_referrer(subject)
    for _ in range(2):
        client.stored(name, referrer, "sbom")

    assert referrers(client, name, subject) == [entry_of(referrer, SBOM)]


def test_deleted_referrer_is_gone_and_a_deleted_subject_takes_none_along(
    client: Client, name: str
) -> None:
    subject = client.stored(name, make_image(), "v1")
    first, second = (client.stored(name, make_referrer(subject)) for _ in range(2))

    client.delete(f"/v2/{name}/manifests/{first.digest}")
    client.delete(f"/v2/{name}/manifests/{subject.digest}")

    assert referrers(client, name, subject) == [entry_of(second, SBOM)]


def test_referrers_stay_in_their_namespace(client: Client, name: str) -> None:
    subject = make_image()
    client.stored(make_name(), make_referrer(subject))
    client.stored(f"{name}/sub", make_referrer(subject))

    assert referrers(client, name, subject) == []


def test_subject_in_sha512_has_its_own_referrers(client: Client, name: str) -> None:
    subject = make_image().in_sha512()
    referrer = client.stored(name, make_referrer(subject).in_sha512())

    assert referrers(client, name, subject) == [entry_of(referrer, SBOM)]


def test_filter_is_applied_and_told(client: Client, name: str) -> None:
    subject = make_image()
    sbom = client.stored(name, make_referrer(subject))
    signature = client.stored(
        name,
        make_image(make_descriptor(media_type=SIGNATURE), subject=make_descriptor(subject)),
    )
    for wanted, expected in (
        (SBOM, [entry_of(sbom, SBOM)]),
        (SIGNATURE, [entry_of(signature, SIGNATURE)]),
        ("application/none", []),
    ):
        answer = client.get(
            f"/v2/{name}/referrers/{subject.digest}", params={"artifactType": wanted}
        )
        assert manifests_of(answer) == expected
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"

    answer = client.get(f"/v2/{name}/referrers/{subject.digest}?artifactType=")
    assert len(manifests_of(answer)) == 2
    assert "OCI-Filters-Applied" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        "artifactType=x",
        "artifactType=a/b;c=d",
        "artifactType=a/",
        "artifactType=a/b&artifactType=a/c",
    ],
)
def test_malformed_filter_is_400(client: Client, name: str, query: str) -> None:
    answer = client.get(f"/v2/{name}/referrers/{make_image().digest}?{query}")

    expect_error(answer, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    ("digest", "status", "code"),
    [
        ("latest", 400, "DIGEST_INVALID"),
        ("sha256:xyz", 400, "DIGEST_INVALID"),
        ("sha256:" + "A" * 64, 400, "DIGEST_INVALID"),
        ("sha512:" + "a" * 64, 400, "DIGEST_INVALID"),
        ("md5:" + "0" * 32, 415, "UNSUPPORTED"),
    ],
)
def test_malformed_subject_is_refused(
    client: Client, name: str, digest: str, status: int, code: str
) -> None:
    expect_error(client.get(f"/v2/{name}/referrers/{digest}"), status, code, detail=digest)


@pytest.fixture(scope="module")
def crowd(registry: ServedRegistry) -> tuple[str, Document, list[str]]:
    """A subject with 250 referrers of one type and one of another; digests of the 250 in order."""
    name, subject = make_name(), make_image()
    stored = registry.store(name, [make_referrer(subject) for _ in range(COUNT)])
    registry.store(name, [make_referrer(subject, SIGNATURE)])
    return name, subject, sorted(document.digest for document in stored)


def test_referrers_come_in_pages_of_a_hundred(
    client: Client, crowd: tuple[str, Document, list[str]]
) -> None:
    name, subject, digests = crowd

    pages = follow(client, f"/v2/{name}/referrers/{subject.digest}")

    assert [len(page) for page in pages] == [100, 100, COUNT + 1 - 200]
    found = [str(entry["digest"]) for page in pages for entry in page]
    assert found == sorted(set(found))
    assert set(digests) < set(found)


def test_filter_comes_before_the_page_and_stays_in_the_link(
    client: Client, crowd: tuple[str, Document, list[str]]
) -> None:
    name, subject, digests = crowd
    path = f"/v2/{name}/referrers/{subject.digest}"

    many = follow(client, f"{path}?artifactType={SBOM.replace('+', '%2B')}")
    one = follow(client, f"{path}?artifactType={SIGNATURE.replace('+', '%2B')}")

    assert [len(page) for page in many] == [100, 100, 50]
    assert [str(entry["digest"]) for page in many for entry in page] == digests
    assert [len(page) for page in one] == [1]
    first = client.get(path, params={"artifactType": SBOM})
    assert "artifactType=application%2Fspdx%2Bjson" in first.headers["Link"]


def fallback_tag(subject: Document) -> str:
    algorithm, _, hexes = subject.digest.partition(":")
    return f"{algorithm}-{hexes[:64]}"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_index_of_the_fallback_tag_is_merged_in(client: Client, name: str, algorithm: str) -> None:
    subject = make_image()
    if algorithm == "sha512":
        subject = subject.in_sha512()
    listed = client.stored(name, make_image())
    stored = client.stored(name, make_referrer(subject))
    fallback = make_index(
        [
            make_descriptor(listed, artifactType=SIGNATURE, annotations={"a": "1"}),
            make_descriptor(stored, artifactType=SIGNATURE),
            make_descriptor(make_image(), artifactType=SIGNATURE),
        ]
    )
    client.stored(name, fallback, fallback_tag(subject))

    both = [entry_of(listed, SIGNATURE, annotations={"a": "1"}), entry_of(stored, SBOM)]
    both.sort(key=lambda entry: str(entry["digest"]))
    assert referrers(client, name, subject) == both
    assert [
        entry["digest"] for entry in referrers(client, name, subject, artifactType=SIGNATURE)
    ] == [listed.digest]
    client.delete(f"/v2/{name}/manifests/{listed.digest}")
    assert referrers(client, name, subject) == [entry_of(stored, SBOM)]


def test_deleted_fallback_tag_is_respected(client: Client, name: str) -> None:
    subject, listed = make_image(), client.stored(name, make_image())
    tag = fallback_tag(subject)
    client.stored(name, make_index([make_descriptor(listed, artifactType=SBOM)]), tag)
    assert len(referrers(client, name, subject)) == 1

    client.delete(f"/v2/{name}/manifests/{tag}")

    assert referrers(client, name, subject) == []


def test_fallback_tag_that_is_no_index_is_ignored(client: Client, name: str) -> None:
    subject = make_image()
    stored = client.stored(name, make_referrer(subject))
    client.stored(name, make_image(), fallback_tag(subject))

    assert referrers(client, name, subject) == [entry_of(stored, SBOM)]


def test_fallback_entries_are_paged_with_the_others(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    subject = make_image()
    listed = registry.store(name, [make_image() for _ in range(60)])
    stored = registry.store(name, [make_referrer(subject) for _ in range(60)])
    fallback = make_index([make_descriptor(item, artifactType=SBOM) for item in listed])
    client.stored(name, fallback, fallback_tag(subject))

    pages = follow(client, f"/v2/{name}/referrers/{subject.digest}")

    assert [len(page) for page in pages] == [100, 20]
    found = [str(entry["digest"]) for page in pages for entry in page]
    assert found == sorted(item.digest for item in [*listed, *stored])


@pytest.mark.slow
def test_page_ends_before_it_grows_too_large(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    subject = make_image()
    large = {"a": "x" * 2_000_000}
    registry.store(name, [make_referrer(subject, annotations=large) for _ in range(3)])

    pages = follow(client, f"/v2/{name}/referrers/{subject.digest}")

    assert [len(page) for page in pages] == [2, 1]


@pytest.mark.slow
def test_page_holds_in_memory_only_what_it_answers(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    subject = make_image()
    large = {"a": "x" * 2_000_000}
    registry.store(name, [make_referrer(subject, annotations=large) for _ in range(30)])
    path = f"/v2/{name}/referrers/{subject.digest}"

    tracemalloc.start()
    try:
        client.get(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 40_000_000, f"{peak} bytes for a page of 4 MiB"


def test_last_is_any_text(client: Client, name: str) -> None:
    subject = make_image()
    stored = client.stored(name, make_referrer(subject))
    path = f"/v2/{name}/referrers/{subject.digest}"

    assert manifests_of(client.get(f"{path}?last=zzz")) == []
    assert manifests_of(client.get(f"{path}?last=a")) == [entry_of(stored, SBOM)]
    assert manifests_of(client.get(f"{path}?last={stored.digest}")) == []
    expect_error(client.get(f"{path}?last=a&last=b"), 400, "DIGEST_INVALID")


def test_referrer_without_a_media_type_of_its_own_is_listed_as_pushed(
    client: Client, name: str
) -> None:
    subject = make_image()
    body = json.loads(make_referrer(subject).body)
    del body["mediaType"]
    bare = client.stored(name, make_document(body, OCI_MANIFEST))

    assert referrers(client, name, subject) == [entry_of(bare, SBOM)]


def test_empty_config_gives_its_type_where_there_is_no_artifact_type(
    client: Client, name: str
) -> None:
    subject = make_image()
    bare = make_image(make_descriptor(media_type=OCI_EMPTY), subject=make_descriptor(subject))
    client.stored(name, bare)

    assert referrers(client, name, subject) == [entry_of(bare, OCI_EMPTY)]
