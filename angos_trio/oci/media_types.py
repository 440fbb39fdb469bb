"""Media types that the registry knows, and the grammar of those it does not.

Manifests are stored as pushed and never converted; docker schema 2 and OCI types are accepted.
"""

from __future__ import annotations

import re
from typing import Final

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

IMAGE_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_LIST})

# RFC 6838 4.2: type "/" subtype, each a restricted-name of at most 127 characters.
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_GRAMMAR = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)


def is_media_type(text: str) -> bool:
    """Whether the text is a media type without parameters."""
    return _GRAMMAR.fullmatch(text) is not None


def without_parameters(content_type: str) -> str:
    """The media type of a `Content-Type` header, lower case, parameters dropped."""
    return content_type.partition(";")[0].strip().lower()
