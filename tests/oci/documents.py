"""Manifests as JSON documents, valid unless a test changes them."""

from __future__ import annotations

import json
from enum import Enum

from angos_trio.oci.media_types import OCI_INDEX, OCI_MANIFEST
from tests.oci.strategies import SHA256

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


class Absence(Enum):
    """Stands for a key that is not there; names itself in the ids of tests."""

    ABSENT = "absent"


ABSENT = Absence.ABSENT
"""A change to this takes the key out."""

Document = dict[str, object]


def digest_like(character: str) -> str:
    return "sha256:" + character * 64


def changed(document: Document, changes: Document) -> Document:
    merged = {**document, **changes}
    return {key: value for key, value in merged.items() if value is not ABSENT}


def descriptor(**changes: object) -> Document:
    return changed({"mediaType": LAYER_TYPE, "digest": SHA256, "size": 5}, changes)


def image(**changes: object) -> Document:
    config = descriptor(mediaType=CONFIG_TYPE, digest=digest_like("c"))
    return changed(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [descriptor()]},
        changes,
    )


def index(**changes: object) -> Document:
    manifest = descriptor(mediaType=OCI_MANIFEST)
    return changed({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest]}, changes)


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()
