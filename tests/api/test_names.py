"""Names, paths and headers as an attacker would send them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry
from tests.factories import make_image
from tests.server.log_lines import LogLines
from tests.server.wire import Answer

NOBODY = "sha256:" + "0" * 64
ENDPOINTS = [
    ("GET", f"blobs/{NOBODY}"),
    ("DELETE", f"blobs/{NOBODY}"),
    ("POST", "blobs/uploads/"),
    ("PATCH", "blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd"),
    ("GET", "manifests/latest"),
    ("PUT", "manifests/latest"),
    ("DELETE", "manifests/latest"),
    ("GET", "tags/list"),
    ("GET", f"referrers/{NOBODY}"),
]


@pytest.mark.parametrize(
    "name",
    [
        "A",
        "a/B",
        "a..b",
        "a/../b",
        "../a",
        "..",
        ".",
        "./a",
        "a/./b",
        "-a",
        "a-",
        "a/-b",
        "_a",
        "a_",
        "a___b",
        "a._b",
        "a//b",
        "/a",
        "a/",
        "a%2Fb",
        "a%2fb",
        "%2e%2e/a",
        "a%00b",
        "a%0Ab",
        "a%20b",
        "a+b",
        "a:b",
        "a@b",
        "a\\b",
        "%C3%A4",
        "%D9%A3",
        "%FF",
        "%ED%A0%80",
        "a" * 256,
        "a/" * 127 + "ab",
        "a" * 10_000,
    ],
)
def test_malformed_name_is_400_with_every_endpoint(registry: ServedRegistry, name: str) -> None:
    with registry.wire() as wire:
        for method, endpoint in ENDPOINTS:
            answer = wire.ask(method, f"/v2/{name}/{endpoint}")
            expect_code(answer, 400, "NAME_INVALID")


def expect_code(answer: Answer, status: int, code: str) -> None:
    """One error of the specification's shape; its detail is no longer than it needs to be."""
    assert answer.status == status, answer
    (entry,) = json.loads(answer.body)["errors"]
    assert entry["code"] == code
    assert entry.get("detail"), "detail is filled"
    assert len(str(entry["detail"])) <= 256
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "0",
        "a__b",
        "a--b",
        "a-----b",
        "a.b_c__d-e",
        "a/b/c/d/e/f/g",
        "a" * 255,
        "a/" * 127 + "a",
        "library/nginx",
    ],
)
def test_name_of_every_shape_is_written_and_read(client: Client, name: str) -> None:
    image = client.stored(name, make_image(), "v1")

    assert client.get(f"/v2/{name}/manifests/v1").content == image.body
    assert client.tags(name) == ["v1"]


@pytest.mark.parametrize(
    ("spell", "same"),
    [
        (lambda name: name.replace("t", "%74"), True),
        (lambda name: name.replace("-", "%2D"), True),
        (lambda name: name.replace("-", "%2d"), True),
        (lambda name: name.replace("/", "%2F"), False),
        (lambda name: name.replace("-", "%252D"), False),
    ],
    ids=["letter", "dash", "dash in lower case", "slash", "twice"],
)
def test_percent_encoding_is_undone_once_and_never_makes_a_slash(
    registry: ServedRegistry, client: Client, name: str, spell: Callable[[str], str], same: bool
) -> None:
    client.stored(name, make_image(), "v1")

    with registry.wire() as wire:
        answer = wire.ask("GET", f"/v2/{spell(name)}/tags/list")

    assert answer.status == (200 if same else 400)


@pytest.mark.parametrize(
    "target",
    [
        "/v2/../../etc/passwd",
        "/v2/a/blobs/../../../metadata.db",
        "/v2/a/blobs/..%2f..%2fmetadata.db",
        "/v2/a/manifests/..%2f..%2fx",
        "/v2/a/manifests/..",
        "/v2/a/blobs/uploads/..",
        "/v2/a/blobs/uploads/..%2f..%2finstance.lock",
        "/v2/a/blobs/sha256:..%2f..",
        "/v2/a/blobs/%00",
        "/v2/%",
        "/v2/%zz/tags/list",
        "/v2/nobody/tags/list?%",
        "/v2/nobody/tags/list?n=1%00",
        "/v2/nobody/tags/list?" + "&".join(f"k{number}=1" for number in range(300)),
        "/v2/nobody/tags/list?" + "x" * 20_000,
        "/v2/" + "a/" * 20_000 + "tags/list",
        "http://localhost/v2/x",
        "*",
        "?",
        "/v2/a/blobs/" + "%41" * 10_000,
    ],
)
def test_hostile_path_is_a_plain_refusal(registry: ServedRegistry, target: str) -> None:
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "CONNECT"):
        with registry.wire() as wire:
            answer = wire.ask(method, target)
        assert answer.status in (400, 404, 405), answer
        if method != "HEAD" and answer.body:
            (entry,) = json.loads(answer.body)["errors"]
            assert len(str(entry.get("detail", ""))) <= 256


HOSTILE_HEADERS: list[tuple[str, str]] = [
    ("Range", "bytes=" + "0-0," * 5000),
    ("Range", "\xff"),
    ("If-None-Match", '"' * 5000),
    ("If-None-Match", '"a",' * 10_000),
    ("If-Range", "\x80"),
    ("Content-Type", "\xe4\xf6"),
    ("Content-Type", ";" * 1000),
    ("Content-Type", "a/b" * 1000),
    ("Content-Range", "9" * 5000 + "-1"),
    ("Content-Range", "\xb2-\xb3"),
    ("Accept", "*/*," * 1000),
    ("Authorization", "Basic " + "x" * 5000),
    ("Cookie", "a=b; " * 1000),
    ("X-Forwarded-Host", "elsewhere"),
    ("Forwarded", "for=1.2.3.4;host=x"),
    ("Expect", "something-else"),
    ("Upgrade", "h2c"),
    ("Upgrade", "websocket"),
    ("Connection", "upgrade, close, x"),
    ("TE", "trailers"),
    ("Content-Encoding", "gzip"),
    ("X-" + "y" * 1000, "z"),
]


@pytest.mark.parametrize("header", HOSTILE_HEADERS, ids=lambda item: f"{item[0]}-{len(item[1])}")
def test_hostile_header_is_never_a_500(registry: ServedRegistry, header: tuple[str, str]) -> None:
    for method, target, body in (
        ("GET", f"/v2/a/blobs/{NOBODY}", None),
        ("GET", "/v2/", None),
        ("PUT", "/v2/a/manifests/latest", b"{}"),
        ("POST", "/v2/a/blobs/uploads/", b""),
        ("PATCH", "/v2/a/blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd", b"x"),
    ):
        with registry.wire() as wire:
            answer = wire.ask(method, target, [header], body)
        assert answer.status < 500, answer


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 1_0",
        "Content-Length: 0x1",
        "Content-Length: 1.0",
        "Content-Length: x",
        "Content-Length:",
        "Content-Length: \xb2",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1, 2",
        "Content-Length: " + "9" * 30,
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Host: a",
        "a b: c",
        "a : c",
        ": c",
        "a",
        "x: \x00",
        "x: a\nb: c\x0b",
    ],
)
def test_header_that_breaks_the_rules_ends_the_connection_with_4xx(
    registry: ServedRegistry, line: str
) -> None:
    with registry.wire() as wire:
        head = f"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n"
        wire.send(head.encode("latin-1"))
        answer = wire.answer()
        assert answer.status in (400, 501), answer
        assert answer.headers["connection"] == "close"
        assert wire.is_ended()


def test_payload_of_a_hostile_request_is_not_logged(
    registry: ServedRegistry, client: Client, log_lines: LogLines
) -> None:
    secret = "c2VjcmV0"
    client.post(
        "/v2/UPPER/blobs/uploads/",
        headers={"Authorization": f"Basic {secret}", "Content-Range": secret},
        content=secret.encode() * 100,
    )
    client.put(f"/v2/a/manifests/{'x' * 5000}", content=secret.encode())

    assert len(log_lines.wait_for("request", 2)) == 2
    assert secret not in log_lines.text
    assert all(len(json.dumps(line)) < 2000 for line in log_lines.all())


def test_text_from_a_path_cannot_forge_a_log_line(
    registry: ServedRegistry, client: Client, log_lines: LogLines
) -> None:
    forged = "%0A%7B%22event%22%3D%22forged%22%7D%22"
    expect_error(client.delete(f"/v2/a/manifests/{forged}"), 404, "MANIFEST_UNKNOWN")

    (line,) = log_lines.wait_for("request")
    assert "forged" in line["path"]
    assert log_lines.of("forged") == []
