"""For which platforms an image is, as its config or the descriptors of an index say (OCI image
specification, "Image Configuration" and "Image Index")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

CONFIG_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)
_ATTESTATION: Final = "unknown/unknown"
"""What builders write for parts that are no images."""


def platforms_of(body: bytes) -> str | None:
    """The platforms that a manifest itself states, joined with a comma; "" where it has none.

    None for an image whose config states it.
    """
    document = _object(body)
    parts = document.get("manifests")
    if isinstance(parts, list):
        return ",".join(_stated(parts))
    config = document.get("config")
    is_image = isinstance(config, dict) and config.get("mediaType") in CONFIG_TYPES
    return None if is_image else ""


def _stated(parts: list[object]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("platform"), dict):
            name = _name(part["platform"])
            if name is not None and name != _ATTESTATION:
                yield name


def platform_of_config(content: bytes) -> str | None:
    """The platform that an image's config states, `os/architecture` and perhaps its variant; None
    when it states none."""
    return _name(_object(content))


def _object(content: bytes) -> dict[str, object]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _name(fields: dict[str, object]) -> str | None:
    parts = [fields.get("os"), fields.get("architecture")]
    if not all(isinstance(part, str) and part for part in parts):
        return None
    variant = fields.get("variant")
    return "/".join(map(str, [*parts, variant] if variant else parts))
