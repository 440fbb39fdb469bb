"""Health, readiness, metrics, and who may ask for what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from angos_trio.identity import Action
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob, make_image, make_name
from tests.server.wire import eventually

PUBLIC = ["/health", "/healthz", "/readyz"]
PROTECTED = [
    ("GET", "/v2/"),
    ("GET", "/v2"),
    ("GET", "/v2/_catalog"),
    ("GET", "/v2/a/tags/list"),
    ("GET", "/v2/a/manifests/v1"),
    ("HEAD", "/v2/a/manifests/v1"),
    ("PUT", "/v2/a/manifests/v1"),
    ("DELETE", "/v2/a/manifests/v1"),
    ("GET", "/v2/a/blobs/sha256:" + "0" * 64),
    ("DELETE", "/v2/a/blobs/sha256:" + "0" * 64),
    ("GET", "/v2/a/referrers/sha256:" + "0" * 64),
    ("POST", "/v2/a/blobs/uploads/"),
    ("GET", "/v2/a/blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd"),
    ("PATCH", "/v2/a/blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd"),
    ("PUT", "/v2/a/blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd"),
    ("DELETE", "/v2/a/blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_says_ok_without_looking(client: Client, path: str) -> None:
    answer = client.get(path)

    assert answer.json() == {"status": "ok"}
    assert answer.headers["Content-Type"] == "application/json"


def test_ready_says_ready(client: Client) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry whose disk is below the reserve, with one image from better times."""
    root: Path = tmp_path_factory.mktemp("full")
    with serving(root) as served, Client(served.url) as client:
        blob = client.push_blob("old", make_blob("from better times"))
        client.stored("old", make_image(), tags=["v1", "v2"])
        assert blob.size
    with serving(root, global_={"min_free_space": 10**15}) as served:
        yield served


def test_disk_below_the_reserve_is_not_ready_and_says_so_to_this_host(
    full: ServedRegistry,
) -> None:
    with Client(full.url) as client:
        answer = client.get("/readyz")
        alive = client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["status"] == "not_ready"
    (problem,) = answer.json()["problems"]
    assert str(10**15) in problem
    assert alive.status_code == 200


def test_disk_below_the_reserve_takes_nothing_in_and_gives_everything_out(
    full: ServedRegistry,
) -> None:
    blob = make_blob("from better times")
    new = make_blob()
    with Client(full.url) as client:
        refusals = [
            client.post("/v2/new/blobs/uploads/"),
            client.post("/v2/new/blobs/uploads/", params={"digest": new.digest}, content=new.body),
            client.push_manifest("old", make_image(), "v3"),
        ]
        for answer in refusals:
            expect_error(answer, 507, "UNAVAILABLE")
        assert client.get(f"/v2/old/blobs/{blob.digest}").content == blob.body
        assert client.get("/v2/old/manifests/v1").status_code == 200
        assert client.tags("old") == ["v1", "v2"]
        assert client.delete("/v2/old/manifests/v2").status_code == 202
        assert client.tags("old") == ["v1"]
    assert full.files("uploads") == []


def samples(client: Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a scrape, by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_have_the_names_of_the_original_and_gauges_of_the_storage(
    client: Client,
) -> None:
    client.get("/v2/")
    client.open_upload(make_name())

    found = samples(client)

    names = {name for name, _ in found}
    assert {
        "http_requests_total",
        "http_request_duration_ms_bucket",
        "http_request_duration_ms_sum",
        "http_request_duration_ms_count",
        "http_requests_in_flight",
        "storage_free_bytes",
        "storage_reserve_bytes",
        "storage_database_bytes",
        "storage_uploads_open",
        "storage_writes_waiting",
        "storage_writable",
    } <= names
    assert found["http_requests_in_flight", ()] == 1
    assert found["storage_uploads_open", ()] >= 1
    assert found["storage_free_bytes", ()] > 0
    assert found["storage_database_bytes", ()] > 0
    assert found["storage_writable", ()] == 1


def test_requests_are_counted_by_method_route_and_status(client: Client, name: str) -> None:
    def count(method: str, route: str, status: int) -> float:
        labels = (("method", method), ("route", route), ("status", str(status)))
        return samples(client).get(("http_requests_total", labels), 0)

    before = count("GET", "list-tags", 404), count("PUT", "put-manifest", 201)
    client.get(f"/v2/{name}/tags/list")
    client.stored(name, make_image(), "v1")
    after = count("GET", "list-tags", 404), count("PUT", "put-manifest", 201)

    assert after == (before[0] + 1, before[1] + 1)


def test_requests_in_flight_are_those_that_are_being_answered(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    def in_flight() -> float:
        return samples(client)["http_requests_in_flight", ()]

    location = client.open_upload(name)
    with registry.wire() as idle, registry.wire() as busy:
        assert idle.ask("GET", "/v2/").status == 200
        busy.request("PATCH", location, {"Content-Length": "9"})
        eventually(lambda: in_flight() == 2)
    eventually(lambda: in_flight() == 1)


def test_labels_are_bounded_whatever_is_asked_for(registry: ServedRegistry, client: Client) -> None:
    for number in range(5):
        client.request(f"METHOD{number}", f"/{number}")
        client.get(f"/v2/{make_name()}/tags/list")
        client.get(f"/v2/NAME{number}/tags/list")

    labels = {
        key: {dict(labels)[key] for _, labels in samples(client) if key in dict(labels)}
        for key in ("method", "route", "status")
    }

    assert labels["method"] <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OTHER"}
    assert labels["route"] <= {*(str(action) for action in Action), "unknown"}
    assert all(status.isdigit() and len(status) == 3 for status in labels["status"])


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry that lets nobody do anything."""
    root: Path = tmp_path_factory.mktemp("closed")
    with serving(root, global_={"access_policy": {"default": "deny"}}) as served:
        yield served


def test_anonymous_caller_is_challenged_where_a_policy_denies(closed: ServedRegistry) -> None:
    with Client(closed.url) as client:
        for method, path in PROTECTED:
            answer = client.request(method, path, content=b"{}" if method == "PUT" else None)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')
            if method != "HEAD":
                expect_error(answer, 401, "UNAUTHORIZED")


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("host", ["localhost", "registry.example.org", "10.0.0.1:5000"])
def test_health_is_outside_any_policy(closed: ServedRegistry, path: str, host: str) -> None:
    with Client(closed.url) as client:
        answer = client.get(path, headers={"Host": host})

    assert answer.status_code == 200
    assert "WWW-Authenticate" not in answer.headers


def test_malformed_name_is_400_before_anybody_is_asked_who_they_are(
    closed: ServedRegistry,
) -> None:
    with Client(closed.url) as client:
        expect_error(client.get("/v2/A/tags/list"), 400, "NAME_INVALID")
        expect_error(client.get("/v2/nothing"), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "localhost.", "a.localhost", "127.0.0.1", "127.8.8.8:1", "[::1]"],
)
def test_loopback_host_is_served_in_the_open_default(client: Client, host: str) -> None:
    assert client.get("/v2/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "registry.example.org",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::ffff:10.0.0.1]",
        "2130706433",
        "127.1",
        "localhos",
        "xlocalhost",
        "example.org:80",
        "user@localhost",
        "",
        "[",
        "]",
    ],
)
def test_any_other_host_is_403_in_the_open_default(registry: ServedRegistry, host: str) -> None:
    with registry.wire() as wire:
        for method, path in PROTECTED:
            answer = wire.ask(method, path, {"Host": host})
            assert answer.status == 403
            if method != "HEAD":
                (entry,) = json.loads(answer.body)["errors"]
                assert entry["code"] == "DENIED"
                assert entry.get("detail", "") == host


def test_request_without_a_host_is_refused(registry: ServedRegistry) -> None:
    with registry.wire() as wire:
        wire.send(b"GET /v2/ HTTP/1.1\r\n\r\n")
        assert wire.answer().status == 400
    with registry.wire() as wire:
        wire.send(b"GET /v2/ HTTP/1.0\r\n\r\n")
        assert wire.answer().status == 403


def test_open_policy_serves_any_host(tmp_path: Path) -> None:
    with (
        serving(tmp_path, global_={"access_policy": {"default": "allow"}}) as served,
        Client(served.url) as client,
    ):
        answer = client.get("/v2/", headers={"Host": "registry.example.org"})

    assert answer.status_code == 200
