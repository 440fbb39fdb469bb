"""Repository names, tags and upload session ids (distribution specification, "Pulling manifests").

All three are ASCII, anchored at both ends, and become types that only these checks can make.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest

NAME_CHARS_MAX: Final = 255
TAG_CHARS_MAX: Final = 128

# <name> MUST match: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
# <reference> as a tag MUST be at most 128 characters: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_SESSION = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class RepositoryName(str):
    """A full repository name (a namespace). Raises OciError NAME_INVALID (400)."""

    __slots__ = ()

    def __new__(cls, text: str) -> RepositoryName:
        if len(text) > NAME_CHARS_MAX or _NAME.fullmatch(text) is None:
            raise OciError(Code.NAME_INVALID, detail=text)
        return super().__new__(cls, text)


class Tag(str):
    """A tag. Raises OciError TAG_INVALID (400)."""

    __slots__ = ()

    def __new__(cls, text: str) -> Tag:
        if _TAG.fullmatch(text) is None:
            raise OciError(Code.TAG_INVALID, detail=text)
        return super().__new__(cls, text)


class SessionId(str):
    """An upload session's id: a UUID in its one canonical spelling.

    Raises OciError BLOB_UPLOAD_UNKNOWN (404): another spelling names no session of ours.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> SessionId:
        if _SESSION.fullmatch(text) is None:
            raise OciError(Code.BLOB_UPLOAD_UNKNOWN, detail=text)
        return super().__new__(cls, text)

    @classmethod
    def from_uuid(cls, value: UUID) -> SessionId:
        """The id that spells this UUID."""
        return cls(str(value))


Reference = Digest | Tag


def parse_reference_to_write(text: str) -> Reference:
    """A manifest reference in a PUT: what holds a colon is a digest, never tried as a tag."""
    return Digest(text) if ":" in text else Tag(text)


def parse_reference_to_read(text: str) -> Reference:
    """A manifest reference in a GET, HEAD or DELETE: what cannot be a tag names no manifest (404).

    The conformance program of specification 1.1 reads `.INVALID_MANIFEST_NAME` and expects 404.
    """
    if ":" in text:
        return Digest(text)
    try:
        return Tag(text)
    except OciError:
        raise OciError(Code.MANIFEST_UNKNOWN, detail=text) from None


def longest_prefix(namespace: str | None, repositories: Mapping[str, object]) -> str | None:
    """The configured repository that a namespace belongs to: the longest that fits, at a slash."""
    name = namespace or "" if repositories else ""
    while name:
        if name in repositories:
            return name
        name = name.rpartition("/")[0]
    return None
