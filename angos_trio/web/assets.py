"""Files that never change: each has the hash of its content in its name.

What a script imports is named so too, so that its own name changes with it.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Final

from angos_trio.records import Frozen

FOLDER: Final = "/_ui/static"
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HASH_DIGITS: Final = 12
_IMPORT: Final = re.compile(rb'(?<= from "\./)[a-z]+\.js(?=";\n)')
"""What a script takes from another one, by the name of its file."""


class Asset(Frozen):
    """A file as it is sent."""

    content: bytes
    media_type: str


class Assets(Frozen):
    """All of them by the name in their address, and these names by those of the files."""

    by_name: Mapping[str, Asset]
    names: Mapping[str, str]

    def path(self, file: str) -> str:
        """Where a file is, by its own name such as `app.css`."""
        return f"{FOLDER}/{self.names[file]}"


@functools.cache
def assets() -> Assets:
    """Read once, also out of a zip file."""
    folder = resources.files("angos_trio.web").joinpath("static")
    left = {file.name: file.read_bytes() for file in folder.iterdir()}
    by_name: dict[str, Asset] = {}
    names: dict[str, str] = {}
    while left:
        # One that takes nothing from what has no name yet; scripts do not import in a circle.
        file = next(name for name, content in left.items() if _needs(content) <= names.keys())
        stem, _, ending = file.rpartition(".")
        content = _IMPORT.sub(lambda found: names[found[0].decode()].encode(), left.pop(file))
        if ending in _TYPES:
            name = f"{stem}-{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}.{ending}"
            by_name[name], names[file] = Asset(content, _TYPES[ending]), name
    return Assets(by_name, names)


def _needs(content: bytes) -> set[str]:
    """The files that a script imports."""
    return {found.decode() for found in _IMPORT.findall(content)}
