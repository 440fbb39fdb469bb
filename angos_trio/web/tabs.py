"""The tabs of a manifest's page: what it is made of, its config, what is attached, who pulled it,
its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from angos_trio.browse.detail import Part
from angos_trio.http.reply import Reply
from angos_trio.oci.roles import Role
from angos_trio.records import Frozen
from angos_trio.storage.metadata.listings import RevisionRow
from angos_trio.web.words import number, short, spelled_lines

LAYERS: Final = "layers"
CONFIG: Final = "config"
ATTACHED: Final = "attached"
PULLS: Final = "pulls"
"""For those who may see them."""
JSON: Final = "json"
TABS: Final = (LAYERS, CONFIG, ATTACHED, PULLS, JSON)
BYTES: Final = "bytes"
"""What `show` asks for: the manifest itself, to be kept as a file."""
ATTACHED_AT_ONCE: Final = 100
TEXT_CHARACTERS_MAX: Final = 40_000
"""Of a manifest as it is shown; its bytes are whole."""
_URL_CHARACTERS_MAX: Final = 1000
_PREFIX: Final = "org.opencontainers.image."
_FRIENDLY: Final = {
    "created": "Created",
    "authors": "Authors",
    "url": "Home page",
    "source": "Source",
    "documentation": "Documentation",
    "version": "Version",
    "revision": "Revision",
    "vendor": "Vendor",
    "licenses": "Licences",
    "ref.name": "Name",
    "title": "Title",
    "description": "Description",
    "base.name": "Base image",
    "base.digest": "Base digest",
}
"""Keys of the OCI image specification ("Pre-Defined Annotation Keys")."""
_GROUPS: Final = (
    ("Signatures", frozenset({Role.SIGNATURE})),
    ("Bills of materials", frozenset({Role.SBOM})),
    ("Provenance", frozenset({Role.PROVENANCE})),
)
_HEADERS: Final = {
    "Content-Type": "application/octet-stream",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}
"""Of bytes of others: they can be kept, and never run here."""


class Annotation(Frozen):
    """A key as people say it and as it is; `url` is empty where the value leads nowhere."""

    name: str
    key: str
    value: str
    url: str


def annotations_of(annotations: Mapping[str, str]) -> list[Annotation]:
    """Those with a meaning first, in the order of their keys."""
    found = [
        Annotation(_FRIENDLY.get(key.removeprefix(_PREFIX), key), key, value, link_of(value))
        if key.startswith(_PREFIX)
        else Annotation(key, key, value, link_of(value))
        for key, value in sorted(annotations.items())
    ]
    return sorted(found, key=lambda each: each.name == each.key)


def link_of(text: str) -> str:
    """A text of others as an address that a page may lead to, or nothing: one of the web, whose
    host is what it seems to be."""
    is_plain = text.isascii() and text.isprintable() and not {" ", "\\", '"'} & set(text)
    if not is_plain or len(text) > _URL_CHARACTERS_MAX:
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    return text if is_web and "@" not in parts.netloc else ""


class AttachedRow(Frozen):
    """Something attached; `about` is the platform that it speaks of, empty for the whole."""

    row: RevisionRow
    about: str = ""


def groups_of(
    referrers: Sequence[RevisionRow], parts: Sequence[Part]
) -> list[tuple[str, list[AttachedRow]]]:
    """What is attached by what it is. `parts` of an index bring what BuildKit attests of others."""
    platforms: dict[str, str] = {part.digest: part.platform or short(part.digest) for part in parts}
    found = [
        *(AttachedRow(row) for row in referrers),
        *(
            AttachedRow(part.row, platforms.get(part.about, ""))
            for part in parts
            if part.about is not None and part.row is not None
        ),
    ]
    groups = [
        (heading, [each for each in found if each.row.role in roles]) for heading, roles in _GROUPS
    ]
    named = frozenset().union(*(roles for _, roles in _GROUPS))
    groups.append(("Other", [each for each in found if each.row.role not in named]))
    return [(heading, rows) for heading, rows in groups if rows]


def attached_count(referrers: Sequence[object], parts: Iterable[Part], most: int) -> str:
    """How much is attached, for the label of the tab; empty for nothing."""
    count = len(referrers) + sum(part.about is not None for part in parts)
    more = "+" if len(referrers) >= most else ""
    return f"{number(count)}{more}" if count else ""


class JsonView(Frozen):
    """A manifest laid out to be read; `is_whole` is False where the rest is left out."""

    text: str
    is_whole: bool


def json_view(body: bytes) -> JsonView:
    """What cannot be seen is spelled out, so that everything is what it seems. What is nested too
    deeply to be laid out is shown as it is."""
    try:
        text = _laid_out(body)
    except RecursionError:
        text = body[: TEXT_CHARACTERS_MAX * 4 + 1].decode("utf-8", "replace")
    return JsonView(spelled_lines(text[:TEXT_CHARACTERS_MAX]), len(text) <= TEXT_CHARACTERS_MAX)


def _laid_out(body: bytes) -> str:
    """A little more than what is shown of it: indents of what is deep are many times its size."""
    pieces, length = [], 0
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(json.loads(body)):
        pieces.append(piece)
        length += len(piece)
        if length > TEXT_CHARACTERS_MAX:
            break
    return "".join(pieces)


def download(name: str, digest: str, body: bytes) -> Reply:
    """The bytes as they were pushed, to be kept. Names and digests have no character that a file's
    name may not have, but for the slash and the colon."""
    file = f"{name.replace('/', '-')}-{short(digest)}.json"
    return Reply(200, {**_HEADERS, "Content-Disposition": f'attachment; filename="{file}"'}, body)
