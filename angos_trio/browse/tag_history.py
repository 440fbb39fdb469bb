"""What a tag pointed to, and pointing it there again."""

from __future__ import annotations

from typing import Final

from angos_trio.browse.revisions import require_namespace
from angos_trio.identity import Action, Caller, Decision, Target
from angos_trio.limits.storage import TAG_HISTORY_ENTRIES_MAX
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.registry.pull import find_manifest, read_body
from angos_trio.registry.push_manifest import ManifestPush, push_manifest
from angos_trio.storage.metadata import namespaces, tags
from angos_trio.storage.metadata.tags import Change
from angos_trio.storage.transactions import Rows

_FIRST: Final = 2**63 - 1


class Pointing(Frozen):
    """A wish that a tag points to a manifest of its namespace."""

    name: RepositoryName
    tag: Tag
    digest: Digest


async def history_of(registry: Registry, name: RepositoryName, tag: Tag) -> list[Change]:
    """The last changes of a tag, the latest first. Raises NAME_UNKNOWN (404)."""
    namespace = await require_namespace(registry, name)
    return await registry.storage.read(
        lambda rows: tags.history(rows, namespace.number, tag, _FIRST, TAG_HISTORY_ENTRIES_MAX)
    )


async def checked_at(registry: Registry, name: RepositoryName, tag: Tag) -> int | None:
    """When a tag was last found to be as upstream has it, in epoch seconds."""
    return await registry.storage.read_point(lambda rows: tags.checked_at(rows, name, tag))


async def current_of(registry: Registry, name: RepositoryName, tag: Tag) -> Digest | None:
    """What a tag points to now."""

    def query(rows: Rows) -> Digest | None:
        namespace = namespaces.find(rows, name)
        return None if namespace is None else tags.find(rows, namespace, tag)

    return await registry.storage.read_point(query)


async def may_point(caller: Caller, name: RepositoryName, tag: Tag) -> Decision:
    """Whether policies let the caller set the tag: what they are asked of a push by it."""
    named: dict[str, str | list[str]] = {"reference": str(tag), "tags": [str(tag)]}
    return await caller.may(Action.PUT_MANIFEST, Target(name, named))


async def point(registry: Registry, caller: Caller, wanted: Pointing) -> None:
    """Push the manifest that is here once more, by its digest and with the tag: everything that a
    push is refused for refuses this, and the same events are told.

    Raises MANIFEST_UNKNOWN (404) when it is not here any more, and as `push_manifest` does.
    """
    registry.require_takes_pushes(wanted.name)
    found = await find_manifest(registry, wanted.name, wanted.digest)
    body = await read_body(registry, found)
    push = ManifestPush(wanted.name, wanted.digest, body, found.media_type, (wanted.tag,))
    await push_manifest(registry, caller, push)
