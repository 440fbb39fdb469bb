"""Every route with every method: status, headers and error code."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from angos_trio.api.context import Runtime
from angos_trio.api.routes import build_routes
from angos_trio.app import building
from angos_trio.app.building import build_runtime
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.http.routing import Operation, Route, RouteTable
from angos_trio.identity import Action
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob, make_image, make_name
from tests.server.log_lines import LogLines

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO")
NOBODY = "sha256:" + "0" * 64
NO_SESSION = "01234567-89ab-4cde-8f01-23456789abcd"

# What each method answers where nothing was pushed; all others are 405. HEAD is as GET.
ANSWERS: dict[str, dict[str, tuple[int, str | None]]] = {
    "/v2/": {"GET": (200, None)},
    "/v2": {"GET": (200, None)},
    "/v2/_catalog": {"GET": (200, None)},
    "/v2/{name}/blobs/{digest}": {
        "GET": (404, "BLOB_UNKNOWN"),
        "DELETE": (404, "BLOB_UNKNOWN"),
    },
    "/v2/{name}/blobs/uploads/": {"POST": (202, None)},
    "/v2/{name}/blobs/uploads/{session}": {
        "GET": (404, "BLOB_UPLOAD_UNKNOWN"),
        "PATCH": (404, "BLOB_UPLOAD_UNKNOWN"),
        "PUT": (400, "DIGEST_INVALID"),
        "DELETE": (404, "BLOB_UPLOAD_UNKNOWN"),
    },
    "/v2/{name}/manifests/{reference}": {
        "GET": (404, "MANIFEST_UNKNOWN"),
        "PUT": (400, "MANIFEST_INVALID"),
        "DELETE": (404, "MANIFEST_UNKNOWN"),
    },
    "/v2/{name}/tags/list": {"GET": (404, "NAME_UNKNOWN")},
    "/v2/{name}/referrers/{digest}": {"GET": (200, None)},
    "/v2/_ext/_repositories": {"GET": (200, None)},
    "/v2/_ext/{name}/_namespaces": {"GET": (404, "NAME_UNKNOWN")},
    "/v2/_ext/{name}/_revisions": {"GET": (404, "NAME_UNKNOWN")},
    "/v2/_ext/{name}/_uploads": {"GET": (200, None)},
    "/v2/_ext/{name}/_tags": {"GET": (404, "NAME_UNKNOWN")},
    "/v2/_ext/{name}/_manifest/{reference}": {"GET": (404, "MANIFEST_UNKNOWN")},
    "/v2/_ext/{name}/_tag_history": {"GET": (400, "TAG_INVALID")},
    "/v2/_ext/{name}/_pulls": {"GET": (400, "TAG_INVALID")},
    "/v2/_ext/_find": {"GET": (400, "NAME_INVALID")},
    "/v2/_ext/_activity": {"GET": (200, None)},
    "/v2/_ext/_storage": {"GET": (200, None)},
    "/v2/_ext/_health": {"GET": (200, None)},
    "/v2/_ext/_me": {"GET": (200, None)},
    "/v2/_ext/{name}/_impact": {"GET": (400, "NAME_INVALID")},
    "/v2/_ext/{name}/_delete": {"POST": (400, "NAME_INVALID")},
    "/v2/_ext/_events": {"GET": (200, None)},
    "/v2/_ext/_gc": {"GET": (200, None), "POST": (202, None)},
    "/v2/_ext/_scrub": {"GET": (200, None), "POST": (202, None)},
    "/v2/_ext/_prune": {"GET": (200, None), "POST": (202, None)},
    "/v2/_ext/_jobs": {"GET": (200, None)},
    "/v2/_ext/_jobs/{id}": {"DELETE": (404, "NAME_UNKNOWN")},
    "/v2/_ext/_jobs/{id}/retry": {"POST": (404, "NAME_UNKNOWN")},
    "/token": {"GET": (404, "NAME_UNKNOWN"), "POST": (415, "UNSUPPORTED")},
    "/health": {"GET": (200, None)},
    "/healthz": {"GET": (200, None)},
    "/readyz": {"GET": (200, None)},
    "/metrics": {"GET": (200, None)},
}


def path_of(template: str, **values: str) -> str:
    values = {
        "name": make_name(),
        "digest": NOBODY,
        "session": NO_SESSION,
        "reference": "latest",
        "id": "1",
        **values,
    }
    return template.format(**values)


def test_the_table_of_this_test_has_every_route(registry: ServedRegistry) -> None:
    routes = build_routes(build_runtime(registry.core)).routes

    assert {route.template for route in routes} == set(ANSWERS)


async def empty(call: Call) -> Reply:
    return Reply(200)


def add_route(monkeypatch: pytest.MonkeyPatch, operation: Operation) -> None:
    """Every registry that starts from now on has `GET /v2/_more` beside its routes."""

    def with_one_more(runtime: Runtime) -> RouteTable:
        return RouteTable([*build_routes(runtime).routes, Route("/v2/_more", {"GET": operation})])

    monkeypatch.setattr(building, "build_routes", with_one_more)


@pytest.mark.parametrize(
    "operation",
    [
        Operation(cast(Any, None), empty),
        Operation(cast(Any, "get-more"), empty),
        cast(Any, empty),
    ],
    ids=["nothing", "a text that is no action", "a bare handler"],
)
def test_registry_with_a_route_that_declares_no_action_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: Operation
) -> None:
    add_route(monkeypatch, operation)

    with (
        pytest.raises(TypeError, match="GET /v2/_more declares no action"),
        serving(tmp_path),
    ):
        raise AssertionError("it serves")


def test_registry_with_a_route_that_declares_its_action_starts_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_route(monkeypatch, Operation(Action.GET_API_VERSION, empty))

    with serving(tmp_path) as served:
        assert httpx.get(f"{served.url}/v2/_more", trust_env=False).status_code == 200


@pytest.mark.parametrize("template", ANSWERS)
def test_route_answers_every_method(client: Client, template: str) -> None:
    expected = ANSWERS[template]
    for method in METHODS:
        as_method = "GET" if method == "HEAD" and "GET" in expected else method
        status, code = expected.get(as_method, (405, "UNSUPPORTED"))

        answer = client.request(method, path_of(template))

        assert answer.status_code == status, (method, answer.text)
        assert len(answer.headers["X-Request-Id"]) == 16
        if method == "HEAD":
            assert answer.content == b""
        elif code is not None:
            expect_error(answer, status, code)


@pytest.mark.parametrize("template", ANSWERS)
def test_405_tells_in_allow_what_the_path_answers_and_in_detail_what_it_does_not(
    client: Client, template: str
) -> None:
    answer = client.request("OPTIONS", path_of(template))

    expect_error(answer, 405, "UNSUPPORTED", detail="OPTIONS")
    allowed = set(ANSWERS[template])
    if "GET" in allowed:
        allowed.add("HEAD")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_head_is_get_without_a_body(registry: ServedRegistry, client: Client, name: str) -> None:
    blob = client.push_blob(name)
    image = client.stored(name, make_image(), "v1")
    upload = client.open_upload(name)
    paths = [
        "/v2/",
        "/v2/_catalog",
        f"/v2/{name}/blobs/{blob.digest}",
        f"/v2/{name}/blobs/{NOBODY}",
        f"/v2/{name}/manifests/v1",
        f"/v2/{name}/manifests/{image.digest}",
        f"/v2/{name}/manifests/v2",
        f"/v2/{name}/tags/list",
        f"/v2/{name}/tags/list?n=x",
        f"/v2/{name}/referrers/{image.digest}",
        "/health",
        "/healthz",
        "/readyz",
        "/nothing",
    ]
    for path in paths:
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code, path
        assert head.content == b""
        assert int(head.headers["Content-Length"]) == len(got.content), path
        assert headers_of(head) == headers_of(got), path
    assert headers_of(client.head(upload)) == headers_of(client.get(upload))


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name not in ("x-request-id", "date")
    }


def test_every_request_has_an_id_of_its_own(client: Client) -> None:
    answers = [client.get("/v2/"), client.get("/v2/"), client.get("/nothing"), client.put("/v2/")]

    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


def test_id_of_the_answer_stands_in_the_log_line_of_a_change(
    client: Client, name: str, log_lines: LogLines
) -> None:
    answer = client.post(f"/v2/{name}/blobs/uploads/")
    client.get("/v2/")
    client.get(f"/v2/{name}/tags/list")

    lines = log_lines.wait_for("request")
    (line,) = [line for line in lines if name in line["path"]]
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert line["action"] == "start-upload"
    assert line["method"] == "POST"
    assert line["status"] == 202
    assert line["path"] == f"/v2/{name}/blobs/uploads/"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/x",
        "/v2/a/b/c",
        "/v2/a/manifests/",
        "/v2/a/tags",
        "/v2/a/tags/lists",
        "/v2/a/referrers/",
        "/v2/a/blobs/",
        "/v2/_catalogs",
        "/v2/_ext/_repository",
        "/v2/_ext/a/_tag",
        "/v2/_ext/_tags",
        "/_ui/other",
        "/health/x",
    ],
)
def test_unknown_path_is_404_whatever_the_method(client: Client, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        expect_error(client.request(method, path), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize("path", ["/", "/nothing", "/v3/", "/V2/", "/a%2Fb", "/_ui/config"])
def test_without_pages_every_other_path_is_404(tmp_path: Path, path: str) -> None:
    with serving(tmp_path, ui={"enabled": False}) as served, served.client() as client:
        for method in ("GET", "POST", "OPTIONS"):
            answer = client.request(method, path)

            assert answer.status_code == (400 if "%2F" in path else 404)
            assert answer.headers["Content-Type"] == "application/json"


def test_uploads_without_its_slash_works_too(client: Client, name: str) -> None:
    answer = client.post(f"/v2/{name}/blobs/uploads")

    assert answer.status_code == 202
    assert answer.headers["Location"].startswith(f"/v2/{name}/blobs/uploads/")


def test_version_check_names_the_protocol(client: Client) -> None:
    answer = client.get("/v2/")

    assert answer.json() == {}
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    "name",
    [
        "blobs",
        "uploads",
        "a/blobs",
        "manifests/a",
        "a/manifests/b",
        "tags/list",
        "a/tags/list",
        "a/blobs/uploads",
        "blobs/uploads/x",
        "referrers/a/referrers",
        "v2",
        "a/v2/blobs",
        "a__b/uploads-tags",
    ],
)
def test_name_with_the_words_of_endpoints_goes_all_the_way(client: Client, name: str) -> None:
    blob = make_blob("the same in every repository")
    location = client.open_upload(name)
    assert client.patch(location, content=blob.body[:3]).status_code == 202
    assert client.get(location).headers["Range"] == "0-2"
    finished = client.finish(location, blob, blob.body[3:])
    assert finished.headers["Location"] == f"/v2/{name}/blobs/{blob.digest}"
    image = client.stored(name, make_image(), "v1")

    assert client.get(f"/v2/{name}/blobs/{blob.digest}").content == blob.body
    assert client.get(f"/v2/{name}/manifests/v1").content == image.body
    assert client.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["v1"]}
    assert client.get(f"/v2/{name}/referrers/{image.digest}").json()["manifests"] == []
    assert name in client.get("/v2/_catalog").json()["repositories"]
    assert client.delete(f"/v2/{name}/manifests/{image.digest}").status_code == 202
    assert client.delete(f"/v2/{name}/blobs/{blob.digest}").status_code == 202


def test_answers_end_where_their_content_length_says(registry: ServedRegistry, name: str) -> None:
    connection = http.client.HTTPConnection(*registry.address, timeout=5)
    paths = ["/v2/", f"/v2/{name}/tags/list", "/nothing", "/metrics", f"/v2/{name}/blobs/{NOBODY}"]
    try:
        for path in paths:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.length is not None
            answer.read()
            assert not answer.will_close
    finally:
        connection.close()
