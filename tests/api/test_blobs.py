"""Reading and deleting blobs."""

from __future__ import annotations

import pytest

from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry
from tests.factories import Content, make_blob, make_descriptor, make_image, make_name

TEN = make_blob("0123456789")
NOBODY = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def ten(client: Client) -> str:
    """The path of a blob of ten bytes."""
    name = make_name()
    client.push_blob(name, TEN)
    return f"/v2/{name}/blobs/{TEN.digest}"


def test_blob_comes_whole_with_its_headers(client: Client, ten: str) -> None:
    answer = client.get(ten)

    assert answer.status_code == 200
    assert answer.content == TEN.body
    assert answer.headers["Content-Length"] == "10"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Docker-Content-Digest"] == TEN.digest
    assert answer.headers["ETag"] == f'"{TEN.digest}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(
    ("header", "content_range", "body"),
    [
        ("bytes=0-0", "bytes 0-0/10", b"0"),
        ("bytes=2-5", "bytes 2-5/10", b"2345"),
        ("bytes=0-9", "bytes 0-9/10", b"0123456789"),
        ("bytes=9-9", "bytes 9-9/10", b"9"),
        ("bytes=4-", "bytes 4-9/10", b"456789"),
        ("bytes=0-", "bytes 0-9/10", b"0123456789"),
        ("bytes=-3", "bytes 7-9/10", b"789"),
        ("bytes=-10", "bytes 0-9/10", b"0123456789"),
        ("bytes=-11", "bytes 0-9/10", b"0123456789"),
        ("bytes=-9999999999999999999", "bytes 0-9/10", b"0123456789"),
        ("bytes=5-10", "bytes 5-9/10", b"56789"),
        ("bytes=5-9999999999999999999", "bytes 5-9/10", b"56789"),
        ("bytes= 2-5", "bytes 2-5/10", b"2345"),
    ],
)
def test_range_is_answered_with_its_part(
    client: Client, ten: str, header: str, content_range: str, body: bytes
) -> None:
    answer = client.get(ten, headers={"Range": header})

    assert answer.status_code == 206
    assert answer.content == body
    assert answer.headers["Content-Range"] == content_range
    assert answer.headers["Content-Length"] == str(len(body))
    assert answer.headers["Docker-Content-Digest"] == TEN.digest
    assert answer.headers["ETag"] == f'"{TEN.digest}"'


@pytest.mark.parametrize(
    "header", ["bytes=10-", "bytes=10-12", "bytes=99-", "bytes=5-4", "bytes=9-0", "bytes=-0"]
)
def test_range_that_cannot_be_satisfied_is_416(client: Client, ten: str, header: str) -> None:
    answer = client.get(ten, headers={"Range": header})

    expect_error(answer, 416, "SIZE_INVALID", detail=header)
    assert answer.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,3-4",
        "bytes=0-1, 5-",
        "items=0-1",
        "bytes 0-1",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=0x1-2",
        "0-1",
        "bytes=1-99999999999999999999999",
        "x" * 5000,
    ],
)
def test_range_that_cannot_be_read_is_ignored(client: Client, ten: str, header: str) -> None:
    answer = client.get(ten, headers={"Range": header})

    assert answer.status_code == 200
    assert answer.content == TEN.body
    assert "Content-Range" not in answer.headers


def test_range_says_nothing_to_head(client: Client, ten: str) -> None:
    answer = client.head(ten, headers={"Range": "bytes=2-5"})

    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == "10"


@pytest.mark.parametrize("header", [None, "bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-4"])
def test_empty_blob_has_no_ranges(client: Client, name: str, header: str | None) -> None:
    empty = client.push_blob(name, make_blob(b""))

    answer = client.get(
        f"/v2/{name}/blobs/{empty.digest}", headers={} if header is None else {"Range": header}
    )

    assert answer.status_code in (200, 416)
    if answer.status_code == 416:
        assert answer.headers["Content-Range"] == "bytes */0"
    else:
        assert answer.content == b""
        assert answer.headers["Content-Length"] == "0"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("header", "is_known"),
    [
        (f'"{TEN.digest}"', True),
        (f'W/"{TEN.digest}"', True),
        (f'"other", "{TEN.digest}"', True),
        ("*", True),
        (TEN.digest, False),
        (f'"{NOBODY}"', False),
        ("", False),
        ('"', False),
    ],
)
def test_if_none_match_spares_what_the_client_has(
    client: Client, ten: str, method: str, header: str, is_known: bool
) -> None:
    answer = client.request(method, ten, headers={"If-None-Match": header})

    assert answer.status_code == (304 if is_known else 200)
    assert answer.headers["ETag"] == f'"{TEN.digest}"'
    assert answer.content == (TEN.body if method == "GET" and not is_known else b"")
    if is_known:
        assert answer.headers["Docker-Content-Digest"] == TEN.digest
        assert answer.headers.get("Content-Length", "10") == "10"


def test_if_none_match_about_nothing_is_404(client: Client, name: str) -> None:
    for method in ("GET", "HEAD"):
        answer = client.request(
            method, f"/v2/{name}/blobs/{NOBODY}", headers={"If-None-Match": "*"}
        )
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f'"{TEN.digest}"', 206),
        (f'W/"{TEN.digest}"', 200),
        (f'"{NOBODY}"', 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
        ("", 200),
    ],
)
def test_if_range_lets_a_range_stand_only_for_this_very_content(
    client: Client, ten: str, header: str, status: int
) -> None:
    answer = client.get(ten, headers={"Range": "bytes=2-5", "If-Range": header})

    assert answer.status_code == status
    assert answer.content == (TEN.body[2:6] if status == 206 else TEN.body)


def test_sha512_blob_is_read_and_deleted_like_any_other(client: Client, name: str) -> None:
    blob = client.push_blob(name, make_blob(algorithm="sha512"))
    path = f"/v2/{name}/blobs/{blob.digest}"

    assert client.get(path).content == blob.body
    assert client.head(path).headers["Docker-Content-Digest"] == blob.digest
    assert client.get(path, headers={"Range": "bytes=-2"}).content == blob.body[-2:]
    assert client.delete(path).status_code == 202
    expect_error(client.get(path), 404, "BLOB_UNKNOWN", detail=blob.digest)


def test_digest_may_be_percent_encoded(client: Client, ten: str) -> None:
    assert client.get(ten.replace(":", "%3A")).content == TEN.body
    assert client.get(ten.replace(":", "%3a")).content == TEN.body


@pytest.mark.parametrize(
    ("digest", "status", "code"),
    [
        ("sha256:" + "0" * 63, 400, "DIGEST_INVALID"),
        ("sha256:" + "0" * 65, 400, "DIGEST_INVALID"),
        ("sha256:" + "A" * 64, 400, "DIGEST_INVALID"),
        ("SHA256:" + "a" * 64, 400, "DIGEST_INVALID"),
        ("sha512:" + "a" * 64, 400, "DIGEST_INVALID"),
        ("sha256:", 400, "DIGEST_INVALID"),
        ("sha256", 400, "DIGEST_INVALID"),
        ("latest", 400, "DIGEST_INVALID"),
        ("sha256:" + "0" * 63 + "g", 400, "DIGEST_INVALID"),
        ("sha256:" + "0" * 10_000, 400, "DIGEST_INVALID"),
        ("md5:" + "0" * 32, 415, "UNSUPPORTED"),
        ("sha384:" + "0" * 96, 415, "UNSUPPORTED"),
    ],
)
def test_malformed_digest_is_refused(
    client: Client, name: str, digest: str, status: int, code: str
) -> None:
    path = f"/v2/{name}/blobs/{digest}"

    assert client.head(path).status_code == status
    for method in ("GET", "DELETE"):
        expect_error(client.request(method, path), status, code, detail=digest[:256])


def test_blob_of_another_namespace_is_unknown_here(client: Client, name: str) -> None:
    blob = client.push_blob(name)
    for other in (f"{name}/sub", name.rpartition("-")[0], f"{name}0", make_name()):
        path = f"/v2/{other}/blobs/{blob.digest}"
        expect_error(client.get(path), 404, "BLOB_UNKNOWN", detail=blob.digest)
        assert client.head(path).status_code == 404
        expect_error(client.delete(path), 404, "BLOB_UNKNOWN", detail=blob.digest)

    assert client.get(f"/v2/{name}/blobs/{blob.digest}").status_code == 200


def test_manifest_that_names_a_blob_of_another_namespace_gives_no_access_to_it(
    client: Client, name: str
) -> None:
    secret = client.push_blob(make_name())
    client.stored(name, make_image(layers=[make_descriptor(secret)]), "v1")

    expect_error(client.get(f"/v2/{name}/blobs/{secret.digest}"), 404, "BLOB_UNKNOWN")


def test_deleted_blob_is_gone_at_once_and_only_here(client: Client, name: str) -> None:
    blob = make_blob()
    other = make_name()
    for holder in (name, other):
        client.push_blob(holder, blob)
    path = f"/v2/{name}/blobs/{blob.digest}"

    answer = client.delete(path)

    assert answer.status_code == 202
    assert answer.headers["Content-Length"] == "0"
    expect_error(client.get(path), 404, "BLOB_UNKNOWN", detail=blob.digest)
    assert client.head(path).status_code == 404
    expect_error(client.delete(path), 404, "BLOB_UNKNOWN", detail=blob.digest)
    assert client.get(f"/v2/{other}/blobs/{blob.digest}").content == blob.body
    client.push_blob(name, blob)
    assert client.get(path).content == blob.body


def test_blob_that_a_manifest_names_is_not_deleted(client: Client, name: str) -> None:
    blob = client.push_blob(name)
    first = client.stored(name, make_image(layers=[make_descriptor(blob)] * 2), "v1")
    second = client.stored(name, make_image(layers=[make_descriptor(blob)]), "v2")
    path = f"/v2/{name}/blobs/{blob.digest}"

    for manifest in (first, second):
        expect_error(client.delete(path), 405, "DENIED", detail=blob.digest)
        assert client.get(path).content == blob.body
        assert client.delete(f"/v2/{name}/manifests/{manifest.digest}").status_code == 202

    assert client.delete(path).status_code == 202


def test_blob_that_is_a_config_is_not_deleted_either(client: Client, name: str) -> None:
    config = client.push_blob(name)
    client.stored(name, make_image(config=make_descriptor(config)))

    expect_error(client.delete(f"/v2/{name}/blobs/{config.digest}"), 405, "DENIED")


def test_same_bytes_under_two_algorithms_are_two_blobs(client: Client, name: str) -> None:
    blob = client.push_blob(name)
    twin = Content(blob.body, "sha512")

    expect_error(client.get(f"/v2/{name}/blobs/{twin.digest}"), 404, "BLOB_UNKNOWN")
    client.push_blob(name, twin)
    assert client.delete(f"/v2/{name}/blobs/{blob.digest}").status_code == 202
    assert client.get(f"/v2/{name}/blobs/{twin.digest}").content == blob.body


def test_lost_file_is_503_and_tells_nothing_of_the_disk(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = client.push_blob(name)
    hexes = blob.digest.partition(":")[2]
    (path,) = [path for path in registry.files("blobs") if path.name == hexes]
    path.rename(path.with_suffix(".aside"))

    answer = client.get(f"/v2/{name}/blobs/{blob.digest}")

    expect_error(answer, 503, "UNAVAILABLE")
    assert str(registry.plan.storage.root) not in answer.text
    assert blob.digest not in answer.text
    client.push_blob(name, blob)
    assert client.get(f"/v2/{name}/blobs/{blob.digest}").content == blob.body


def test_file_of_the_wrong_length_is_503(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = client.push_blob(name)
    hexes = blob.digest.partition(":")[2]
    (path,) = [path for path in registry.files("blobs") if path.name == hexes]
    path.chmod(0o600)
    path.write_bytes(blob.body[:-1])

    expect_error(client.get(f"/v2/{name}/blobs/{blob.digest}"), 503, "UNAVAILABLE")
