"""Repositories, and the namespaces of one: sums, and pages of rows in an order. What looks at each
row does so in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from angos_trio.records import Frozen
from angos_trio.storage.metadata.listings import NAMESPACE, NamespaceRow
from angos_trio.storage.transactions import Rows


class Sums(Frozen):
    """Over the namespaces of a repository that hold a manifest: sizes in bytes, the last push in
    epoch seconds."""

    repository: str
    namespaces: int
    manifests: int
    tags: int
    held_bytes: int
    last_pushed_at: int | None


def owner_of(deep: Sequence[str]) -> tuple[str, list[str]]:
    """The repository of a `name`, as SQL with its values: the longest of `deep` that fits at a
    slash, or else the first segment. `deep` are configured names that have a slash in them."""
    first = "substr(name, 1, instr(name || '/', '/') - 1)"
    if not deep:
        return first, []
    whens, values = [], []
    for name in sorted(deep, key=len, reverse=True):
        whens.append("WHEN name = ? OR (name >= ? AND name < ?) THEN ?")
        values += [name, f"{name}/", f"{name}0", name]  # 0 follows the slash
    return f"CASE {' '.join(whens)} ELSE {first} END", values


def sums_by_repository(rows: Rows, deep: Sequence[str]) -> list[Sums]:
    """The sums of all repositories, in no order; see `owner_of` for `deep`."""
    owner, values = owner_of(deep)
    found = rows.execute(
        f"SELECT {owner} AS repository, count(*), sum(manifest_count), sum(tag_count), "
        "total(held_bytes), max(last_pushed_at) FROM namespaces WHERE manifest_count > 0 "
        "GROUP BY repository",
        values,
    )
    return [Sums(row[0], row[1], row[2], row[3], int(row[4]), row[5]) for row in found]


class Part(Frozen):
    """The namespaces that hold a manifest, of this name and below it; with a repository those that
    belong to it. `contains` is a text in lower case that is in their names; see `owner_of` for
    `deep`."""

    name: str
    repository: str | None = None
    deep: tuple[str, ...] = ()
    contains: str = ""

    def where(self) -> tuple[str, list[Any]]:
        """As SQL, with its values."""
        below = (f"{self.name}/", f"{self.name}0")  # 0 follows the slash
        # The first bounds are for the index, the others for names such as `a-b` beside `a/b`.
        text = "manifest_count > 0 AND name >= ? AND name < ? AND (name = ? OR name >= ?)"
        values: list[Any] = [self.name, below[1], self.name, below[0]]
        if self.repository is not None:
            owner, more = owner_of(self.deep)
            text, values = f"{text} AND {owner} = ?", [*values, *more, self.repository]
        if self.contains:
            text, values = f"{text} AND instr(name, ?) > 0", [*values, self.contains]
        return text, values


ORDERS: Final[Mapping[str, str]] = {
    "name": "0",
    "manifests": "manifest_count",
    "tags": "tag_count",
    "size": "held_bytes",
    "pushed": "coalesce(last_pushed_at, 0)",
}
"""By what namespaces can be sorted; their names come second."""


class Order(Frozen):
    """An order, and where a page of it begins: strictly behind a value and a name, or at once."""

    by: str = "name"
    is_descending: bool = False
    after: tuple[int, str] | None = None


def page_of(rows: Rows, part: Part, order: Order, limit: int) -> list[NamespaceRow]:
    """Some namespaces in an order."""
    where, values = part.where()
    column = ORDERS[order.by]
    direction, sign = ("DESC", "<") if order.is_descending else ("ASC", ">")
    by = f"name {direction}" if order.by == "name" else f"{column} {direction}, name {direction}"
    if order.after is not None:
        where, values = f"{where} AND ({column}, name) {sign} (?, ?)", [*values, *order.after]
    found = rows.execute(
        f"SELECT {NAMESPACE} FROM namespaces WHERE {where} ORDER BY {by} LIMIT ?",
        [*values, limit],
    )
    return [NamespaceRow(*row) for row in found]


def sums_of(rows: Rows, part: Part) -> Sums:
    """The sums over a part."""
    where, values = part.where()
    row = rows.execute(
        "SELECT count(*), total(manifest_count), total(tag_count), total(held_bytes), "
        f"max(last_pushed_at) FROM namespaces WHERE {where}",
        values,
    ).fetchone()
    manifests, tags, held = map(int, row[1:4])
    return Sums(part.repository or part.name, row[0], manifests, tags, held, row[4])


def with_content(rows: Rows, names: Sequence[str]) -> set[str]:
    """Those of some names whose namespaces hold a manifest."""
    query = "SELECT 1 FROM namespaces WHERE name = ? AND manifest_count > 0"
    return {name for name in names if rows.execute(query, (name,)).fetchone() is not None}


OWN: Final = "/"
"""The segment of what has no other: the name itself, which stands before all."""


class FolderSums(Frozen):
    """Over the namespaces whose names go on with one segment; `deeper` are those that go on behind
    it."""

    segment: str
    namespaces: int
    deeper: int
    manifests: int
    tags: int
    held_bytes: int
    last_pushed_at: int | None


FOLDER_ORDERS: Final[Mapping[str, str]] = {
    "name": "0",
    "manifests": "manifests",
    "tags": "tags",
    "size": "held_bytes",
    "pushed": "coalesce(last_pushed_at, 0)",
}
"""By what folders can be sorted; their segments come second."""


def _segment(name: str) -> tuple[str, list[Any]]:
    """The first segment behind a name, as SQL over names below it."""
    rest = "substr(name, ?)"
    segment = f"substr({rest}, 1, instr({rest} || '/', '/') - 1)"
    return f"coalesce(nullif({segment}, ''), '{OWN}')", [len(name) + 2] * 2


def count_folders(rows: Rows, part: Part, examined: int) -> int:
    """How many segments so many names of a part, the first in byte order, go on with."""
    segment, first = _segment(part.name)
    where, values = part.where()
    found = rows.execute(
        f"SELECT count(DISTINCT {segment}) FROM ("
        f"SELECT name FROM namespaces WHERE {where} ORDER BY name LIMIT ?)",
        [*first, *values, examined],
    )
    return int(found.fetchone()[0])


def page_of_folders(rows: Rows, part: Part, order: Order, limit: int) -> list[FolderSums]:
    """Some of the segments that the names of a part go on with, in an order."""
    segment, first = _segment(part.name)
    where, values = part.where()
    column = FOLDER_ORDERS[order.by]
    direction, sign = ("DESC", "<") if order.is_descending else ("ASC", ">")
    first_by = "" if order.by == "name" else f"{column} {direction}, "
    behind, after = "", list[Any]()
    if order.after is not None:
        behind, after = f"WHERE ({column}, segment) {sign} (?, ?) ", [*order.after]
    found = rows.execute(
        f"SELECT * FROM (SELECT {segment} AS segment, count(*) AS namespaces, "
        "sum(instr(substr(name, ?), '/') > 0) AS deeper, sum(manifest_count) AS manifests, "
        "sum(tag_count) AS tags, total(held_bytes) AS held_bytes, "
        f"max(last_pushed_at) AS last_pushed_at FROM namespaces WHERE {where} GROUP BY segment) "
        f"{behind}ORDER BY {first_by}segment {direction} LIMIT ?",
        [*first, len(part.name) + 2, *values, *after, limit],
    )
    return [
        FolderSums(row[0], row[1], row[2], row[3], row[4], int(row[5]), row[6]) for row in found
    ]


def is_empty(rows: Rows, part: Part) -> bool:
    """Whether no namespace of a part holds a manifest."""
    where, values = part.where()
    found = rows.execute(f"SELECT 1 FROM namespaces WHERE {where} LIMIT 1", values)
    return found.fetchone() is None
