"""The namespaces below a name by the first segment of the rest of their names: a folder of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from angos_trio.browse import repositories
from angos_trio.browse.overview import part_of, sees_whole, uploads_below
from angos_trio.browse.repositories import Namespace
from angos_trio.browse.selection import Order, Page, Selection, Wanted
from angos_trio.identity import Caller
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import below
from angos_trio.storage.metadata.listings import NamespaceRow
from angos_trio.storage.transactions import Rows

FOLDED_FROM: Final = 200
"""More namespaces than this are shown as folders, where that makes fewer rows of them,"""
ROWS_LESS: Final = 2
"""so many times fewer at least."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The sums over namespaces whose names go on with a segment; empty is the name itself. `deeper`
    are those that go on behind it. Sizes in bytes, times in epoch seconds."""

    segment: str
    namespaces: int = 0
    deeper: int = 0
    manifests: int = 0
    tags: int = 0
    uploads: int = 0
    held_bytes: int = 0
    last_pushed_at: int | None = None

    def plus(self, namespace: Namespace, *, is_deeper: bool) -> Folder:
        """With a namespace more."""
        row = namespace.row
        times = (self.last_pushed_at, row.last_pushed_at)
        return replace(
            self,
            namespaces=self.namespaces + 1,
            deeper=self.deeper + is_deeper,
            manifests=self.manifests + row.manifest_count,
            tags=self.tags + row.tag_count,
            uploads=self.uploads + namespace.uploads,
            held_bytes=self.held_bytes + row.held_bytes,
            last_pushed_at=max((time for time in times if time is not None), default=None),
        )


_OWN: Final = "/"
"""Where the name itself stands among segments: before all, and not where a page begins anyway."""
ORDERS: Final[Mapping[str, Order[Folder]]] = {
    "manifests": lambda folder: folder.manifests,
    "tags": lambda folder: folder.tags,
    "size": lambda folder: folder.held_bytes,
    "pushed": lambda folder: folder.last_pushed_at or 0,
}
"""By what folders can be sorted, besides their names."""


async def is_foldable(registry: Registry, caller: Caller, name: str, namespaces: int) -> bool:
    """Whether so many namespaces below a name may be better looked at by folders: at most half as
    many. Of who does not see all of them only the look at the folders themselves says that."""
    if namespaces <= FOLDED_FROM:
        return False
    if not sees_whole(registry, caller, name):
        return True
    most = namespaces // ROWS_LESS
    part = part_of(registry, name)

    def query(rows: Rows) -> int:
        return below.count_folders(rows, part, most + 1)

    return await registry.storage.read(query) <= most


async def look_at_folders(
    registry: Registry, caller: Caller, name: str, wanted: Wanted
) -> Page[Folder]:
    """A page of the folders at a name, as far as the caller sees what is in them; of a repository
    only what belongs to it. Raises as `Selection` does."""
    selection = Selection[Folder](wanted, lambda folder: folder.segment or _OWN, ORDERS)
    gather = _whole if sees_whole(registry, caller, name) else _each
    for folder in (await gather(registry, caller, name)).values():
        selection.offer(folder)
    return selection.page()


async def _whole(registry: Registry, caller: Caller, name: str) -> dict[str, Folder]:
    """By sums that the database makes; namespaces that only take uploads come beside."""
    part, counts = part_of(registry, name), await uploads_below(registry, name)

    def query(rows: Rows) -> tuple[list[below.FolderSums], set[str]]:
        return below.folders_of(rows, part), below.with_content(rows, list(counts))

    sums, holding = await registry.storage.read(query)
    found = {
        each.segment: Folder(
            each.segment,
            each.namespaces,
            each.deeper,
            each.manifests,
            each.tags,
            0,
            each.held_bytes,
            each.last_pushed_at,
        )
        for each in sums
    }
    for each, count in counts.items():
        segment, is_deeper = _place(each, name)
        folder = found.get(segment, Folder(segment))
        if each not in holding:
            new = Namespace(NamespaceRow(0, each), count)
            found[segment] = folder.plus(new, is_deeper=is_deeper)
        else:
            found[segment] = replace(folder, uploads=folder.uploads + count)
    return found


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
                found[segment] = folder.plus(namespace, is_deeper=is_deeper)
        after = batch.next_after
    return found


def _place(full: str, name: str) -> tuple[str, bool]:
    """The folder of a namespace below a name, and whether its own name goes on behind that."""
    segment, slash, _ = repositories.relative_name(full, name).partition("/")
    return segment, bool(slash)
