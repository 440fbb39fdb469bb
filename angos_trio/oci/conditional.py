"""Entity tags and conditional reads (RFC 9110, sections 8.8.3, 13.1.2 and 13.1.5)."""

from __future__ import annotations

import hashlib

from angos_trio.oci.digest import Digest


def entity_tag(digest: Digest) -> str:
    """The strong entity tag of immutable content: its digest, quoted."""
    return f'"{digest}"'


def weak_tag(text: str) -> str:
    """A weak entity tag, of what is the same in substance as long as this is."""
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def is_not_modified(if_none_match: str | None, tag: str) -> bool:
    """Whether `If-None-Match` names this entity tag; the weak comparison of RFC 9110 8.8.3.2."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    own = tag.removeprefix("W/")
    return any(part.strip().removeprefix("W/") == own for part in if_none_match.split(","))


def is_range_current(if_range: str | None, digest: Digest) -> bool:
    """Whether `If-Range` lets a `Range` stand: absent, or this very entity tag (strongly)."""
    return if_range is None or if_range.strip() == entity_tag(digest)
