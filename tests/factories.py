"""One maker for each thing that tests need made; what a test does not care about has a default."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from angos_trio.app.plan import Plan
from angos_trio.app.plan import make_plan as plan_of
from angos_trio.clock import epoch_seconds
from angos_trio.config.model import Config
from angos_trio.config.values import decode_secret
from angos_trio.identity import Certificate
from angos_trio.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from angos_trio.registry.context import Registry
from angos_trio.storage.store import Storage

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
SBOM = "application/spdx+json"

_numbers = itertools.count()


def make_name(prefix: str = "team/app") -> str:
    """A repository name that no other test uses."""
    return f"{prefix}-{next(_numbers)}"


def make_certificate(**fields: Any) -> Certificate:
    """What a client certificate says; without fields one that counts and names nobody."""
    said = {
        "subject": "CN=client",
        "issuer": "CN=ca",
        "serial": "1f",
        "fingerprint": "ab" * 32,
        "not_before": 0,
        "not_after": 2**40,
        "is_for_clients": True,
        "common_names": ("client",),
    }
    return Certificate(**{**said, **fields})


@dataclass(frozen=True)
class Content:
    """Bytes with their digest."""

    body: bytes
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        return f"{self.algorithm}:{hashlib.new(self.algorithm, self.body).hexdigest()}"

    @property
    def size(self) -> int:
        return len(self.body)

    def in_sha512(self) -> Content:
        return Content(self.body, "sha512")


def make_blob(body: bytes | str | None = None, algorithm: str = "sha256") -> Content:
    """A blob; without a body one that no other test has."""
    if body is None:
        body = f"blob number {next(_numbers)}"
    return Content(body.encode() if isinstance(body, str) else body, algorithm)


@dataclass(frozen=True)
class Document(Content):
    """A manifest: its bytes, and the type that it is pushed with."""

    media_type: str = OCI_MANIFEST

    def in_sha512(self) -> Document:
        return Document(self.body, "sha512", self.media_type)


def make_descriptor(
    content: Content | None = None, media_type: str = OCI_LAYER, **more: object
) -> dict[str, object]:
    """A descriptor of content; without one, of a blob that nobody has."""
    content = content or make_blob()
    if isinstance(content, Document):
        media_type = content.media_type
    return {
        "mediaType": media_type,
        "digest": content.digest,
        "size": content.size,
        **more,
    }


def make_image(
    config: Mapping[str, object] | None = None,
    layers: Sequence[Mapping[str, object]] = (),
    media_type: str = OCI_MANIFEST,
    **more: object,
) -> Document:
    """An image manifest that differs from every other, because its config does."""
    config_type = OCI_CONFIG if media_type != DOCKER_MANIFEST else "application/vnd.docker.c+json"
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config or make_descriptor(media_type=config_type),
        "layers": list(layers),
        **more,
    }
    return make_document(document, media_type)


def make_index(
    manifests: Sequence[Mapping[str, object]] = (),
    media_type: str = OCI_INDEX,
    **more: object,
) -> Document:
    """An image index, or a docker manifest list."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": list(manifests),
        "annotations": {"number": str(next(_numbers))},
        **more,
    }
    if media_type == DOCKER_LIST:
        del document["annotations"]
    return make_document(document, media_type)


def make_document(document: object, media_type: str = OCI_MANIFEST) -> Document:
    """Any JSON as a manifest body; a value of None leaves its key out."""
    if isinstance(document, dict):
        document = {key: value for key, value in document.items() if value is not None}
    return Document(json.dumps(document, indent=1).encode(), "sha256", media_type)


def make_config(root: Path, **tables: Mapping[str, object]) -> Config:
    """A configuration that stores below `root`, takes no space for itself and listens anywhere.

    `tables` are those of the file: `server={"stall_timeout": 5}`, `global_={…}`,
    `repository={"name": {…}}`.
    """
    document: dict[str, object] = {name.rstrip("_"): dict(table) for name, table in tables.items()}
    document.setdefault("blob_store", {"fs": {"root_dir": str(root / "data"), "ballast": 0}})
    document["global"] = {"min_free_space": 0, **tables.get("global_", {})}
    return msgspec.convert(document, Config, dec_hook=decode_secret)


def make_plan(root: Path, **tables: Mapping[str, object]) -> Plan:
    """What the configuration of `make_config` comes to."""
    return plan_of(make_config(root, **tables))


def make_registry(storage: Storage, plan: Plan) -> Registry:
    """The use-cases' collaborators over an open storage."""
    return Registry(
        storage=storage,
        limits=plan.limits,
        tag_rules=plan.tag_rules,
        quotas=plan.quotas,
        allows_missing_references=plan.config.global_.allow_missing_manifest_references,
        now=epoch_seconds,
        retention=plan.retention,
        pulled_through=plan.mirrors.pulled_through,
        endpoints=plan.endpoints,
    )
