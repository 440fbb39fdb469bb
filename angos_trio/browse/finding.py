"""Finding namespaces, tags and digests by a part of their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from angos_trio.identity import Action, Caller, Target
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.lists import FOUND_EXAMINED_MAX, FOUND_MAX
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import ALGORITHMS, Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.records import Frozen, field
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import finding

_SCHEME: Final = re.compile(r"(?:https?|oci|docker)://", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9a-f]{12,128}")
_DIGEST: Final = re.compile(rf"(?:{'|'.join(ALGORITHMS)}):[0-9a-f]{{4,128}}")


class Sought(Frozen):
    """What somebody looks for: a part of a namespace's name, the beginning of a tag, that of a
    digest."""

    name: str = ""
    tag: str | None = None
    digest: str | None = None


def parse_sought(text: str) -> Sought:
    """`nginx`, `nginx:1.2`, `sha256:ab12`, twelve hexadecimal digits, or an image as a terminal
    shows it: `host:5000/team/app:v1@sha256:…`, of which the host counts for nothing."""
    text = _SCHEME.sub("", text.strip(), count=1).strip("/")
    digest = text.rpartition("@")[2].lower()
    if _DIGEST.fullmatch(digest) is not None:
        return Sought(digest=digest)
    if _HEX.fullmatch(text.lower()) is not None:
        return Sought(digest=f"sha256:{text.lower()}")
    text = _without_host(text)
    name, colon, tag = text.rpartition(":")
    return Sought(name.lower(), tag) if colon and "/" not in tag else Sought(text.lower())


def _without_host(text: str) -> str:
    """Without a first part that can only be a host: it has a dot before a port, or a port."""
    first, slash, rest = text.partition("/")
    is_host = bool(slash) and (":" in first or "." in first or first == "localhost")
    return rest if is_host else text


class Pasted(Frozen):
    """What an image as a terminal shows it names: a namespace, and a tag or a digest in it."""

    name: RepositoryName
    reference: Tag | Digest | None = None


def parse_pasted(text: str) -> Pasted | None:
    """`host:5000/team/app:v1`, with a scheme or a digest: whoever writes the host means this and
    nothing like it. None for a part of a name, and for what can be none."""
    bare = _SCHEME.sub("", text.strip(), count=1).strip("/")
    rest = _without_host(bare)
    if rest == bare:
        return None
    left, at, digest = rest.partition("@")
    name, colon, tag = left.rpartition(":")
    try:
        named = RepositoryName(name if colon else left)
        if at:
            return Pasted(named, Digest(digest))
        return Pasted(named, Tag(tag) if colon else None)
    except OciError:
        return None


async def find_pasted(registry: Registry, caller: Caller, text: str) -> Pasted | None:
    """What a text names exactly, if it is there and the caller sees its namespace."""
    pasted = parse_pasted(text)
    if pasted is None or pasted.name not in await _seen(caller, [pasted.name]):
        return None
    query = partial(finding.has, namespace=pasted.name, reference=pasted.reference)
    return pasted if await registry.storage.read_point(query) else None


class Found(Frozen):
    """What was found, at most so many of each."""

    namespaces: list[str] = field(default_factory=list)
    tags: list[tuple[str, str, str]] = field(default_factory=list)
    """Namespace, tag, digest."""
    manifests: list[tuple[str, str, str]] = field(default_factory=list)
    """Namespace, digest, what it is."""
    blobs: list[tuple[str, str, int]] = field(default_factory=list)
    """Namespace, digest, bytes."""


async def find(registry: Registry, caller: Caller, text: str) -> Found:
    """What there is by a text, as far as the caller sees it."""
    sought = parse_sought(text)
    storage = registry.storage
    if sought.digest is not None:
        limit = FOUND_EXAMINED_MAX
        manifests = await storage.read(
            partial(finding.manifests_beginning, beginning=sought.digest, limit=limit)
        )
        blobs = await storage.read(
            partial(finding.blobs_beginning, beginning=sought.digest, limit=limit)
        )
        held = await _seen(caller, [row[0] for row in (*manifests, *blobs)])
        seen = await _allowed(caller, Action.LIST_REVISIONS, sorted(held))
        return Found(
            manifests=[row for row in manifests if row[0] in seen][:FOUND_MAX],
            blobs=[row for row in blobs if row[0] in seen][:FOUND_MAX],
        )
    if not sought.name and not sought.tag:
        return Found()
    names = await storage.read(
        partial(finding.namespaces_with, text=sought.name, limit=FOUND_EXAMINED_MAX)
    )
    seen = await _seen(caller, names)
    namespaces = [name for name in names if name in seen][:FOUND_MAX]
    if sought.tag is None:
        return Found(namespaces)
    listed = await _allowed(caller, Action.LIST_TAGS, namespaces)
    return Found(tags=await _tags(registry, [n for n in namespaces if n in listed], sought.tag))


async def _tags(
    registry: Registry, namespaces: list[str], beginning: str
) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for name in namespaces:
        left = FOUND_MAX - len(found)
        query = partial(finding.tags_beginning, namespace=name, beginning=beginning, limit=left)
        found += [(name, *row) for row in await registry.storage.read(query)]
        if len(found) >= FOUND_MAX:
            break
    return found


async def _allowed(caller: Caller, action: Action, names: Sequence[str]) -> set[str]:
    """Those whose lists the caller may have: to see a namespace it is enough to pull from it. What
    a webhook has not decided in time is left out."""
    allowed = set()
    with trio.move_on_after(WEBHOOK_QUESTIONS_SECS_MAX):
        for name in names:
            if (await caller.may(action, Target(name))).allowed:
                allowed.add(name)
    return allowed


async def _seen(caller: Caller, names: list[str]) -> set[str]:
    different = list(dict.fromkeys(names))
    await caller.learn(different, trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
    return {name for name in different if caller.sees(name)}
