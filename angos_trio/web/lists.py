"""A list on a page: its columns with the links that sort, its pages, its filter."""

from __future__ import annotations

from collections.abc import Sequence

from angos_trio.records import Frozen
from angos_trio.web.asking import Asked
from angos_trio.web.words import counted, number

_STATES = {False: "ascending", True: "descending"}


class Column(Frozen):
    """A column; `href` sorts by it, `state` says how it is sorted."""

    key: str
    label: str
    href: str = ""
    state: str = ""


class ListView(Frozen):
    """What the templates need of a list. `total` is without the filter, `kept` is what the form of
    the filter sends on. `is_plain`: the first page in the order that nobody asked for, where what
    is new may appear by itself."""

    path: str
    contains: str
    kept: list[tuple[str, str]]
    columns: list[Column]
    count: str
    total: int
    first: str
    next: str
    cleared: str
    is_plain: bool
    is_sifted: bool = False
    """Whether it is chosen by something besides its names."""


class Counts(Frozen):
    """How many there are, and how many of these are left by what the list is filtered by."""

    total: int
    matching: int
    noun: str
    nouns: str = ""
    is_whole: bool = True
    """False: there are so many at least."""


def list_view(
    asked: Asked, columns: Sequence[tuple[str, str]], counts: Counts, next_after: str | None
) -> ListView:
    """The list that was asked for; columns are key and label, those without an order have none."""
    more = "" if counts.is_whole else "+"
    total = counted(counts.total, counts.noun, counts.nouns).replace(" ", f"{more} ", 1)
    is_part = asked.contains or (asked.facets and counts.matching != counts.total)
    nothing = dict.fromkeys(asked.facets, "")
    return ListView(
        path=asked.link.path,
        contains=asked.contains,
        kept=asked.link.kept("q", "after", *asked.facets),
        columns=[_column(asked, key, label) for key, label in columns],
        count=f"{number(counts.matching)}{more} of {total}" if is_part else total,
        total=counts.total,
        first=asked.link.having(after="") if asked.after else "",
        next=asked.link.having(after=next_after) if next_after is not None else "",
        cleared=asked.link.having(q="", after="", **nothing),
        is_plain=not asked.after
        and not {"sort", "order"} & {name for name, _ in asked.link.parameters},
        is_sifted=bool(asked.facets),
    )


def _column(asked: Asked, key: str, label: str) -> Column:
    if key.startswith("-"):
        return Column(key[1:], label)
    is_here = asked.sort == key
    is_next_descending = not asked.is_descending if is_here else key != "name"
    order = "desc" if is_next_descending else "asc"
    href = asked.link.having(sort=key, order=order, after="")
    return Column(key, label, href, _STATES[asked.is_descending] if is_here else "")
