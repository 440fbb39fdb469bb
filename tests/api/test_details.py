"""`/v2/_ext/{name}/…`: one manifest, what a delete takes with it, and what a tag pointed to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.api.client import Client, expect_error
from tests.api.serving import serving
from tests.factories import (
    Content,
    Document,
    make_blob,
    make_descriptor,
    make_image,
    make_index,
    make_name,
)

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
SIGNATURE = "application/vnd.cncf.notary.signature"
IN_TOTO = "application/vnd.in-toto+json"
NOTHING: dict[str, Any] = {
    "tags": [],
    "manifests": [],
    "unknown": [],
    "blocked": [],
    "untagged": [],
    "parts": [],
    "referrers": [],
    "needed_by": [],
    "freed_bytes": 0,
    "is_whole": True,
    "denied": [],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    repositories: dict[str, object] = {
        "fixed": {"immutable_tags": True, "immutable_tags_exclusions": ["free.*"]}
    }
    with (
        serving(tmp_path_factory.mktemp("details"), repository=repositories) as served,
        Client(served.url) as speaking,
    ):
        yield speaking


def push_image(client: Client, name: str, *layers: Content, **config: object) -> Document:
    """An image whose layers and config are there; every config differs."""
    for layer in layers:
        client.push_blob(name, layer)
    history = [{"created_by": f"COPY {number}"} for number in range(len(layers))]
    document = {"os": "linux", "architecture": "amd64", "history": history, "number": make_name()}
    blob = client.push_blob(name, make_blob(json.dumps({**document, **config})))
    described = make_descriptor(blob, CONFIG_TYPE)
    return make_image(described, [make_descriptor(layer) for layer in layers])


def detail(client: Client, name: str, reference: str) -> dict[str, Any]:
    answer = client.get(f"/v2/_ext/{name}/_manifest/{reference}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_image_is_told_with_its_config_and_who_shares_its_layers(client: Client) -> None:
    name, shared, own = make_name(), make_blob("s" * 1000), make_blob("o" * 500)
    settings = {"Env": ["A=b"], "Cmd": ["serve"], "Labels": {"x": "<script>"}}
    image = push_image(client, name, shared, own, config=settings)
    client.stored(name, image, "v1")
    other = push_image(client, name, shared)
    client.stored(name, other, "v2")

    found = detail(client, name, "v1")
    assert (found["tag"], found["digest"], found["kind"]) == ("v1", image.digest, "image")
    assert (found["tags"], found["platforms"]) == (["v1"], ["linux/amd64"])
    assert found["image"]["env"] == ["A=b"]
    assert found["image"]["labels"] == {"x": "<script>"}
    assert [(layer["command"], layer["is_exclusive"]) for layer in found["layers"]] == [
        ("COPY 0", False),
        ("COPY 1", True),
    ]
    assert [layer["manifests"] for layer in found["layers"]] == [2, 1]
    assert found["config"]["is_here"] is True
    assert found["frees_bytes"] == found["size"] + own.size + found["config"]["size"]
    assert detail(client, name, image.digest)["tag"] is None


def test_layer_that_another_namespace_holds_is_not_exclusive(client: Client) -> None:
    name, layer = make_name(), make_blob()
    client.stored(name, push_image(client, name, layer), "v1")
    assert detail(client, name, "v1")["layers"][0]["other_namespaces"] == 0

    client.push_blob(make_name(), layer)
    (told,) = detail(client, name, "v1")["layers"]
    assert (told["other_namespaces"], told["is_exclusive"]) == (1, False)


def test_namespace_that_the_caller_does_not_see_is_not_counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root, layer = tmp_path_factory.mktemp("unseen"), make_blob()
    with serving(root) as served, Client(served.url) as client:
        client.stored("open/app", push_image(client, "open/app", layer), "v1")
        client.push_blob("secret/app", layer)
    rules = ["request.action == 'get-manifest' && request.namespace.startsWith('open')"]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with serving(root, global_=policy) as served, Client(served.url) as client:
        (told_of,) = detail(client, "open/app", "v1")["layers"]
        assert (told_of["other_namespaces"], told_of["is_exclusive"]) == (0, False)
        page = client.get("/open/app:v1").text
        assert "others" in page
        assert "secret" not in page


def test_what_is_not_here_is_told_as_that(client: Client) -> None:
    name = make_name()
    client.stored(name, make_image(layers=[make_descriptor()]), "v1")
    index = make_index([make_descriptor(make_image())])
    client.stored(name, index, "all")

    found = detail(client, name, "v1")
    assert (found["image"], found["layers"][0]["is_here"]) == (None, False)
    (part,) = detail(client, name, "all")["manifests"]
    assert (part["is_here"], part["kind"], part["total_size"]) == (False, None, None)


def test_index_tells_platforms_and_which_part_is_about_which(client: Client) -> None:
    name = make_name()
    image = push_image(client, name)
    attestation = make_image(
        layers=[
            make_descriptor(
                None,
                IN_TOTO,
                annotations={"in-toto.io/predicate-type": "https://spdx.dev/Document"},
            )
        ]
    )
    about = {"vnd.docker.reference.digest": image.digest}
    platforms: list[Mapping[str, object]] = [
        make_descriptor(image, platform={"os": "linux", "architecture": "amd64"}),
        make_descriptor(
            attestation,
            platform={"os": "unknown", "architecture": "unknown"},
            annotations=about,
        ),
    ]
    for part in (image, attestation, index := make_index(platforms)):
        client.stored(name, part)

    found = detail(client, name, index.digest)
    assert [(part["platform"], part["kind"], part["about"]) for part in found["manifests"]] == [
        ("linux/amd64", "image", None),
        (None, "sbom", image.digest),
    ]
    assert (found["platforms"], found["attached"]) == (["linux/amd64"], ["sbom"])


def test_unknown_reference_is_404_and_no_page_of_the_other_kind(client: Client) -> None:
    name = make_name()
    client.stored(name, make_image(), "v1")
    for reference in ("v2", make_image().digest, ".bad"):
        answer = client.get(f"/v2/_ext/{name}/_manifest/{reference}")
        expect_error(answer, 404, "MANIFEST_UNKNOWN")
    expect_error(client.get(f"/v2/_ext/{name}/_manifest/sha256:x"), 400, "DIGEST_INVALID")


def impact(client: Client, name: str, *references: str) -> dict[str, Any]:
    answer = client.get(f"/v2/_ext/{name}/_impact", params={"ref": references})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def told(found: Mapping[str, Any], **wanted: object) -> bool:
    """Whether an impact says this and nothing else, whatever its token and bytes."""
    expected = {**NOTHING, **wanted}
    ignored = {"token"} | ({"freed_bytes"} - set(wanted))
    left = {key: value for key, value in found.items() if key not in ignored}
    assert left == {key: value for key, value in expected.items() if key not in ignored}
    return True


def test_tag_goes_alone_and_its_last_one_leaves_a_manifest_untagged(client: Client) -> None:
    name, image = make_name(), make_image()
    for tag in ("v1", "v2"):
        client.stored(name, image, tag)

    assert told(impact(client, name, "v1"), tags=["v1"], freed_bytes=0)
    assert told(impact(client, name, "v1", "v2"), tags=["v1", "v2"], untagged=[image.digest])


def test_digest_takes_its_tags_and_what_nothing_else_keeps(client: Client) -> None:
    name, layer = make_name(), make_blob("l" * 700)
    part = push_image(client, name, layer)
    kept = push_image(client, name)
    for image in (part, kept):
        client.stored(name, image)
    index = make_index([make_descriptor(part), make_descriptor(kept)])
    client.stored(name, index, "all")
    client.stored(name, kept, "one")
    signature = make_image(artifactType=SIGNATURE, subject=make_descriptor(index))
    client.stored(name, signature)

    found = impact(client, name, index.digest)
    assert told(
        found,
        tags=["all"],
        manifests=[index.digest],
        parts=[part.digest],
        referrers=[signature.digest],
    )
    sizes = index.size + part.size + signature.size + layer.size
    assert found["freed_bytes"] > sizes
    assert told(
        impact(client, name, part.digest), manifests=[part.digest], needed_by=[index.digest]
    )


def test_what_names_nothing_and_what_is_immutable_is_told(client: Client) -> None:
    name, image = "fixed/app", make_image()
    for tag in ("v1", "free-1"):
        client.stored(name, image, tag)

    found = impact(client, name, "v1", "free-1", "v9", image.digest)
    assert told(found, tags=["free-1"], blocked=["v1"], unknown=["v9"])


def delete(client: Client, name: str, token: str, *references: str) -> Any:
    body = {"references": list(references), "token": token}
    return client.post(f"/v2/_ext/{name}/_delete", json=body)


def test_delete_does_what_was_told_and_no_more(client: Client) -> None:
    name = make_name()
    images = [make_image() for _ in range(3)]
    for number, image in enumerate(images):
        client.stored(name, image, f"v{number}")
    wanted = ("v0", images[1].digest, "v9")
    token = impact(client, name, *wanted)["token"]

    answer = delete(client, name, token, *wanted)
    assert answer.status_code == 200, answer.text
    assert answer.json()["deleted"] == ["v0", images[1].digest]
    (failed,) = answer.json()["failed"]
    assert (failed["reference"], failed["code"]) == ("v9", "MANIFEST_UNKNOWN")
    assert client.tags(name) == ["v2"]
    assert client.get(f"/v2/{name}/manifests/{images[0].digest}").status_code == 200
    assert client.get(f"/v2/{name}/manifests/{images[1].digest}").status_code == 404


def test_delete_of_what_has_changed_since_is_refused_and_tells_anew(client: Client) -> None:
    name, image = make_name(), make_image()
    client.stored(name, image, "v1")
    token = impact(client, name, image.digest)["token"]
    client.stored(name, image, "v2")

    answer = delete(client, name, token, image.digest)
    expect_error(answer, 409, "DENIED")
    told_anew = answer.json()["errors"][0]["detail"]
    assert told_anew["tags"] == ["v1", "v2"]
    assert client.tags(name) == ["v1", "v2"]
    assert delete(client, name, told_anew["token"], image.digest).status_code == 200
    assert client.tags(name) == []


@pytest.mark.parametrize(
    "body",
    [{}, {"references": []}, {"references": ["v1"] * 2 + [f"v{number}" for number in range(1001)]}],
    ids=["nothing", "none", "too many"],
)
def test_delete_of_nothing_or_too_much_is_400(client: Client, body: object) -> None:
    name = make_name()
    client.stored(name, make_image(), "v1")

    expect_error(client.post(f"/v2/_ext/{name}/_delete", json=body), 400, "NAME_INVALID")
    expect_error(client.get(f"/v2/_ext/{name}/_impact"), 400, "NAME_INVALID")
    expect_error(client.get(f"/v2/_ext/{name}/_impact?ref=-"), 400, "TAG_INVALID")
    expect_error(client.get(f"/v2/_ext/{make_name()}/_impact?ref=v1"), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        ("md5:00", 415, "UNSUPPORTED"),
        ("sha256:0", 400, "DIGEST_INVALID"),
        (":", 400, "DIGEST_INVALID"),
    ],
)
def test_digest_that_cannot_be_is_refused_wherever_it_stands(
    client: Client, reference: str, status: int, code: str
) -> None:
    client.stored("digests", make_image(), "v1")

    for answer in (
        client.get(f"/v2/_ext/digests/_manifest/{reference}"),
        client.get(f"/v2/_ext/digests/_impact?ref=v1&ref={reference}"),
        delete(client, "digests", "", "v1", reference),
    ):
        expect_error(answer, status, code)


def test_tag_history_has_the_latest_first_and_what_is_still_here(client: Client) -> None:
    name = make_name()
    images = [make_image(), make_image()]
    for image in images:
        client.stored(name, image, "v1")
    client.delete(f"/v2/{name}/manifests/{images[1].digest}")

    found = client.get(f"/v2/_ext/{name}/_tag_history?tag=v1").json()
    assert found["tag"] == "v1"
    assert [(entry["digest"], entry["is_here"]) for entry in found["history"]] == [
        (None, False),
        (images[1].digest, False),
        (images[0].digest, True),
    ]
    assert {entry["changed_by"] for entry in found["history"]} == {"anonymous::"}
    empty = client.get(f"/v2/_ext/{name}/_tag_history?tag=other").json()
    assert empty == {"tag": "other", "history": []}
    for query in ("", "?tag=", "?tag=-", "?tag=a&tag=b"):
        expect_error(client.get(f"/v2/_ext/{name}/_tag_history{query}"), 400, "TAG_INVALID")


RULES = [
    "request.action in ['put-manifest', 'get-manifest', 'start-upload']",
    "request.action == 'delete-manifest' && has(request.reference) "
    "&& request.reference.startsWith('dev-')",
]


@pytest.mark.slow
def test_each_tag_is_decided_on_by_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    policy = {"access_policy": {"default": "deny", "rules": RULES}}
    with (
        serving(tmp_path_factory.mktemp("rules"), global_=policy) as served,
        Client(served.url) as client,
    ):
        image = make_image()
        for tag in ("dev-1", "v1"):
            client.stored("a", image, tag)

        found = impact(client, "a", "dev-1", "v1")
        assert told(found, tags=["dev-1"], denied=["v1"])
        answer = delete(client, "a", found["token"], "dev-1", "v1")
        assert answer.json()["deleted"] == ["dev-1"]
        assert [each["code"] for each in answer.json()["failed"]] == ["DENIED"]
        for path in ("_impact?ref=v1", f"_impact?ref={image.digest}"):
            assert client.get(f"/v2/_ext/a/{path}").status_code == 401
        assert delete(client, "a", "", "v1").status_code == 401
        assert client.get("/v2/a/manifests/v1").status_code == 200
