"""`/v2/_ext/`: finding, what happened, what the disk holds, how the registry is, who calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from angos_trio import __version__
from angos_trio.auth.passwords import hash_password
from tests.api.client import Client, expect_error, next_page
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob, make_descriptor, make_image

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    with serving(tmp_path_factory.mktemp("overview"), repository={"team": {}}) as registry:
        yield registry


@pytest.fixture(scope="module")
def client(served: ServedRegistry) -> Iterator[Client]:
    with Client(served.url) as speaking:
        for name in ("web/nginx", "nginx", "team/my-nginx", "team/app"):
            for tag in ("1.20", "1.21", "latest"):
                speaking.stored(name, make_image(), tag)
        yield speaking


def told(client: Client, path: str) -> Any:
    answer = client.get(f"/v2/_ext/{path}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "private, no-cache"
    return answer.json()


def test_namespaces_are_found_by_a_part_the_likeliest_first(client: Client) -> None:
    found = told(client, "_find?q=NGINX")

    assert found["namespaces"] == ["nginx", "web/nginx", "team/my-nginx"]
    assert (found["tags"], found["manifests"], found["blobs"]) == ([], [], [])


def test_tags_are_found_by_their_beginning_in_namespaces_that_fit(client: Client) -> None:
    found = told(client, "_find?q=registry.lab:5000/web/nginx:1.2")

    assert [(each["namespace"], each["tag"]) for each in found["tags"]] == [
        ("web/nginx", "1.20"),
        ("web/nginx", "1.21"),
    ]
    assert told(client, "_find?q=nginx:%25")["tags"] == []


def test_digests_are_found_by_their_beginning(client: Client) -> None:
    layer = client.push_blob("team/app", make_blob())
    image = client.stored("team/app", make_image(layers=[make_descriptor(layer)]))

    for text in (image.digest, image.digest[:20], image.digest.partition(":")[2][:12]):
        (found,) = told(client, f"_find?q={text}")["manifests"]
        assert found == {"namespace": "team/app", "digest": image.digest, "kind": "image"}
    (blob,) = told(client, f"_find?q={layer.digest}")["blobs"]
    assert blob == {"namespace": "team/app", "digest": layer.digest, "size": layer.size}


@pytest.mark.parametrize("query", ["", "?q=", f"?q={'x' * 256}", "?q=a&q=b"])
def test_nothing_to_look_for_is_400(client: Client, query: str) -> None:
    expect_error(client.get(f"/v2/_ext/_find{query}"), 400, "NAME_INVALID")


def test_activity_has_the_latest_first_and_its_pages_have_all(client: Client) -> None:
    client.stored("team/moved", make_image(), "v1")
    client.stored("team/moved", make_image(), "v1")
    found = told(client, "_activity?namespace=team/moved")["activity"]

    assert [each["kind"] for each in found] == [
        "tag.updated",
        "manifest.pushed",
        "tag.created",
        "manifest.pushed",
    ]
    assert found[0]["data"]["tag"] == "v1"
    assert (found[0]["namespace"], found[0]["actor"]) == ("team/moved", "anonymous::")
    assert abs(found[0]["at"] - time.time()) < 600

    whole = told(client, "_activity?n=10000")["activity"]
    assert [each["id"] for each in whole] == sorted((each["id"] for each in whole), reverse=True)
    pages: list[Any] = []
    path: str | None = "/v2/_ext/_activity?n=7"
    while path is not None:
        answer = client.get(path)
        pages += answer.json()["activity"]
        path = next_page(answer)
    assert pages == whole


def test_activity_is_filtered_by_kind_actor_and_time(client: Client) -> None:
    kinds = {each["kind"] for each in told(client, "_activity?kind=tag.")["activity"]}

    assert kinds <= {"tag.created", "tag.updated", "tag.deleted"}
    assert kinds
    assert told(client, "_activity?actor=nobody")["activity"] == []
    assert told(client, f"_activity?since={int(time.time()) + 1000}")["activity"] == []
    answer = client.get("/v2/_ext/_activity?since=yesterday")
    expect_error(answer, 400, "PAGINATION_NUMBER_INVALID")


def test_storage_tells_what_sharing_saves(tmp_path_factory: pytest.TempPathFactory) -> None:
    layer = make_blob("l" * 10_000)
    with serving(tmp_path_factory.mktemp("use")) as registry, Client(registry.url) as client:
        images = []
        for name in ("share/a", "share/b"):
            client.push_blob(name, layer)
            described = make_image(layers=[make_descriptor(layer)])
            images.append(client.stored(name, described, "v1"))
        found = told(client, "_storage")

    assert (found["blobs"], found["blob_bytes"]) == (1, layer.size)
    assert (found["namespaces"], found["manifests"], found["tags"]) == (2, 2, 2)
    assert found["held_bytes"] == 2 * layer.size + sum(image.size for image in images)
    assert found["named_bytes"] > 2 * layer.size
    assert found["free_bytes"] > 0
    assert found["database_bytes"] > 0
    assert found["largest_blobs"] == [{"digest": layer.digest, "size": layer.size, "namespaces": 2}]
    assert [each["namespace"] for each in found["largest_namespaces"]] == ["share/a", "share/b"]


def test_health_tells_of_the_registry_and_its_runs(client: Client) -> None:
    found = told(client, "_health")

    assert (found["status"], found["problems"]) == ("ready", [])
    assert found["version"] == __version__
    assert found["read_only_since"] is None
    assert set(found["runs"]) == {"gc", "scrub", "prune"}


@pytest.mark.slow
def test_anybody_is_told_who_they_are_and_what_they_may(
    client: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = told(client, "_me")
    assert (found["method"], found["subject"]) == ("anonymous", None)
    everything = {"list": True, "pull": True, "push": True, "delete": True}
    assert found["repositories"] == [{"name": "team", "can": everything}]

    rules = ["identity.username == 'alice' && request.action in ['list-tags', 'get-manifest']"]
    with (
        serving(
            tmp_path_factory.mktemp("me"),
            auth={"identity": {"a": {"username": "alice", "password": hash_password(PASSWORD)}}},
            global_={"access_policy": {"default": "deny", "rules": rules}},
            repository={"team": {}},
        ) as registry,
        Client(registry.url) as stranger,
    ):
        assert told(stranger, "_me")["repositories"] == []
        answer = stranger.get("/v2/_ext/_me?repository=x", auth=("alice", PASSWORD))
        found = answer.json()
        assert (found["method"], found["subject"], found["id"]) == ("basic", "alice", "a")
        assert found["repositories"] == [
            {"name": "x", "can": {"list": True, "pull": True, "push": False, "delete": False}}
        ]
        assert stranger.get("/v2/_ext/_me", auth=("alice", "wrong")).status_code == 401


SEEN = (
    "request.action in ['find', 'get-activity', 'get-storage'] || "
    "(request.action == 'list-tags' && request.namespace.startsWith('open'))"
)


@pytest.mark.slow
def test_nothing_is_told_of_what_the_caller_does_not_see(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("hidden")
    with serving(root) as registry, Client(registry.url) as client:
        secret = client.stored("secret/app", make_image(), "v1")
        client.stored("open/app", make_image(), "v1")
        blob = client.push_blob("secret/app")
        mount = {"mount": blob.digest, "from": "secret/app"}
        assert client.post("/v2/open/app/blobs/uploads/", params=mount).status_code == 201
    policy = {"access_policy": {"default": "deny", "rules": [SEEN]}}
    with serving(root, global_=policy) as registry, Client(registry.url) as client:
        assert told(client, "_find?q=app")["namespaces"] == ["open/app"]
        assert told(client, "_find?q=app:v")["tags"][0]["namespace"] == "open/app"
        assert told(client, f"_find?q={secret.digest}")["manifests"] == []
        activity = told(client, "_activity")["activity"]
        assert {each["namespace"] for each in activity} == {"open/app"}
        (mounted,) = [each for each in activity if each["kind"] == "blob.mounted"]
        assert mounted["data"] == {"digest": blob.digest, "from": None}
        largest = told(client, "_storage")["largest_namespaces"]
        assert [each["namespace"] for each in largest] == ["open/app"]
        assert client.get("/v2/_ext/_health").status_code == 401
