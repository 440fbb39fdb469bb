"""Every error code with every status that it can be sent with."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from angos_trio.oci.codes import TABLE, Code
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob, make_descriptor, make_image
from tests.server.wire import eventually

NOBODY = "sha256:" + "0" * 64
NO_SESSION = "01234567-89ab-4cde-8f01-23456789abcd"

# Rows of the table that no request can cause yet, and why.
NOT_YET = {
    (Code.BLOB_UPLOAD_INVALID, 400): "every refusal of an upload has a status of its own",
    (Code.DENIED, 413): "there are no quotas",
    (Code.UNAVAILABLE, 502): "nothing is pulled through",
    (Code.UNKNOWN, 500): "only a defect of the code causes it",
}


@dataclass
class Registries:
    """Registries that are full, closed, strict in everything, and as by default."""

    default: ServedRegistry
    strict: ServedRegistry
    closed: ServedRegistry
    full: ServedRegistry


@pytest.fixture(scope="module")
def registries(
    registry: ServedRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registries]:
    """All four."""
    roots = [tmp_path_factory.mktemp(name) for name in ("strict", "closed", "full")]
    strict = {
        "immutable_tags": True,
        "allow_missing_manifest_references": False,
        "max_blob_size": 1000,
        "max_manifest_size": 1000,
    }
    with (
        serving(roots[0], global_=strict, server={"max_uploads_per_caller": 1}) as strictly,
        serving(roots[1], global_={"access_policy": {"default": "deny"}}) as closed,
        serving(roots[2], global_={"min_free_space": 10**15}) as full,
    ):
        yield Registries(registry, strictly, closed, full)


Cause = Callable[[Client, str], httpx.Response]


def too_many_uploads(client: Client, name: str) -> httpx.Response:
    location = client.open_upload(name)
    try:
        return client.post(f"/v2/{name}/blobs/uploads/")
    finally:
        client.delete(location)


def moved_tag(client: Client, name: str) -> httpx.Response:
    config = make_descriptor(client.push_blob(name))
    client.stored(name, make_image(config), "v1")
    return client.push_manifest(name, make_image(config, annotations={"a": "b"}), "v1")


def referenced_blob(client: Client, name: str) -> httpx.Response:
    blob = client.push_blob(name)
    client.stored(name, make_image(layers=[make_descriptor(blob)]))
    return client.delete(f"/v2/{name}/blobs/{blob.digest}")


def chunk_out_of_place(client: Client, name: str) -> httpx.Response:
    return client.patch(client.open_upload(name), content=b"x", headers={"Content-Range": "5-5"})


def delete_without_a_token(client: Client, name: str) -> httpx.Response:
    client.stored(name, make_image(), "v1")
    return client.post(f"/v2/_ext/{name}/_delete", json={"references": ["v1"]})


def range_out_of_place(client: Client, name: str) -> httpx.Response:
    blob = client.push_blob(name)
    return client.get(f"/v2/{name}/blobs/{blob.digest}", headers={"Range": "bytes=1000-"})


# Code, status, the registry that is asked, what causes it, and the detail where it is the same
# each time ("*": something must be there).
CAUSES: list[tuple[Code, int, str, Cause, object]] = [
    (Code.BLOB_UNKNOWN, 404, "default", lambda c, n: c.get(f"/v2/{n}/blobs/{NOBODY}"), NOBODY),
    (
        Code.BLOB_UPLOAD_INVALID,
        413,
        "strict",
        lambda c, n: c.put(f"{c.open_upload(n)}?digest={NOBODY}", content=b"x" * 1001),
        "*",
    ),
    (Code.BLOB_UPLOAD_INVALID, 416, "default", chunk_out_of_place, {"offset": 0}),
    (
        Code.BLOB_UPLOAD_UNKNOWN,
        404,
        "default",
        lambda c, n: c.get(f"/v2/{n}/blobs/uploads/{NO_SESSION}"),
        NO_SESSION,
    ),
    (Code.DIGEST_INVALID, 400, "default", lambda c, n: c.get(f"/v2/{n}/blobs/x"), "x"),
    (
        Code.MANIFEST_BLOB_UNKNOWN,
        404,
        "strict",
        lambda c, n: c.push_manifest(n, make_image(make_descriptor(digest=NOBODY))),
        NOBODY,
    ),
    (Code.MANIFEST_INVALID, 400, "default", lambda c, n: c.put(f"/v2/{n}/manifests/v1"), "*"),
    (
        Code.MANIFEST_INVALID,
        413,
        "strict",
        lambda c, n: c.put(f"/v2/{n}/manifests/v1", content=b"x" * 1001),
        "*",
    ),
    (Code.MANIFEST_UNKNOWN, 404, "default", lambda c, n: c.get(f"/v2/{n}/manifests/v1"), "v1"),
    (Code.NAME_INVALID, 400, "default", lambda c, n: c.get("/v2/A/tags/list"), "A"),
    (Code.NAME_UNKNOWN, 404, "default", lambda c, n: c.get(f"/v2/{n}/tags/list"), "*"),
    (
        Code.PAGINATION_NUMBER_INVALID,
        400,
        "default",
        lambda c, n: c.get("/v2/_catalog?n=x"),
        "x",
    ),
    (Code.SIZE_INVALID, 416, "default", range_out_of_place, "bytes=1000-"),
    (Code.TAG_IMMUTABLE, 409, "strict", moved_tag, "v1"),
    (Code.TAG_INVALID, 400, "default", lambda c, n: c.put(f"/v2/{n}/manifests/.v1"), ".v1"),
    (Code.UNAUTHORIZED, 401, "closed", lambda c, n: c.get("/v2/"), "*"),
    (
        Code.DENIED,
        403,
        "default",
        lambda c, n: c.get("/v2/", headers={"Host": "example.org"}),
        "example.org",
    ),
    (Code.DENIED, 405, "default", referenced_blob, "*"),
    (Code.DENIED, 409, "default", delete_without_a_token, "*"),
    (Code.UNSUPPORTED, 405, "default", lambda c, n: c.post("/v2/"), "POST"),
    (
        Code.UNSUPPORTED,
        400,
        "default",
        lambda c, n: c.post("/token", data={"grant_type": "refresh_token"}),
        "refresh_token",
    ),
    (Code.UNSUPPORTED, 415, "default", lambda c, n: c.get(f"/v2/{n}/blobs/md5:00"), "md5:00"),
    (Code.TOOMANYREQUESTS, 429, "strict", too_many_uploads, 1),
    (Code.UNAVAILABLE, 507, "full", lambda c, n: c.post(f"/v2/{n}/blobs/uploads/"), None),
]

# These take more than a request; each has a test below.
BY_HAND = {(Code.BLOB_UPLOAD_INVALID, 409), (Code.SIZE_INVALID, 400), (Code.UNAVAILABLE, 503)}


def test_every_row_of_the_table_is_caused_here_or_named() -> None:
    rows = {(code, status) for code, row in TABLE.items() for status in row.statuses}
    caused = {(code, status) for code, status, *_ in CAUSES}

    assert caused | BY_HAND | set(NOT_YET) == rows
    assert not caused & set(NOT_YET)


@pytest.mark.parametrize("row", CAUSES, ids=[f"{code}-{status}" for code, status, *_ in CAUSES])
def test_error_has_its_code_status_and_detail(
    registries: Registries, name: str, row: tuple[Code, int, str, Cause, object]
) -> None:
    code, status, which, cause, detail = row
    with Client(getattr(registries, which).url) as client:
        answer = cause(client, name)

    if detail == "*":
        expect_error(answer, status, code)
    else:
        expect_error(answer, status, code, detail)
    assert answer.json()["errors"][0]["message"] != answer.json()["errors"][0].get("detail")


def test_second_writer_is_409(registries: Registries, name: str) -> None:
    served = registries.default
    with Client(served.url) as client, served.wire() as wire:
        location = client.open_upload(name)
        wire.request("PATCH", location, {"Content-Length": "2"})
        wire.send(b"x")
        eventually(lambda: served.core.storage.receiver.active == 1)
        answer = client.patch(location, content=b"y")

    expect_error(answer, 409, "BLOB_UPLOAD_INVALID", detail=location.rpartition("/")[2])


def test_body_that_breaks_off_is_400(registries: Registries, name: str) -> None:
    for target in (f"/v2/{name}/manifests/v1", f"/v2/{name}/blobs/uploads/?digest={NOBODY}"):
        with registries.default.wire() as wire:
            wire.request(
                "PUT" if "manifests" in target else "POST", target, {"Content-Length": "9"}
            )
            wire.send(b"x")
            wire.socket.shutdown(socket.SHUT_WR)
            answer = wire.answer()
            if answer.status == 102:  # on a busy machine: asked whether anybody is there still
                answer = wire.answer()
            assert answer.status == 400
            (entry,) = json.loads(answer.body)["errors"]
            assert entry["code"] == "SIZE_INVALID"
            assert entry["detail"]


def test_lost_file_is_503(registries: Registries, name: str) -> None:
    with Client(registries.default.url) as client:
        blob = client.push_blob(name, make_blob())
        hexes = blob.digest.partition(":")[2]
        (path,) = [path for path in registries.default.files("blobs") if path.name == hexes]
        path.unlink()
        expect_error(client.get(f"/v2/{name}/blobs/{blob.digest}"), 503, "UNAVAILABLE")
