"""Access policies over HTTP: what each request shows to the rules, and what listings hide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob, make_image

OPEN = ("open", "open/app")
RULES = [
    "!has(request.namespace)",
    "request.namespace.startsWith('open')",
    "request.namespace.startsWith('read/')"
    " && request.action in ['get-blob', 'get-manifest', 'list-tags', 'get-referrers']",
    "request.namespace == 'tagged' && request.action != 'put-manifest'",
    "request.namespace == 'tagged' && request.tags.all(t, t.startsWith('v'))",
    "request.namespace == 'own/x' && has_repository_policy()",
]
OWN = {"access_policy": {"default": "allow", "rules": ["request.action == 'delete-manifest'"]}}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedRegistry]:
    policy = {"default": "deny", "rules": RULES}
    with serving(tmp_path, global_={"access_policy": policy}, repository={"own": OWN}) as served:
        yield served


@pytest.fixture
def client(served: ServedRegistry) -> Iterator[Client]:
    with Client(served.url) as client:
        yield client


def test_what_no_rule_allows_is_refused(client: Client) -> None:
    assert client.get("/v2/").status_code == 200
    assert client.post("/v2/other/blobs/uploads/").status_code == 401
    assert client.get("/v2/other/tags/list").status_code == 401


def test_reader_of_a_prefix_reads_and_does_not_write(
    served: ServedRegistry, client: Client
) -> None:
    image = make_image()
    served.store("read/app", [image])

    assert client.get(f"/v2/read/app/manifests/{image.digest}").status_code == 200
    assert client.head(f"/v2/read/app/manifests/{image.digest}").status_code == 200
    assert client.post("/v2/read/app/blobs/uploads/").status_code == 401
    assert client.delete(f"/v2/read/app/manifests/{image.digest}").status_code == 401


def test_every_tag_that_a_push_would_make_is_shown_to_the_rules(client: Client) -> None:
    image = make_image()

    def push(reference: str, *tags: str) -> int:
        return client.push_manifest("tagged", image, reference, tags=tags).status_code

    assert push("v1") == 201
    assert push("latest") == 401
    assert push(image.digest) == 201
    assert push(image.digest, "v2", "v3") == 201
    assert push(image.digest, "v4", "latest") == 401
    assert client.get("/v2/tagged/tags/list").json()["tags"] == ["v1", "v2", "v3"]


def test_repository_and_registry_must_both_allow(client: Client) -> None:
    image = make_image()

    assert client.push_manifest("own/x", image, "v1").status_code == 201
    assert client.delete("/v2/own/x/manifests/v1").status_code == 401
    assert client.push_manifest("own/y", image, "v1").status_code == 401


def test_catalog_shows_what_the_caller_may_read(served: ServedRegistry, client: Client) -> None:
    for name in (*OPEN, "read/app", "secret/app"):
        served.store(name, [make_image()])

    assert client.get("/v2/_catalog").json()["repositories"] == [*OPEN, "read/app"]


def test_blob_is_not_mounted_from_where_the_caller_may_not_read(
    tmp_path: Path,
) -> None:
    rules = ["request.namespace == 'secret' && request.action == 'get-blob'"]
    policy = {"default": "allow", "rules": rules}
    blob = make_blob()
    with (
        serving(tmp_path, global_={"access_policy": policy}) as served,
        Client(served.url) as client,
    ):
        client.push_blob("secret", blob)
        for parameters in ({"mount": blob.digest, "from": "secret"}, {"mount": blob.digest}):
            answer = client.post("/v2/other/blobs/uploads/", params=parameters)
            assert answer.status_code == 202
        assert client.head(f"/v2/other/blobs/{blob.digest}").status_code == 404


def test_rule_that_fails_refuses_and_nothing_crashes(tmp_path: Path) -> None:
    policy = {"default": "allow", "rules": ["1 / 0 == 1"]}
    with (
        serving(tmp_path, global_={"access_policy": policy}) as served,
        Client(served.url) as client,
    ):
        assert client.get("/v2/").status_code == 401
        assert client.get("/health").status_code == 200
