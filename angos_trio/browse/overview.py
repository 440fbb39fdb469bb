"""What pages show of repositories and of what is below a name: sums, and a page of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import trio

from angos_trio.browse import repositories
from angos_trio.browse.repositories import Namespace, Repository
from angos_trio.browse.selection import Order, Page, Selection, Wanted
from angos_trio.identity import Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.lists import RELATED_MAX
from angos_trio.limits.requests import CATALOG_ROWS_AT_ONCE, PAGE_ENTRIES_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import below
from angos_trio.storage.metadata.below import Sums
from angos_trio.storage.metadata.listings import NamespaceRow
from angos_trio.storage.transactions import Rows

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


class Below(Frozen):
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
    inner = await _configured_below(registry, caller, name)
    if sees_whole(registry, caller, name):
        found = await _look_at_whole(registry, name, wanted)
    else:
        found = await _look_at_each(registry, caller, name, wanted)
    sums = found.sums
    if not sums.namespaces and not inner and not (sums.is_configured and caller.sees(name)):
        raise OciError(Code.NAME_UNKNOWN, detail=name)
    return replace(found, inner=inner)


def sees_whole(registry: Registry, caller: Caller, name: str) -> bool:
    """Whether it is known without a look at each that the caller sees all namespaces at a name and
    below it, of a repository those that belong to it."""
    is_repository = repositories.owner_of(registry, name) == name
    owners = {name} if is_repository else _owners_below(registry, name)
    return all(caller.sees_all(each) for each in owners)


def part_of(registry: Registry, name: str) -> below.Part:
    """The namespaces at a name and below it, of a repository those that belong to it."""
    is_repository = repositories.owner_of(registry, name) == name
    deep = tuple(repositories.deep_names(registry))
    return below.Part(name, name if is_repository else None, deep)


async def uploads_below(registry: Registry, name: str) -> dict[str, int]:
    """How many uploads the same namespaces take, of those that take some."""
    is_repository = repositories.owner_of(registry, name) == name
    return {
        each: count
        for each, count in (await registry.storage.sessions.counts()).items()
        if repositories.is_below(each, name)
        and (not is_repository or repositories.owner_of(registry, each) == name)
    }


def _owners_below(registry: Registry, name: str) -> set[str]:
    """The repositories that namespaces of this name and below it may belong to."""
    known = registry.tag_rules.by_repository
    return {
        repositories.owner_of(registry, name),
        *(each for each in known if each.startswith(f"{name}/")),
    }


async def _look_at_whole(registry: Registry, name: str, wanted: Wanted) -> Below:
    """The same for who sees all of it: the database adds up and sorts. Namespaces that only take
    uploads have no rows there, and come beside."""
    selection = Selection[Namespace](wanted, lambda each: each.row.name, NAMESPACE_ORDERS)
    part = part_of(registry, name)
    matching = replace(part, contains=wanted.contains.lower())
    order = below.Order(wanted.sort, wanted.is_descending, selection.after)
    counts = await uploads_below(registry, name)

    def query(rows: Rows) -> tuple[Sums, int, list[NamespaceRow], set[str], bool]:
        sums = below.sums_of(rows, part)
        fitting = below.sums_of(rows, matching).namespaces if wanted.contains else sums.namespaces
        page = below.page_of(rows, matching, order, min(wanted.size, PAGE_ENTRIES_MAX) + 1)
        holding = below.with_content(rows, list(counts))
        return sums, fitting, page, holding, bool(below.with_content(rows, [name]))

    sums, fitting, rows, holding, has_own = await registry.storage.read(query)
    total = repositories.empty_repository(registry, name).summed(sums)
    for each, count in counts.items():
        total = total.uploading(count, is_new=each not in holding)
        if each not in holding:
            fitting += wanted.contains.lower() in each
            selection.offer(Namespace(NamespaceRow(0, each), count))
    for row in rows:
        selection.offer(Namespace(row, counts.get(row.name, 0)))
    page = replace(selection.page(), matching=fitting)
    return Below(total, page, has_own or name in counts, [])


async def _look_at_each(registry: Registry, caller: Caller, name: str, wanted: Wanted) -> Below:
    """The same where the caller may see one namespace and not the next."""
    selection = Selection[Namespace](wanted, lambda each: each.row.name, NAMESPACE_ORDERS)
    sums = repositories.empty_repository(registry, name)
    is_repository = repositories.owner_of(registry, name) == name
    is_namespace = False
    counts = await registry.storage.sessions.counts()
    after: str | None = ""
    while after is not None:
        batch = await repositories.list_below(registry, caller, name, after, counts)
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
    return Below(sums, selection.page(), is_namespace, [])


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
    batch = await repositories.first_below(registry, caller, name, CATALOG_ROWS_AT_ONCE)
    found = [each for each in batch.namespaces if each.row.name != name]
    return found[:limit], len(found) > limit or batch.next_after is not None
