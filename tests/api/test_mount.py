"""Mounting: a blob of one repository becomes held by another."""

from __future__ import annotations

import httpx
import pytest

from tests.api.client import Client, expect_error
from tests.factories import Content, make_blob, make_descriptor, make_image, make_name


def mount(client: Client, name: str, digest: str, source: str | None = None) -> httpx.Response:
    parameters = {"mount": digest} if source is None else {"mount": digest, "from": source}
    return client.post(f"/v2/{name}/blobs/uploads/", params=parameters)


def expect_mounted(client: Client, answer: httpx.Response, name: str, blob: Content) -> None:
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v2/{name}/blobs/{blob.digest}"
    assert answer.headers["Docker-Content-Digest"] == blob.digest
    assert answer.headers["Content-Length"] == "0"
    assert client.get(f"/v2/{name}/blobs/{blob.digest}").content == blob.body


def expect_session(client: Client, answer: httpx.Response, name: str, blob: Content) -> None:
    """Nothing was mounted, and the session that was opened instead takes the blob."""
    assert answer.status_code == 202
    assert answer.headers["Location"].startswith(f"/v2/{name}/blobs/uploads/")
    assert answer.headers["Range"] == "0-0"
    assert client.head(f"/v2/{name}/blobs/{blob.digest}").status_code == 404
    assert client.finish(answer.headers["Location"], blob, blob.body).status_code == 201


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("says_from", [True, False])
def test_blob_is_mounted(client: Client, name: str, algorithm: str, says_from: bool) -> None:
    source = make_name()
    blob = client.push_blob(source, make_blob(algorithm=algorithm))

    answer = mount(client, name, blob.digest, source if says_from else None)

    expect_mounted(client, answer, name, blob)


def test_mounted_blob_outlives_its_source(client: Client, name: str) -> None:
    source = make_name()
    blob = client.push_blob(source)
    mount(client, name, blob.digest, source)

    assert client.delete(f"/v2/{source}/blobs/{blob.digest}").status_code == 202

    assert client.get(f"/v2/{name}/blobs/{blob.digest}").content == blob.body
    assert client.delete(f"/v2/{name}/blobs/{blob.digest}").status_code == 202


def test_blob_that_is_here_already_is_mounted_from_anywhere(client: Client, name: str) -> None:
    blob = client.push_blob(name)

    for source in (name, make_name(), None):
        expect_mounted(client, mount(client, name, blob.digest, source), name, blob)


def test_unknown_blob_opens_a_session(client: Client, name: str) -> None:
    for source in (make_name(), name, None):
        blob = make_blob()
        expect_session(client, mount(client, name, blob.digest, source), name, blob)


def test_source_that_does_not_hold_the_blob_opens_a_session(client: Client, name: str) -> None:
    blob = client.push_blob(make_name())
    source = make_name()
    client.push_blob(source)

    expect_session(client, mount(client, name, blob.digest, source), name, blob)


def test_blob_that_its_source_deleted_opens_a_session(client: Client, name: str) -> None:
    source = make_name()
    blob = client.push_blob(source)
    client.delete(f"/v2/{source}/blobs/{blob.digest}")

    expect_session(client, mount(client, name, blob.digest, source), name, blob)


def test_blob_that_a_manifest_only_names_is_not_mounted(client: Client, name: str) -> None:
    blob = client.push_blob(make_name())
    source = make_name()
    client.stored(source, make_image(layers=[make_descriptor(blob)]))

    expect_session(client, mount(client, name, blob.digest, source), name, blob)


def test_manifest_is_no_blob_to_mount(client: Client, name: str) -> None:
    source = make_name()
    image = client.stored(source, make_image())

    expect_session(client, mount(client, name, image.digest, source), name, image)


def test_mount_with_a_body_tells_nothing_of_it(client: Client, name: str) -> None:
    source = make_name()
    blob = client.push_blob(source)

    answer = client.post(
        f"/v2/{name}/blobs/uploads/",
        params={"mount": blob.digest, "from": source},
        content=b"a body that nobody asked for",
    )

    expect_mounted(client, answer, name, blob)


def test_from_without_mount_is_an_ordinary_start(client: Client, name: str) -> None:
    answer = client.post(f"/v2/{name}/blobs/uploads/", params={"from": make_name()})

    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("mount=sha256:xyz", "DIGEST_INVALID"),
        ("mount=latest&from=a", "DIGEST_INVALID"),
        ("mount={digest}&from=A", "NAME_INVALID"),
        ("mount={digest}&from=../a", "NAME_INVALID"),
        ("mount={digest}&from=a/", "NAME_INVALID"),
        ("mount={digest}&from=a&from=b", "NAME_INVALID"),
        ("mount={digest}&mount={digest}", "DIGEST_INVALID"),
    ],
)
def test_malformed_mount_is_refused(client: Client, name: str, query: str, code: str) -> None:
    blob = client.push_blob(name)

    answer = client.post(f"/v2/{name}/blobs/uploads/?{query.format(digest=blob.digest)}")

    expect_error(answer, 400, code)


def test_post_with_a_digest_that_another_repository_holds_gives_no_access(
    client: Client, name: str
) -> None:
    blob = client.push_blob(make_name())

    answer = client.post(f"/v2/{name}/blobs/uploads/", params={"digest": blob.digest})

    expect_session(client, answer, name, blob)
