"""The best of what comes along: a page of rows in an order that people choose, out of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from angos_trio.browse.cursors import cursor_of, parse_cursor
from angos_trio.records import Frozen

Item = TypeVar("Item")
Order = Callable[[Item], int]
NAME = "name"


class Wanted(Frozen):
    """Which rows, in which order: `after` is the cursor that a page before gave."""

    size: int
    after: str = ""
    contains: str = ""
    sort: str = NAME
    is_descending: bool = False


class Page(Frozen, Generic[Item]):
    """Rows of a page; `next_after` is where the next one begins, `matching` counts all that have
    the text in them."""

    rows: list[Item]
    next_after: str | None
    matching: int


class Selection(Generic[Item]):
    """Keeps so many as a page wants and one more, however many are offered."""

    def __init__(
        self, wanted: Wanted, name_of: Callable[[Item], str], orders: Mapping[str, Order[Item]]
    ) -> None:
        """`orders` say by what rows are sorted besides their names.

        Raises PAGINATION_NUMBER_INVALID (400) for a cursor of another order.
        """
        self._wanted = wanted
        self._name_of = name_of
        self._order = orders.get(wanted.sort)
        self._contains = wanted.contains.lower()
        self._after = self._place(wanted.after) if wanted.after else None
        self.after = self._after
        """Where the page begins, as a value and a name."""
        self._kept: list[tuple[tuple[int, str], Item]] = []
        self._last: tuple[int, str] | None = None
        """Nothing behind it is wanted any more."""
        self.matching = 0

    def offer(self, item: Item) -> None:
        """One more."""
        name = self._name_of(item)
        if self._contains not in name:
            return
        self.matching += 1
        key = (0 if self._order is None else self._order(item), name)
        if self._after is not None and not self._is_behind(key, self._after):
            return
        if self._last is not None and self._is_behind(key, self._last):
            return
        self._kept.append((key, item))
        if len(self._kept) > 4 * (self._wanted.size + 1):
            self._cut()

    def page(self) -> Page[Item]:
        """What is left of all that was offered."""
        self._cut()
        size = self._wanted.size
        has_more = 0 < size < len(self._kept)
        next_after = self._cursor(self._kept[size - 1][0]) if has_more else None
        return Page([item for _, item in self._kept[:size]], next_after, self.matching)

    def _cut(self) -> None:
        self._kept.sort(key=lambda kept: kept[0], reverse=self._wanted.is_descending)
        del self._kept[self._wanted.size + 1 :]
        if len(self._kept) == self._wanted.size + 1:
            self._last = self._kept[-1][0]

    def _is_behind(self, key: tuple[int, str], after: tuple[int, str]) -> bool:
        return key < after if self._wanted.is_descending else key > after

    def _cursor(self, key: tuple[int, str]) -> str:
        return key[1] if self._order is None else cursor_of(*key)

    def _place(self, after: str) -> tuple[int, str]:
        return (0, after) if self._order is None else parse_cursor(after)
