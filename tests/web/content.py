"""A registry with something of everything that pages show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import (
    OCI_EMPTY,
    Content,
    Document,
    make_blob,
    make_descriptor,
    make_image,
    make_index,
)

TAGS_AT_ONCE = 250
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
SIGNATURE = "application/vnd.cncf.notary.signature"
SBOM = "application/spdx+json"
HOSTILE = '<script>alert("x")</script>\u202e\'&"'
"""A name of a person or a platform that would do harm where it is not escaped."""


class Filler(Client):
    """Pushes what pages show."""

    def image(self, name: str, *tags: str, platform: str = "linux/amd64", kib: int = 1) -> Document:
        """An image of a platform whose layer has so many KiB."""
        system, architecture = platform.split("/", 1)
        config = make_blob(json.dumps({"os": system, "architecture": architecture}))
        layer = make_blob(f"layer of {name} {tags} {platform}".encode().ljust(kib * 1024, b"."))
        self.push_blob(name, config)
        self.push_blob(name, layer)
        image = make_image(
            make_descriptor(config, IMAGE_CONFIG), [make_descriptor(layer)], annotations={"n": name}
        )
        return self.named(name, image, tags)

    def named(self, name: str, document: Document, tags: Sequence[str]) -> Document:
        """Push by digest, and every tag with it."""
        return self.stored(name, document, tags=tags)

    def many_platforms(self, name: str, *tags: str, **more: Any) -> Document:
        """An index of five images."""
        platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/ppc64le"]
        parts = [self.image(name, platform=each, kib=40) for each in platforms]
        descriptors = [
            make_descriptor(part, platform=_platform(each))
            for part, each in zip(parts, platforms, strict=True)
        ]
        return self.named(name, make_index(descriptors, **more), tags)

    def chart(self, name: str, *tags: str) -> Document:
        """A Helm chart."""
        config = make_blob(json.dumps({"name": name}))
        self.push_blob(name, config)
        return self.named(name, make_image(make_descriptor(config, CHART_CONFIG)), tags)

    def attach(
        self, name: str, subject: Document, artifact_type: str, config: Content | None = None
    ) -> Document:
        """Something that says something about a manifest."""
        described = None if config is None else make_descriptor(config, OCI_EMPTY)
        if config is not None:
            self.push_blob(name, config)
        image = make_image(described, artifactType=artifact_type, subject=make_descriptor(subject))
        return self.stored(name, image)

    def tag_often(self, name: str, count: int) -> list[str]:
        """So many tags, of images of which each has many."""
        tags = [f"v1.{number // 100}.{number % 100}" for number in range(count)]
        for first in range(0, count, TAGS_AT_ONCE):
            some = tags[first : first + TAGS_AT_ONCE]
            self.image(name, *some, kib=2)
        return tags


def _platform(text: str) -> dict[str, str]:
    system, architecture, *variant = text.split("/")
    named = {"os": system, "architecture": architecture}
    return {**named, "variant": variant[0]} if variant else named


def fill(filler: Filler) -> None:
    """A library as a laboratory might have it, with the same digests each time."""
    mark = {"n": "library/nginx"}
    index = filler.many_platforms("library/nginx", "1.27.3", "1.27", "latest", annotations=mark)
    for kind in (SIGNATURE, SBOM):
        filler.attach("library/nginx", index, kind, make_blob("{}"))
    for minor in range(1, 12):
        filler.image("library/nginx", f"1.26.{minor}", kib=30 * minor)
    filler.image("library/nginx", "1.26.11-windows", platform="windows/amd64", kib=900)
    filler.image("library/nginx")
    filler.image("library/python", "3.11", "3.12", kib=300)
    filler.image("library/tools/git/all-of-it", "2.39", kib=20)
    filler.image("library/tools", "1", kib=20)
    filler.chart("charts/hello", "0.1.0", "0.2.0_build.7")
    filler.image("single", "v1", "v2", kib=5)
    long = "team/" + "a-rather-long-name-of-a-component/" * 5 + "end"
    filler.image(long, "a" * 128, kib=3)
    opened = filler.open_upload("library/nginx")
    answer = filler.patch(opened, content=b"x" * 70_000)
    assert answer.status_code == 202, answer.text


RULES = {"immutable_tags": True, "immutable_tags_exclusions": ["latest"]}
REPOSITORIES: dict[str, Any] = {"library": RULES, "empty": {}, "health": {}, "team/apps": {}}


@contextmanager
def library(root: Path, **tables: Any) -> Iterator[tuple[ServedRegistry, Filler]]:
    """A filled registry, and who filled it."""
    given = {"repository": REPOSITORIES, **tables}
    with serving(root, **given) as served, Filler(served.url) as filler:
        fill(filler)
        yield served, filler
