"""The namespaces below a name by the first segment of the rest of their names: a folder of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from angos_trio.browse import repositories
from angos_trio.browse.overview import part_of, sees_whole, uploads_below
from angos_trio.browse.repositories import Summed
from angos_trio.browse.selection import Order, Page, Selection, Wanted
from angos_trio.identity import Caller
from angos_trio.limits.lists import FOLDED_EXAMINED_MAX, FOLDED_FROM, FOLDED_LESS
from angos_trio.limits.requests import PAGE_ENTRIES_MAX
from angos_trio.records import replace
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import below
from angos_trio.storage.metadata.below import OWN
from angos_trio.storage.transactions import Rows

ALL: Final = 2**31
"""More namespaces than there are."""


class Folder(Summed):
    """The namespaces whose names go on with a segment, added up; `OWN` is the name itself. `deeper`
    are those that go on behind it."""

    segment: str
    deeper: int = 0


ORDERS: Final[Mapping[str, Order[Folder]]] = {
    "manifests": lambda folder: folder.manifests,
    "tags": lambda folder: folder.tags,
    "size": lambda folder: folder.held_bytes,
    "pushed": lambda folder: folder.last_pushed_at or 0,
}
"""By what folders can be sorted, besides their names."""


async def is_foldable(registry: Registry, caller: Caller, name: str, namespaces: int) -> bool:
    """Whether so many namespaces below a name may be better looked at by folders: the first of them
    are in half as many. For who does not see all of them the look at all folders decides."""
    if namespaces <= FOLDED_FROM:
        return False
    if not sees_whole(registry, caller, name):
        return True
    part = part_of(registry, name)

    def query(rows: Rows) -> int:
        return below.count_folders(rows, part, FOLDED_EXAMINED_MAX)

    return await registry.storage.read(query) * FOLDED_LESS <= min(namespaces, FOLDED_EXAMINED_MAX)


async def look_at_folders(
    registry: Registry, caller: Caller, name: str, wanted: Wanted
) -> Page[Folder]:
    """A page of the folders at a name, as far as the caller sees what is in them; of a repository
    only what belongs to it. Raises as `Selection` does."""
    selection = Selection[Folder](wanted, lambda folder: folder.segment, ORDERS)
    if sees_whole(registry, caller, name):
        return await _page_of_whole(registry, name, wanted, selection)
    for folder in (await _each(registry, caller, name)).values():
        selection.offer(folder)
    return selection.page()


async def _page_of_whole(
    registry: Registry, name: str, wanted: Wanted, selection: Selection[Folder]
) -> Page[Folder]:
    """The same for who sees all of it: the database adds up and sorts. Namespaces that only take
    uploads have no rows there: they make folders of their own, or one more in one that is there."""
    part, counts = part_of(registry, name), await uploads_below(registry, name)
    order = below.Order(wanted.sort, wanted.is_descending, selection.after)

    def query(rows: Rows) -> tuple[list[below.FolderSums], int, set[str], set[str]]:
        page = below.page_of_folders(rows, part, order, min(wanted.size, PAGE_ENTRIES_MAX) + 1)
        total = below.count_folders(rows, part, ALL)
        holding = below.with_content(rows, list(counts))
        segments = {_place(each, name)[0] for each in counts}
        new = {each for each in segments if _is_new(rows, part, name, each)}
        return page, total, holding, new

    page, total, holding, new = await registry.storage.read(query)
    found = {segment: Folder(segment) for segment in new}
    for each in page:
        found[each.segment] = Folder(each.segment, each.deeper).summed(each)
    for full, count in counts.items():
        segment, is_deeper = _place(full, name)
        if segment in found:
            is_new = full not in holding
            folder = found[segment].uploading(count, is_new=is_new)
            found[segment] = replace(folder, deeper=folder.deeper + (is_new and is_deeper))
    for folder in found.values():
        selection.offer(folder)
    return replace(selection.page(), matching=total + len(new))


def _is_new(rows: Rows, part: below.Part, name: str, segment: str) -> bool:
    """Whether nothing of a folder holds a manifest."""
    if segment == OWN:
        return not below.with_content(rows, [name])
    return below.is_empty(rows, replace(part, name=f"{name}/{segment}"))


async def _each(registry: Registry, caller: Caller, name: str) -> dict[str, Folder]:
    """By a look at each namespace."""
    is_repository = repositories.owner_of(registry, name) == name
    counts = await registry.storage.sessions.counts()
    found: dict[str, Folder] = {}
    after: str | None = ""
    while after is not None:
        batch = await repositories.list_below(registry, caller, name, after, counts)
        for namespace in batch.namespaces:
            full = namespace.row.name
            if not is_repository or repositories.owner_of(registry, full) == name:
                segment, is_deeper = _place(full, name)
                folder = found.get(segment, Folder(segment))
                folder = folder.plus([namespace])
                found[segment] = replace(folder, deeper=folder.deeper + is_deeper)
        after = batch.next_after
    return found


def _place(full: str, name: str) -> tuple[str, bool]:
    """The folder of a namespace below a name, and whether its own name goes on behind that."""
    segment, slash, _ = repositories.relative_name(full, name).partition("/")
    return segment or OWN, bool(slash)
