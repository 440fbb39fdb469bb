"""The parts of what was pulled through come by themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from angos_trio.mirror.prefetch import Parts, is_wanted, parts_of
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from tests.api.client import Client
from tests.factories import Content, Document, make_blob, make_descriptor, make_image, make_index
from tests.running import HOST, RunningRegistry, free_port, start_registry

WAIT_SECS_MAX = 30.0
PLATFORMS = ("linux/amd64", "linux/arm64/v8", "linux/arm/v7", "windows/amd64")


def stated(text: str) -> dict[str, str]:
    """A platform as a descriptor states it."""
    names = ("os", "architecture", "variant")
    return dict(zip(names, text.split("/"), strict=False))


@pytest.mark.parametrize(
    ("platform", "platforms", "expected"),
    [
        (stated("linux/amd64"), (), True),
        (stated("linux/amd64"), ("linux/amd64",), True),
        (stated("linux/amd64"), ("linux/arm64",), False),
        (stated("linux/arm64/v8"), ("linux/arm64",), True),
        (stated("linux/arm64"), ("linux/arm64/v8",), False),
        (stated("linux/arm/v7"), ("linux/arm/v6", "linux/arm/v7"), True),
        (stated("linux/arm64"), ("linux/arm",), False),
        (stated("unknown/unknown"), ("linux/amd64",), False),
        (None, ("linux/amd64",), True),
        ("linux/amd64", ("linux/amd64",), False),
        ({}, ("linux/amd64",), False),
    ],
)
def test_platforms_that_are_wanted(
    platform: object, platforms: tuple[str, ...], expected: bool
) -> None:
    assert is_wanted(platform, platforms) is expected


def test_of_an_image_everything_is_wanted_that_is_here_to_fetch() -> None:
    config, layer, elsewhere = make_blob(), make_blob(), make_blob()
    foreign = make_descriptor(elsewhere, urls=["https://example.test/layer"])
    image = make_image(make_descriptor(config), [make_descriptor(layer)] * 2 + [foreign])

    found = parts_of(image.body, image.media_type, ("linux/amd64",))

    assert found == Parts(blobs=(Digest(config.digest), Digest(layer.digest)))


def test_of_an_index_so_many_are_wanted_at_most() -> None:
    some = [make_descriptor(make_image(annotations={"n": str(number)})) for number in range(1005)]
    index = make_index(some)
    none = make_index([])
    body = none.body.replace(b"[]", b"null")

    assert len(parts_of(index.body, index.media_type, ()).manifests) == 1000
    assert parts_of(none.body, none.media_type, ()) == Parts()
    assert parts_of(body, none.media_type, ()) == Parts()


def test_what_is_no_manifest_has_no_parts() -> None:
    with pytest.raises(OciError):
        parts_of(b"{}", "application/vnd.oci.image.index.v1+json", ())


@dataclass(frozen=True)
class Many:
    """An image for many platforms: its index, and what each has."""

    index: Document
    images: dict[str, Document]
    blobs: dict[str, tuple[Content, ...]]


def push(client: Client, name: str) -> Many:
    images: dict[str, Document] = {}
    blobs: dict[str, tuple[Content, ...]] = {}
    for platform in PLATFORMS:
        config, layer = make_blob(json.dumps(stated(platform))), make_blob(f"layer of {platform}")
        for blob in (config, layer):
            client.push_blob(name, blob)
        image = make_image(make_descriptor(config), [make_descriptor(layer)])
        images[platform] = client.stored(name, image)
        blobs[platform] = (config, layer)
    descriptors = [
        make_descriptor(image, platform=stated(platform)) for platform, image in images.items()
    ]
    return Many(client.stored(name, make_index(descriptors), "v1"), images, blobs)


def until(is_so: Callable[[], bool], said: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECS_MAX
    while not is_so():
        assert time.monotonic() < deadline, said()
        time.sleep(0.05)


class Two:
    """A registry, and one before it that fetches ahead, both of which can be started anew."""

    def __init__(self, folder: Path, workers: int, **keys: Any) -> None:
        self.folder = folder
        self.far_address = f"{HOST}:{free_port()}"
        self.far: RunningRegistry | None = None
        self.near: RunningRegistry | None = None
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        (folder / "near.toml").write_text(
            "\n".join(
                [
                    f"[server]\nworkers = {workers}",
                    '[repository."hub"]\nprefetch = true',
                    *lines,
                    '[[repository."hub".upstream]]',
                    f'url = "http://{self.far_address}"',
                ]
            ),
            encoding="utf-8",
        )

    def start_far(self) -> Client:
        log = self.folder / "far.log"
        self.far = start_registry(self.folder / "far", log, address=self.far_address)
        return Client(self.far.base_url)

    def start_near(self) -> Client:
        options = ["-c", str(self.folder / "near.toml")]
        log = self.folder / "near.log"
        self.near = start_registry(self.folder / "near", log, arguments=options)
        return Client(self.near.base_url)

    def close(self) -> None:
        for each in (self.far, self.near):
            if each is not None:
                each.stop()


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Two]]:
    """Makes both, with so many workers of the one in front, and stops them."""
    monkeypatch.delenv("WORKERS", raising=False)
    made = []

    def make(workers: int = 1, **keys: Any) -> Two:
        made.append(Two(tmp_path, workers, **keys))
        return made[-1]

    yield make
    for each in made:
        each.close()


def queue(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v2/_ext/_jobs").json()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_wanted_platforms_are_here_when_the_link_is_gone(
    two: Callable[..., Two], workers: int
) -> None:
    both = two(workers, platforms=["linux/amd64", "linux/arm64"])
    with both.start_far() as source:
        many = push(source, "app")
    with both.start_near() as client:
        assert client.get("/v2/hub/app/manifests/v1").content == many.index.body
        until(lambda: queue(client)["queues"] == {}, lambda: queue(client))
        assert both.far is not None
        both.far.stop()

        for platform in ("linux/amd64", "linux/arm64/v8"):
            image = many.images[platform]
            answer = client.get(f"/v2/hub/app/manifests/{image.digest}")
            assert answer.content == image.body
            for blob in many.blobs[platform]:
                assert client.get(f"/v2/hub/app/blobs/{blob.digest}").content == blob.body
        for platform in ("linux/arm/v7", "windows/amd64"):
            digest = many.images[platform].digest
            assert client.get(f"/v2/hub/app/manifests/{digest}").status_code == 503


@pytest.mark.slow
def test_what_was_to_come_comes_after_a_kill_and_once_the_upstream_is_back(
    two: Callable[..., Two],
) -> None:
    both = two()
    with both.start_far() as source:
        many = push(source, "app")
    with both.start_near() as client:
        client.get("/v2/hub/app/manifests/v1").raise_for_status()
        assert both.far is not None
        assert both.near is not None
        both.far.kill()
        left = queue(client)["queues"].get("prefetch", {"waiting": 0})["waiting"]
        both.near.kill()
    both.start_far().close()
    with both.start_near() as client:
        until(lambda: queue(client)["queues"] == {}, lambda: queue(client))
        both.far.stop()
        here = [
            client.get(f"/v2/hub/app/blobs/{blob.digest}").status_code
            for blobs in many.blobs.values()
            for blob in blobs
        ]
        assert here == [200] * len(here), left


@pytest.mark.slow
def test_what_the_upstream_does_not_have_is_given_up_and_holds_nothing_up(
    two: Callable[..., Two],
) -> None:
    both = two()
    with both.start_far() as source:
        missing, config = make_blob(), source.push_blob("app")
        broken = make_image(make_descriptor(config), [make_descriptor(missing)])
        source.stored("app", broken, "broken")
        many = push(source, "app")
    with both.start_near() as client:
        client.get("/v2/hub/app/manifests/broken").raise_for_status()
        client.get("/v2/hub/app/manifests/v1").raise_for_status()
        until(
            lambda: queue(client)["queues"].get("prefetch", {}).get("waiting") == 0,
            lambda: queue(client),
        )
        failed = client.get("/v2/_ext/_jobs", params={"state": "failed"}).json()["jobs"]
        assert [each["namespace"] for each in failed] == ["hub/app"]
        assert missing.digest in failed[0]["problem"]
        page = client.get("/_ui/health").text
        assert "1 job failed" in page
        assert missing.digest in page
        for blob in many.blobs["linux/amd64"]:
            assert client.head(f"/v2/hub/app/blobs/{blob.digest}").status_code == 200
