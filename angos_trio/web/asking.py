"""What the address of a page asks for. What cannot be is left out, and said on the page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

from angos_trio.http.call import Query
from angos_trio.limits.lists import FILTER_CHARACTERS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.platform import is_platform
from angos_trio.records import Frozen, field
from angos_trio.web.words import visible

SIZES: Final = (25, 50, 100, 250)
SIZE: Final = 100
"""Rows of a page where nothing else is asked for."""
OPEN_MAX: Final = 10
"""Manifests of a tree that are open at once."""


class Link(Frozen):
    """The address of a page, as it would be with something changed."""

    path: str
    parameters: tuple[tuple[str, str], ...] = ()

    def having(self, **changes: str) -> str:
        """With parameters of these values; an empty one is taken out."""
        kept = [pair for pair in self.parameters if pair[0] not in changes]
        return self._text([*kept, *((name, value) for name, value in changes.items() if value)])

    def toggling(self, name: str, value: str) -> str:
        """With one value of a parameter that may be repeated added, or taken out if it is there."""
        pair = (name, value)
        if pair in self.parameters:
            return self._text(each for each in self.parameters if each != pair)
        return self._text([*self.parameters, pair])

    def kept(self, *left_out: str) -> list[tuple[str, str]]:
        """Parameters for a form that sends the others itself."""
        return [pair for pair in self.parameters if pair[0] not in left_out]

    def _text(self, parameters: Iterable[tuple[str, str]]) -> str:
        query = urlencode(list(parameters), quote_via=quote)
        return f"{self.path}?{query}" if query else self.path


class Choices(Frozen):
    """What a page offers: orders, the first of them where none is asked for, and views."""

    sorts: Sequence[str]
    views: Sequence[str] = ()
    is_descending: bool = False
    """How the first order goes where nothing is said."""
    shows: Sequence[str] = ()
    """What can be shown besides."""
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What rows can be chosen by, with the values that there are; any platform where none are."""


class Asked(Frozen):
    """What is asked for. `after` is a cursor that nobody has looked at; `view` may be empty."""

    link: Link
    sort: str
    is_descending: bool
    contains: str = ""
    after: str = ""
    size: int = SIZE
    view: str = ""
    opened: tuple[str, ...] = ()
    shown: str = ""
    notices: list[str] = field(default_factory=list)
    facets: Mapping[str, str] = field(default_factory=dict)
    """What rows are chosen by; nothing in it is empty."""

    @property
    def is_sifted(self) -> bool:
        """Whether it is not all that there is."""
        return bool(self.contains or self.facets)

    def without_cursor(self) -> Asked:
        """The first page instead of one that begins where nothing can."""
        parameters = tuple(pair for pair in self.link.parameters if pair[0] != "after")
        notices = [*self.notices, "The page that was asked for is not there; this is the first."]
        return Asked(
            Link(self.link.path, parameters),
            self.sort,
            self.is_descending,
            self.contains,
            size=self.size,
            view=self.view,
            opened=self.opened,
            shown=self.shown,
            notices=notices,
            facets=self.facets,
        )


def asked_of(path: str, query: Query, choices: Choices) -> Asked:
    """Read the query of a page; nothing in it is refused."""
    reader = _Reader(query)
    sort = reader.one("sort", choices.sorts) or choices.sorts[0]
    order = reader.one("order", ("asc", "desc"))
    is_default = sort == choices.sorts[0]
    is_descending = order == "desc" if order else is_default and choices.is_descending
    size = reader.one("n", [str(size) for size in SIZES])
    opened = tuple(reader.digests("open"))
    view = reader.one("view", choices.views) if choices.views else ""
    shown = reader.one("show", choices.shows) if choices.shows else ""
    found = {name: reader.facet(name, known) for name, known in choices.facets.items()}
    contains, after = reader.text("q"), reader.text("after")
    return Asked(
        link=Link(path, tuple(reader.parameters)),
        sort=sort,
        is_descending=is_descending,
        contains=contains,
        after=after,
        size=int(size) if size else SIZE,
        view=view,
        opened=opened,
        shown=shown,
        notices=reader.notices,
        facets={name: value for name, value in found.items() if value},
    )


def first_page(asked: Asked, error: OciError) -> Asked:
    """The same without its cursor. Raises the error where that is not to blame for it."""
    if error.code is not Code.PAGINATION_NUMBER_INVALID or not asked.after:
        raise error
    return asked.without_cursor()


def choose(query: Query, name: str, known: Sequence[str]) -> tuple[str, list[str]]:
    """The value of one parameter, the first of those that are known where nothing that can be is
    asked for; and what is to be said about that."""
    reader = _Reader(query)
    return reader.one(name, known) or known[0], reader.notices


class _Reader:
    """Takes values one by one; notes what was taken, and what was not and why."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self.parameters: list[tuple[str, str]] = []
        self.notices: list[str] = []

    def one(self, name: str, known: Collection[str]) -> str:
        """One of some values, or nothing."""
        values = self._query.all(name)
        if not values:
            return ""
        if values[-1] not in known:
            choices = ", ".join(known)
            self.notices.append(f"{name}={visible(values[-1], 40)} is left out: one of {choices}.")
            return ""
        self.parameters.append((name, values[-1]))
        return values[-1]

    def facet(self, name: str, known: Collection[str]) -> str:
        """One of some values, or any platform; an empty one, as a form sends it, is nothing."""
        value = next(iter(reversed(self._query.all(name))), "")
        if not value:
            return ""
        if known:
            return self.one(name, known)
        if not is_platform(value):
            self.notices.append(f"{name}={visible(value, 40)} is left out: it is no platform.")
            return ""
        self.parameters.append((name, value))
        return value

    def text(self, name: str) -> str:
        """Any text that is not too long."""
        values = self._query.all(name)
        if not values:
            return ""
        text = values[-1].strip()
        if len(text) > FILTER_CHARACTERS_MAX:
            self.notices.append(
                f"{name} is left out: it has more than {FILTER_CHARACTERS_MAX} characters."
            )
            return ""
        if text:
            self.parameters.append((name, text))
        return text

    def digests(self, name: str) -> list[str]:
        """Some digests, each once."""
        found: list[str] = []
        for value in dict.fromkeys(self._query.all(name)):
            try:
                digest = Digest(value)
            except OciError:
                self.notices.append(f"{name}={visible(value, 40)} is left out: it is no digest.")
                continue
            if len(found) < OPEN_MAX:
                found.append(digest)
                self.parameters.append((name, digest))
        return found
