"""`/v2/_ext/_gc`: the report, the explanations, a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob, make_descriptor, make_image, make_index, make_name

GC = "/v2/_ext/_gc"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    root: Path = tmp_path_factory.mktemp("reclaiming")
    with serving(root, global_={"gc_grace_secs": 3600}) as registry:
        yield registry


@pytest.fixture
def client(served: ServedRegistry) -> Iterator[Client]:
    with served.client() as opened:
        yield opened


def report(client: Client, **query: str) -> dict[str, Any]:
    answer = client.get(GC, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(client: Client, **options: bool) -> dict[str, Any]:
    """A run from the wish to its end."""
    answer = client.post(GC, json=options)
    assert answer.status_code == 202, answer.text
    number = answer.json()["run"]["number"]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        run: dict[str, Any] = report(client, only="run")["run"]
        if run["number"] == number and run["ended_at"] is not None:
            return run
        time.sleep(0.02)
    raise AssertionError("the run has no end")


def test_digest_is_explained_by_what_keeps_it(client: Client) -> None:
    name = make_name()
    layer, lone = make_blob(), make_blob()
    client.push_blob(name, layer)
    client.push_blob(name, lone)
    image = make_image(layers=[make_descriptor(layer)])
    client.push_manifest(name, image)
    index = make_index([make_descriptor(image)])
    client.push_manifest(name, index, "v1")

    def kept_by(digest: str) -> list[tuple[str, str, str, str | None]]:
        return [
            (holder["namespace"], holder["kind"], holder["kept_by"], holder["by"])
            for holder in report(client, digest=digest)["holders"]
        ]

    assert kept_by(layer.digest) == [(name, "blob", "manifest", image.digest)]
    assert kept_by(image.digest) == [(name, "manifest", "manifest", index.digest)]
    assert kept_by(index.digest) == [(name, "manifest", "tag", "v1")]
    assert kept_by(lone.digest) == [(name, "blob", "lease", None)]
    explained = report(client, digest=lone.digest)
    assert explained["size"] == lone.size
    assert 3590 < explained["holders"][0]["until"] - time.time() <= 3600


def test_namespace_is_told_what_it_keeps_without_a_reference(client: Client) -> None:
    name = make_name()
    layer, lone = make_blob(), make_blob()
    client.push_blob(name, layer)
    client.push_blob(name, lone)
    client.push_manifest(name, make_image(layers=[make_descriptor(layer)]), "v1")
    client.open_upload(name)

    kept = report(client, namespace=name)["kept"]

    assert (kept["leased_blobs"]["count"], kept["leased_blobs"]["bytes"]) == (1, lone.size)
    assert kept["leased_manifests"]["count"] == kept["untagged"]["count"] == 0
    assert kept["has_upload"]


def test_run_gives_back_what_the_one_before_said_it_would(client: Client) -> None:
    ended(client, now=True)
    name, old = make_name(), make_blob()
    client.push_blob(name, old)
    client.delete(f"/v2/{name}/blobs/{old.digest}")
    dry = ended(client, dry_run=True)
    real = ended(client)

    assert dry["state"] == real["state"] == "done"
    assert dry["outcome"] == {**real["outcome"], "is_whole": True}
    found = report(client)
    assert found["reclaimable"]["blobs"] == 0
    assert (found["gc_grace_secs"], found["untagged_grace"]) == (3600, None)
    assert found["run"]["options"] == {}


def test_run_needs_no_body(client: Client) -> None:
    assert client.post(GC).status_code == 202


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("digest=sha256:1", 400, "DIGEST_INVALID"),
        ("digest=md5:1", 415, "UNSUPPORTED"),
        (f"digest=sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
        ("only=report", 400, "NAME_INVALID"),
        ("namespace=A", 400, "NAME_INVALID"),
        ("namespace=never/was", 404, "NAME_UNKNOWN"),
        ("namespace=a&namespace=b", 400, "NAME_INVALID"),
    ],
)
def test_bad_question_is_refused(client: Client, query: str, status: int, code: str) -> None:
    expect_error(client.get(f"{GC}?{query}"), status, code)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"now": 1}'])
def test_bad_wish_is_refused(client: Client, body: bytes) -> None:
    expect_error(client.post(GC, content=body), 400, "NAME_INVALID", detail=None)
