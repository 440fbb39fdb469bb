"""What tags of a namespace are, counted: by role, platforms, and whether they are signed. Triggers
keep the counts; a text that is in names costs a look at the names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows

_FALLBACK: Final = "(t.name GLOB 'sha256-*' AND length(t.name) >= 71)"
"""As the view `faceted_tags` has it."""
_HAS_PLATFORM: Final = "instr(' ' || platforms || ' ', ' ' || ? || ' ') > 0"


class Group(Frozen):
    """Rows that are the same by all facets, and how many they are."""

    role: str
    platforms: tuple[str, ...]
    is_signed: bool
    count: int


class Facets(Frozen):
    """What rows are chosen by: a role, a platform of them, and whether they are signed; what is
    empty or None leaves nothing out."""

    role: str = ""
    platform: str = ""
    is_signed: bool | None = None

    @property
    def is_any(self) -> bool:
        """Whether something is left out."""
        return bool(self.role or self.platform) or self.is_signed is not None

    def leave(self, group: Group) -> bool:
        """Whether rows of a group are among what is chosen."""
        return (
            self.role in ("", group.role)
            and (not self.platform or self.platform in group.platforms)
            and self.is_signed in (None, group.is_signed)
        )

    def conditions(self, role: str, signed: str) -> tuple[list[str], list[Any]]:
        """As SQL with its values, over columns of these names and `platforms`."""
        texts: list[str] = []
        values: list[Any] = []
        if self.role:
            texts, values = [*texts, f"{role} = ?"], [*values, self.role]
        if self.platform:
            texts, values = [*texts, _HAS_PLATFORM], [*values, self.platform]
        if self.is_signed is not None:
            texts, values = [*texts, f"{signed} = ?"], [*values, int(self.is_signed)]
        return texts, values


ALL: Final = Facets()
"""Nothing is left out."""


class TagFilter(Frozen):
    """Which tags of a namespace: those that have a text in lower case in them, of some facets, and
    perhaps without those that are named after a digest."""

    contains: str = ""
    hides_fallback: bool = False
    facets: Facets = ALL

    def where(self, namespace: int) -> tuple[str, list[Any]]:
        """As SQL about tags `t`, with its values."""
        text = "t.namespace = ? "
        values: list[Any] = [namespace]
        if self.contains:
            text, values = f"{text}AND instr(lower(t.name), ?) > 0 ", [*values, self.contains]
        if self.hides_fallback:
            text += f"AND NOT {_FALLBACK} "
        if self.facets.is_any:
            conditions, more = self.facets.conditions("role", "is_signed")
            both = " AND ".join(["namespace = ?", *conditions])
            text += f"AND t.facet IN (SELECT id FROM tag_facets WHERE {both}) "
            values = [*values, namespace, *more]
        return text, values


def groups_of(found: Iterable[tuple[str, str, int, int]]) -> list[Group]:
    """Rows of role, platforms, signed and count."""
    return [Group(row[0], tuple(row[1].split()), bool(row[2]), row[3]) for row in found]


def tag_groups(rows: Rows, namespace: int, wanted: TagFilter) -> list[Group]:
    """The groups of the tags that have the text in them; the facets of the filter count for
    nothing."""
    if wanted.contains:
        where, values = TagFilter(wanted.contains, wanted.hides_fallback).where(namespace)
        found = rows.execute(
            "SELECT f.role, f.platforms, f.is_signed, sum(c.tags) FROM ("
            f"SELECT t.facet, count(*) AS tags FROM tags t WHERE {where}GROUP BY t.facet) c "
            "JOIN tag_facets f ON f.id = c.facet GROUP BY f.role, f.platforms, f.is_signed",
            values,
        )
    else:
        hidden = "AND is_fallback = 0 " if wanted.hides_fallback else ""
        found = rows.execute(
            "SELECT role, platforms, is_signed, sum(tag_count) FROM tag_facets "
            f"WHERE namespace = ? {hidden}GROUP BY role, platforms, is_signed",
            (namespace,),
        )
    return groups_of(found)


def count_again(rows: Rows, namespace: int) -> None:
    """Make what is recorded of the tags of a namespace, and counted, what it is."""
    _recount(rows, namespace)
    rows.execute(
        "INSERT INTO tag_facets (namespace, role, platforms, is_signed, is_fallback) "
        "SELECT DISTINCT namespace, role, platforms, is_signed, is_fallback FROM faceted_tags "
        "WHERE namespace = ? AND facet IS NULL",
        (namespace,),
    )
    rows.execute(
        "UPDATE tags AS g SET facet = (SELECT w.facet FROM faceted_tags w "
        "WHERE w.namespace = g.namespace AND w.name = g.name) "
        "WHERE namespace = ? AND facet IS NOT (SELECT w.facet FROM faceted_tags w "
        "WHERE w.namespace = g.namespace AND w.name = g.name)",
        (namespace,),
    )
    _recount(rows, namespace)
    rows.execute("DELETE FROM tag_facets WHERE namespace = ? AND tag_count = 0", (namespace,))


def _recount(rows: Rows, namespace: int) -> None:
    rows.execute(
        "UPDATE tag_facets AS f SET tag_count = (SELECT count(*) FROM tags g "
        "WHERE g.namespace = f.namespace AND g.facet = f.id) WHERE namespace = ?",
        (namespace,),
    )
