"""Upload sessions: start, append, finish, cancel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry
from tests.factories import Content, make_blob, make_name

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
MIB = 1024 * 1024
EMPTY = make_blob(b"")


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    """A body without a length: httpx sends it in chunks."""
    return (body[start : start + size] for start in range(0, len(body), size))


def expect_held(client: Client, name: str, content: Content) -> None:
    assert client.get(f"/v2/{name}/blobs/{content.digest}").content == content.body


def expect_session(answer: httpx.Response, location: str, size: int) -> None:
    """The answer speaks of a session that holds `size` bytes."""
    assert answer.headers["Location"] == location
    assert answer.headers["Range"] == f"0-{max(size - 1, 0)}"
    assert answer.headers["Docker-Upload-UUID"] == location.rpartition("/")[2]


def test_session_is_opened_asked_and_finished(client: Client, name: str) -> None:
    blob = make_blob()
    opened = client.post(f"/v2/{name}/blobs/uploads/")
    location = opened.headers["Location"]
    asked = client.get(location)
    finished = client.finish(location, blob, blob.body)

    assert opened.status_code == 202
    assert re.fullmatch(f"/v2/{name}/blobs/uploads/{UUID}", location)
    expect_session(opened, location, 0)
    assert opened.headers["Content-Length"] == "0"
    assert asked.status_code == 204
    expect_session(asked, location, 0)
    assert finished.status_code == 201
    assert finished.headers["Location"] == f"/v2/{name}/blobs/{blob.digest}"
    assert finished.headers["Docker-Content-Digest"] == blob.digest
    expect_held(client, name, blob)
    expect_error(
        client.get(location), 404, "BLOB_UPLOAD_UNKNOWN", detail=location.rpartition("/")[2]
    )


def test_blob_in_one_request(client: Client, name: str) -> None:
    blob = make_blob()

    answer = client.post(
        f"/v2/{name}/blobs/uploads/", params={"digest": blob.digest}, content=blob.body
    )

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v2/{name}/blobs/{blob.digest}"
    assert answer.headers["Docker-Content-Digest"] == blob.digest
    expect_held(client, name, blob)


def test_blob_in_one_request_without_a_length(client: Client, name: str) -> None:
    blob = make_blob()

    answer = client.post(
        f"/v2/{name}/blobs/uploads/",
        params={"digest": blob.digest},
        content=pieces(blob.body, 4),
    )

    assert answer.status_code == 201
    expect_held(client, name, blob)


def test_post_with_a_digest_and_no_body_opens_a_session(client: Client, name: str) -> None:
    blob = make_blob()

    answer = client.post(f"/v2/{name}/blobs/uploads/", params={"digest": blob.digest})

    assert answer.status_code == 202
    assert client.finish(answer.headers["Location"], blob, blob.body).status_code == 201


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("way", ["post", "put", "patch", "chunked put"])
def test_empty_blob_is_a_blob(client: Client, name: str, algorithm: str, way: str) -> None:
    empty = make_blob(b"", algorithm)
    if way == "post":
        answer = client.post(
            f"/v2/{name}/blobs/uploads/",
            params={"digest": empty.digest},
            headers={"Content-Length": "0"},
        )
    else:
        location = client.open_upload(name)
        if way == "patch":
            expect_session(client.patch(location, content=b""), location, 0)
        body = pieces(b"", 1) if way == "chunked put" else b""
        answer = client.finish(location, empty, body)

    assert answer.status_code == 201
    read = client.get(f"/v2/{name}/blobs/{empty.digest}")
    assert (read.status_code, read.content) == (200, b"")
    assert client.head(f"/v2/{name}/blobs/{empty.digest}").headers["Content-Length"] == "0"


def test_chunks_with_content_range_follow_each_other(client: Client, name: str) -> None:
    blob = make_blob("0123456789abcdef")
    location = client.open_upload(name)
    for window, size in (("0-3", 4), ("bytes 4-9/*", 10), ("10-10", 11)):
        first, last = (int(text) for text in re.findall("[0-9]+", window)[:2])
        answer = client.patch(
            location,
            content=blob.body[first : last + 1],
            headers={"Content-Range": window, "Content-Type": "application/octet-stream"},
        )
        assert answer.status_code == 202
        expect_session(answer, location, size)
        expect_session(client.get(location), location, size)

    finished = client.finish(location, blob, blob.body[11:], **{"Content-Range": "11-15"})

    assert finished.status_code == 201
    expect_held(client, name, blob)


def test_chunks_without_content_range_follow_each_other(client: Client, name: str) -> None:
    blob = make_blob("0123456789")
    location = client.open_upload(name)

    expect_session(client.patch(location, content=b"01234"), location, 5)
    expect_session(client.patch(location, content=pieces(b"567", 1)), location, 8)
    expect_session(client.patch(location, content=b""), location, 8)
    expect_session(client.patch(location, content=b"89"), location, 10)

    assert client.finish(location, blob).status_code == 201
    expect_held(client, name, blob)


def test_body_of_many_chunks_arrives_whole(client: Client, name: str) -> None:
    blob = make_blob(bytes(range(256)) * 12_000)
    location = client.open_upload(name)
    middle = 2 * MIB + 17

    assert client.patch(location, content=pieces(blob.body[:middle], 50_000)).status_code == 202
    assert client.finish(location, blob, blob.body[middle:]).status_code == 201
    expect_held(client, name, blob)


@pytest.mark.parametrize("window", ["0-3", "3-6", "5-8", "6-9", "99999999-99999999", "bytes 0-3/4"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_chunk_out_of_place_is_416_and_changes_nothing(
    client: Client, name: str, window: str, method: str, is_chunked: bool
) -> None:
    blob = make_blob("01234567")
    location = client.open_upload(name)
    client.patch(location, content=b"0123")
    body = b"4567"

    answer = client.request(
        method,
        location,
        params={"digest": blob.digest} if method == "PUT" else None,
        content=pieces(body, 2) if is_chunked else body,
        headers={"Content-Range": window},
    )

    expect_error(answer, 416, "BLOB_UPLOAD_INVALID", detail={"offset": 4})
    assert answer.headers["Range"] == "0-3"
    assert answer.headers["Location"] == location
    expect_session(client.get(location), location, 4)
    assert client.finish(location, blob, body, **{"Content-Range": "4-7"}).status_code == 201
    expect_held(client, name, blob)


@pytest.mark.parametrize("window", ["4-6", "4-8"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_body_that_is_not_as_long_as_its_window_is_cut_back(
    client: Client, name: str, window: str, is_chunked: bool
) -> None:
    blob = make_blob("01234567")
    location = client.open_upload(name)
    client.patch(location, content=b"0123")

    answer = client.patch(
        location,
        content=pieces(b"4567", 2) if is_chunked else b"4567",
        headers={"Content-Range": window},
    )

    expect_error(answer, 416, "BLOB_UPLOAD_INVALID", detail={"offset": 4})
    assert answer.headers["Range"] == "0-3"
    assert answer.headers["Location"] == location
    expect_session(client.get(location), location, 4)
    assert client.finish(location, blob, b"4567").status_code == 201
    expect_held(client, name, blob)


def test_body_of_many_chunks_that_is_shorter_than_its_window_is_cut_back(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    location = client.open_upload(name)
    client.patch(location, content=b"0123")
    body = b"x" * (2 * MIB)

    answer = client.patch(
        location, content=pieces(body, MIB), headers={"Content-Range": f"4-{4 + 2 * MIB}"}
    )

    expect_error(answer, 416, "BLOB_UPLOAD_INVALID", detail={"offset": 4})
    assert registry.session_bytes(location) == 4


def test_window_that_the_finish_leaves_unfilled_does_not_finish(client: Client, name: str) -> None:
    blob = make_blob("0123456789")
    location = client.open_upload(name)
    client.patch(location, content=b"01234")

    answer = client.finish(location, blob, pieces(b"567", 1), **{"Content-Range": "5-9"})

    assert answer.status_code in (400, 416)
    expect_error(client.get(f"/v2/{name}/blobs/{blob.digest}"), 404, "BLOB_UNKNOWN")


def test_first_chunk_must_begin_at_the_beginning(client: Client, name: str) -> None:
    location = client.open_upload(name)

    answer = client.patch(location, content=b"89", headers={"Content-Range": "8-9"})

    expect_error(answer, 416, "BLOB_UPLOAD_INVALID", detail={"offset": 0})
    assert answer.headers["Range"] == "0-0"


@pytest.mark.parametrize(
    "window",
    [
        "x",
        "4",
        "-4",
        "4-",
        "7-4",
        "bytes 4-7/8/9",
        "4-7,9-10",
        "bytes */8",
        "+4-7",
        "4-" + "9" * 99,
    ],
)
def test_content_range_that_cannot_be_read_is_416_and_the_session_stays(
    client: Client, name: str, window: str
) -> None:
    location = client.open_upload(name)
    client.patch(location, content=b"0123")

    answer = client.patch(location, content=b"4567", headers={"Content-Range": window})

    expect_error(answer, 416, "BLOB_UPLOAD_INVALID", detail=window)
    expect_session(client.get(location), location, 4)


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha512:" + "0" * 128])
@pytest.mark.parametrize("way", ["post", "put", "put after patch", "chunked put"])
def test_other_content_than_the_digest_says_is_400_and_ends_the_session(
    registry: ServedRegistry, client: Client, name: str, digest: str, way: str
) -> None:
    before = len(registry.files("uploads"))
    if way == "post":
        answer = client.post(
            f"/v2/{name}/blobs/uploads/", params={"digest": digest}, content=b"other"
        )
    else:
        location = client.open_upload(name)
        if way == "put after patch":
            client.patch(location, content=b"oth")
        body = pieces(b"other", 2) if way == "chunked put" else b"other"
        if way == "put after patch":
            body = b"er"
        answer = client.put(location, params={"digest": digest}, content=body)
        assert client.get(location).status_code == 404

    received = Content(b"other", digest.partition(":")[0]).digest
    expect_error(answer, 400, "DIGEST_INVALID", detail={"expected": digest, "received": received})
    expect_error(client.get(f"/v2/{name}/blobs/{digest}"), 404, "BLOB_UNKNOWN")
    assert len(registry.files("uploads")) == before


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "DIGEST_INVALID"),
        ("digest=", 400, "DIGEST_INVALID"),
        ("digest=sha256:xyz", 400, "DIGEST_INVALID"),
        ("digest=latest", 400, "DIGEST_INVALID"),
        (f"digest={EMPTY.digest}&digest={EMPTY.digest}", 400, "DIGEST_INVALID"),
        ("digest=md5:d41d8cd98f00b204e9800998ecf8427e", 415, "UNSUPPORTED"),
    ],
)
def test_finish_without_a_usable_digest_leaves_the_session(
    client: Client, name: str, query: str, status: int, code: str
) -> None:
    blob = make_blob()
    location = client.open_upload(name)
    client.patch(location, content=blob.body[:4])

    expect_error(client.put(f"{location}?{query}", content=blob.body[4:]), status, code)

    expect_session(client.get(location), location, 4)
    assert client.finish(location, blob, blob.body[4:]).status_code == 201


def test_digest_in_the_query_may_be_percent_encoded_or_not(client: Client, name: str) -> None:
    for encode in (str, lambda text: text.replace(":", "%3A")):
        blob = make_blob()
        location = client.open_upload(name)
        answer = client.put(f"{location}?digest={encode(blob.digest)}", content=blob.body)
        assert answer.status_code == 201


def test_finish_whose_answer_was_lost_can_be_repeated(client: Client, name: str) -> None:
    blob = make_blob()
    location = client.open_upload(name)
    client.patch(location, content=blob.body[:5])
    client.finish(location, blob, blob.body[5:])

    assert client.finish(location, blob).status_code == 201
    whole = client.finish(location, blob, blob.body)
    assert whole.status_code == 201
    assert whole.headers["Location"] == f"/v2/{name}/blobs/{blob.digest}"
    assert client.finish(location, blob, pieces(blob.body, 3)).status_code == 201


def test_repeated_finish_with_other_content_is_refused(client: Client, name: str) -> None:
    blob = make_blob()
    location = client.open_upload(name)
    client.finish(location, blob, blob.body)

    for body in (b"x" * blob.size, blob.body + b"x", b"x" * (MIB // 2)):
        answer = client.finish(location, blob, body)
        expect_error(answer, 404, "BLOB_UPLOAD_UNKNOWN", detail=location.rpartition("/")[2])
    expect_held(client, name, blob)


def test_finish_of_no_session_makes_none(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = client.push_blob(make_name())
    before = registry.files("uploads")
    location = f"/v2/{name}/blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd"

    expect_error(client.finish(location, blob, blob.body), 404, "BLOB_UPLOAD_UNKNOWN")

    expect_error(client.get(f"/v2/{name}/blobs/{blob.digest}"), 404, "BLOB_UNKNOWN")
    assert client.get(location).status_code == 404
    assert registry.files("uploads") == before


def test_cancelled_session_is_gone(registry: ServedRegistry, client: Client, name: str) -> None:
    before = registry.files("uploads")
    location = client.open_upload(name)
    client.patch(location, content=b"0123")

    answer = client.delete(location)

    assert answer.status_code == 204
    assert "Content-Length" not in answer.headers
    assert registry.files("uploads") == before
    blob = make_blob("01234567")
    requests: list[Callable[[], httpx.Response]] = [
        lambda: client.get(location),
        lambda: client.patch(location, content=b"4567"),
        lambda: client.finish(location, blob, b"4567"),
        lambda: client.delete(location),
        lambda: client.delete(location),
    ]
    for request in requests:
        expect_error(request(), 404, "BLOB_UPLOAD_UNKNOWN", detail=location.rpartition("/")[2])


def test_finished_session_cannot_be_cancelled_or_appended_to(client: Client, name: str) -> None:
    blob = make_blob()
    location = client.open_upload(name)
    client.finish(location, blob, blob.body)

    expect_error(client.delete(location), 404, "BLOB_UPLOAD_UNKNOWN")
    expect_error(client.patch(location, content=b"x"), 404, "BLOB_UPLOAD_UNKNOWN")
    expect_held(client, name, blob)


def test_session_belongs_to_its_namespace(client: Client, name: str) -> None:
    blob = make_blob()
    location = client.open_upload(name)
    client.patch(location, content=blob.body[:3])

    for other in (make_name(), f"{name}/sub", f"{name}0"):
        elsewhere = location.replace(f"/v2/{name}/", f"/v2/{other}/")
        expect_error(client.get(elsewhere), 404, "BLOB_UPLOAD_UNKNOWN")
        expect_error(client.patch(elsewhere, content=b"x"), 404, "BLOB_UPLOAD_UNKNOWN")
        expect_error(client.finish(elsewhere, blob, b"x"), 404, "BLOB_UPLOAD_UNKNOWN")
        expect_error(client.delete(elsewhere), 404, "BLOB_UPLOAD_UNKNOWN")

    assert client.finish(location, blob, blob.body[3:]).status_code == 201


@pytest.mark.parametrize(
    "spell",
    [
        str.upper,
        lambda session: session.replace("-", ""),
        lambda session: "{" + session + "}",
        lambda session: "urn:uuid:" + session,
        lambda session: session + "%20",
        lambda session: session + "%0A",
        lambda session: session + ".data",
        lambda session: "..%5c" + session,
        lambda session: session[:-1],
        lambda session: "x",
        lambda session: "%D9%A0" * 8 + session[8:],
        lambda session: "9" * 10_000,
    ],
    ids=[
        "upper case",
        "without dashes",
        "in braces",
        "as urn",
        "with space",
        "with newline",
        "with extension",
        "with backslash",
        "too short",
        "no uuid",
        "with digits of another script",
        "huge",
    ],
)
def test_session_id_has_one_spelling(
    client: Client, name: str, spell: Callable[[str], str]
) -> None:
    location = client.open_upload(name)
    base, _, session = location.rpartition("/")

    other = f"{base}/{spell(session)}"

    for method in ("GET", "PATCH", "DELETE"):
        expect_error(client.request(method, other), 404, "BLOB_UPLOAD_UNKNOWN")
    expect_error(client.finish(other, EMPTY), 404, "BLOB_UPLOAD_UNKNOWN")
    assert client.get(location).status_code == 204


def test_session_for_sha512_ends_in_either_algorithm(client: Client, name: str) -> None:
    for algorithm in ("sha512", "sha256"):
        blob = make_blob(algorithm=algorithm)
        location = client.open_upload(name, **{"digest-algorithm": "sha512"})
        client.patch(location, content=blob.body[:4])
        assert client.finish(location, blob, blob.body[4:]).status_code == 201
        expect_held(client, name, blob)


def test_session_without_a_hint_ends_in_sha512(client: Client, name: str) -> None:
    blob = make_blob(b"s" * (2 * MIB + 1), "sha512")
    location = client.open_upload(name)
    client.patch(location, content=blob.body[:MIB])

    assert client.finish(location, blob, blob.body[MIB:]).status_code == 201
    expect_held(client, name, blob)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("digest-algorithm=md5", 415, "UNSUPPORTED"),
        ("digest-algorithm=SHA256", 415, "UNSUPPORTED"),
        ("digest-algorithm=sha256&digest-algorithm=sha512", 400, "DIGEST_INVALID"),
        ("digest=sha256:xyz", 400, "DIGEST_INVALID"),
        ("digest=a&digest=b", 400, "DIGEST_INVALID"),
        ("digest=md5:d41d8cd98f00b204e9800998ecf8427e", 415, "UNSUPPORTED"),
        ("mount=sha256:xyz", 400, "DIGEST_INVALID"),
        ("mount=xyz&from=a", 400, "DIGEST_INVALID"),
        (f"mount={EMPTY.digest}&from=A", 400, "NAME_INVALID"),
        (f"mount={EMPTY.digest}&from=a&from=b", 400, "NAME_INVALID"),
        (f"mount={EMPTY.digest}&from=..", 400, "NAME_INVALID"),
        (f"mount={EMPTY.digest}&mount={EMPTY.digest}", 400, "DIGEST_INVALID"),
    ],
)
def test_malformed_query_opens_no_session(
    registry: ServedRegistry, client: Client, name: str, query: str, status: int, code: str
) -> None:
    before = len(registry.files("uploads"))

    answer = client.post(f"/v2/{name}/blobs/uploads/?{query}", content=b"")

    expect_error(answer, status, code)
    assert len(registry.files("uploads")) == before


@pytest.mark.parametrize("query", ["digest=", "mount=", "from=", "digest-algorithm=", "digest"])
def test_empty_query_value_counts_as_absent(client: Client, name: str, query: str) -> None:
    assert client.post(f"/v2/{name}/blobs/uploads/?{query}").status_code == 202


def test_blob_pushed_twice_is_stored_once(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = client.push_blob(name)
    before = len(registry.files("blobs"))
    uploads = len(registry.files("uploads"))

    client.push_blob(name, blob)
    client.push_blob(make_name(), blob)

    assert len(registry.files("blobs")) == before
    assert len(registry.files("uploads")) == uploads
    expect_held(client, name, blob)
