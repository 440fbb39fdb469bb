"""What pages show of repositories and of what is below a name: sums, and a page of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio

from angos_trio.browse import repositories
from angos_trio.browse.repositories import Namespace, Repository
from angos_trio.browse.selection import Order, Page, Selection, Wanted
from angos_trio.identity import Caller
from angos_trio.limits import RELATED_MAX, WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.registry.context import Registry

REPOSITORY_ORDERS: Final[Mapping[str, Order[Repository]]] = {
    "namespaces": lambda repository: repository.namespaces,
    "tags": lambda repository: repository.tags,
    "size": lambda repository: repository.held_bytes,
    "pushed": lambda repository: repository.last_pushed_at or 0,
}
"""By what repositories can be sorted, besides their names."""
NAMESPACE_ORDERS: Final[Mapping[str, Order[Namespace]]] = {
    "manifests": lambda namespace: namespace.row.manifest_count,
    "tags": lambda namespace: namespace.row.tag_count,
    "size": lambda namespace: namespace.row.held_bytes,
    "pushed": lambda namespace: namespace.row.last_pushed_at or 0,
}
"""The same of namespaces."""


@dataclass(frozen=True, slots=True)
class Below:
    """What the caller sees at a name and below it: `sums` of all of it, a page of it, whether the
    name itself is a namespace, and the configured repositories whose names begin with it."""

    sums: Repository
    page: Page[Namespace]
    is_namespace: bool
    inner: list[str]


async def page_of_repositories(
    registry: Registry, caller: Caller, wanted: Wanted
) -> tuple[Page[Repository], int]:
    """A page of repositories, and how many there are. Raises as `Selection` does."""
    selection = Selection[Repository](wanted, lambda each: each.name, REPOSITORY_ORDERS)
    found = await repositories.list_repositories(registry, caller)
    for repository in found:
        selection.offer(repository)
    return selection.page(), len(found)


async def look_below(registry: Registry, caller: Caller, name: str, wanted: Wanted) -> Below:
    """What is at a name and below it; of a repository only what belongs to it.

    Raises NAME_UNKNOWN (404) where the caller sees nothing, and as `Selection` does.
    """
    selection = Selection[Namespace](wanted, lambda each: each.row.name, NAMESPACE_ORDERS)
    sums = repositories.empty_repository(registry, name)
    is_repository = repositories.owner_of(registry, name) == name
    is_namespace = False
    after: str | None = ""
    while after is not None:
        batch = await repositories.list_below(registry, caller, name, after)
        mine = [
            namespace
            for namespace in batch.namespaces
            if not is_repository or repositories.owner_of(registry, namespace.row.name) == name
        ]
        sums = sums.plus(mine)
        for namespace in mine:
            is_namespace = is_namespace or namespace.row.name == name
            selection.offer(namespace)
        after = batch.next_after
    inner = await _configured_below(registry, caller, name)
    if not sums.namespaces and not inner and not (sums.is_configured and caller.sees(name)):
        raise OciError(Code.NAME_UNKNOWN, detail=name)
    return Below(sums, selection.page(), is_namespace, inner)


async def _configured_below(registry: Registry, caller: Caller, name: str) -> list[str]:
    """In byte order, those that the caller sees; the first of them if they are many."""
    known = registry.tag_rules.by_repository
    found = sorted(each for each in known if each.startswith(f"{name}/"))[:RELATED_MAX]
    await caller.learn(found, trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
    return [each for each in found if caller.sees(each)]


async def first_below(
    registry: Registry, caller: Caller, name: str, limit: int
) -> tuple[list[Namespace], bool]:
    """The first namespaces below a name, and whether there are more; one look, however many."""
    batch = await repositories.list_below(registry, caller, name)
    found = [each for each in batch.namespaces if each.row.name != name]
    return found[:limit], len(found) > limit or batch.next_after is not None
