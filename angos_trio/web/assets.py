"""Files that never change: each has the hash of its content in its name."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

FOLDER: Final = "/_ui/static"
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HASH_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All of them by the name in their address, and these names by those of the files."""

    by_name: Mapping[str, Asset]
    names: Mapping[str, str]

    def path(self, file: str) -> str:
        """Where a file is, by its own name such as `app.css`."""
        return f"{FOLDER}/{self.names[file]}"


@functools.cache
def assets() -> Assets:
    """Read once, also out of a zip file."""
    by_name, names = {}, {}
    for file in resources.files("angos_trio.web").joinpath("static").iterdir():
        stem, _, ending = file.name.rpartition(".")
        if ending in _TYPES:
            content = file.read_bytes()
            name = f"{stem}-{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}.{ending}"
            by_name[name], names[file.name] = Asset(content, _TYPES[ending]), name
    return Assets(by_name, names)
