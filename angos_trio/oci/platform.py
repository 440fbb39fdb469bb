"""For which platforms an image is, as its config or the descriptors of an index say (OCI image
specification, "Image Configuration" and "Image Index")."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

CONFIG_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)
_ATTESTATION: Final = "unknown/unknown"
"""What builders write for parts that are no images."""
PLATFORMS_MAX: Final = 64
"""Of an index, that are recorded;"""
PLATFORM_CHARACTERS_MAX: Final = 128
"""and of one of them."""


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


def stated_platforms(index: Mapping[str, object]) -> tuple[str, ...]:
    """The platforms of an index, each once, in the order of its body, as they can be recorded."""
    parts = index.get("manifests")
    found = dict.fromkeys(_stated(parts if isinstance(parts, list) else []))
    return tuple(name for name in found if is_recordable(name))[:PLATFORMS_MAX]


def is_recordable(platform: str) -> bool:
    """Whether a platform is short, and text without a space or an unprintable character."""
    is_short = len(platform) <= PLATFORM_CHARACTERS_MAX
    return is_short and platform.isprintable() and " " not in platform


def is_platform(text: str) -> bool:
    """Whether something can be recorded as a platform: `os/architecture`, and perhaps more."""
    return is_recordable(text) and all(text.split("/", 2)) and "/" in text


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


def name_of_platform(platform: object) -> str | None:
    """The platform that a descriptor states; None for one that builders write for no image."""
    name = _name(platform) if isinstance(platform, dict) else None
    return None if name is None or name == _ATTESTATION or not is_recordable(name) else name


def recorded_platforms(config: bytes) -> tuple[str, ...]:
    """The platform that an image's config states, as it can be recorded: none or one."""
    name = platform_of_config(config)
    if name is None or name == _ATTESTATION or not is_recordable(name):
        return ()
    return (name,)


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
