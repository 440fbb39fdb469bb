"""From the path of a page to what it shows: pure, without a look at what is stored.

Names are as of the distribution specification: neither `:` nor `@` can be in one, and no component
begins with `_`. So `/{name}:{tag}` and `/{name}@{digest}` are unambiguous, however many segments
there are, and everything that is no view of a repository lives below `/_ui/`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Final

from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName, Tag, longest_prefix
from angos_trio.records import Frozen

BROWSE: Final = "/_ui/browse"
"""Below this every name can be reached, those too whose paths have a meaning of their own."""
RESERVED: Final = frozenset(
    {
        *("v2", "_ui", "health", "healthz", "readyz", "token", "metrics"),
        *("favicon.ico", "robots.txt"),
    }
)
"""First segments that are no names of repositories."""


class View(Enum):
    """What a page shows."""

    REPOSITORIES = "repositories"
    REPOSITORY = "repository"
    NAMESPACE = "namespace"
    """A namespace, or what is below a name that holds nothing itself."""
    MANIFEST = "manifest"
    MOVED = "moved"
    """The same page has a proper address."""
    UNKNOWN = "unknown"
    """Nothing can ever be there."""


class Place(Frozen):
    """A view and what it is of. `pinned` is the tag of `name:tag@digest`, where the digest says
    what is meant; `location` is a path, of `MOVED` alone."""

    view: View
    name: RepositoryName | None = None
    owner: str = ""
    reference: Reference | None = None
    pinned: Tag | None = None
    location: str = ""


UNKNOWN: Final = Place(View.UNKNOWN)


def resolve(segments: Sequence[str] | None, repositories: Collection[str]) -> Place | None:
    """The place of a path, by its decoded segments; None for what is no page of ours.

    `repositories` are the configured ones. Segments are None when the path cannot be decoded.
    """
    if segments is None:
        return UNKNOWN
    base, rest = "", list(segments)
    if rest[:2] == ["_ui", "browse"]:
        base, rest = BROWSE, rest[2:]
    parts = [part for part in rest if part]
    if not base and parts and parts[0] in RESERVED:
        return None
    path = "/".join(parts)
    try:
        found = _named(path, dict.fromkeys(repositories)) if path else Place(View.REPOSITORIES)
    except OciError:
        return UNKNOWN
    if len(parts) == len(rest):
        return found
    return Place(View.MOVED, location=f"{base}/{path}" if path else "/")


def _named(path: str, repositories: dict[str, None]) -> Place:
    """Raises OciError for what is outside the grammar of names, tags and digests."""
    left, at, digest = path.partition("@")
    name, colon, tag = left.rpartition(":")
    if not colon:
        name = left
    found = RepositoryName(name)
    owner = longest_prefix(found, repositories) or found.partition("/")[0]
    pinned = Tag(tag) if colon else None
    if at:
        return Place(View.MANIFEST, found, owner, Digest(digest), pinned)
    if pinned is not None:
        return Place(View.MANIFEST, found, owner, pinned)
    view = View.REPOSITORY if found == owner else View.NAMESPACE
    return Place(view, found, owner)


def manifest_path_of(name: str, reference: str) -> str:
    """The address of the page of a tag or a digest."""
    return f"{path_of(name)}{'@' if ':' in reference else ':'}{reference}"


def path_of(name: str) -> str:
    """The address of the page of a repository or a namespace."""
    return f"{BROWSE}/{name}" if name.partition("/")[0] in RESERVED else f"/{name}"
