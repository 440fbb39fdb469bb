"""What the tags of a namespace can be chosen by, with how many there would be of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from angos_trio.browse.cursors import cursor_of, parse_cursor
from angos_trio.browse.pulled import pulled_of
from angos_trio.browse.revisions import Related, Revision, related_of
from angos_trio.browse.tag_list import WantedTags
from angos_trio.limits.lists import PLATFORM_CHOICES_MAX, UNTAGGED_EXAMINED_MAX
from angos_trio.oci.roles import Role
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import facets, listings, untagged
from angos_trio.storage.metadata.facets import Facets, Group
from angos_trio.storage.metadata.listings import NamespaceRow, RevisionRow
from angos_trio.storage.metadata.untagged import UntaggedGroups, UntaggedOrder
from angos_trio.storage.transactions import Rows

KINDS: Final = tuple(str(role) for role in Role)
"""What a manifest can be."""
TAGGED: Final = "tagged"
UNTAGGED: Final = "untagged"
SIGNED: Final = "signed"
UNSIGNED: Final = "unsigned"
STATES: Final = (TAGGED, SIGNED, UNSIGNED, UNTAGGED)
"""`untagged` are manifests, the others are tags; `signed`: a signature refers to the manifest, and
nobody has verified it."""


class Chosen(Frozen):
    """What a list is chosen by; what is empty leaves nothing out, and a list is of tags."""

    kind: str = ""
    platform: str = ""
    state: str = ""

    @property
    def is_any(self) -> bool:
        """Whether something is left out, or it is a list of manifests."""
        return bool(self.kind or self.platform or self.state)

    @property
    def is_untagged(self) -> bool:
        """Whether it is a list of manifests without a tag."""
        return self.state == UNTAGGED

    @property
    def facets(self) -> Facets:
        """The same as rows have it."""
        signed = {SIGNED: True, UNSIGNED: False}.get(self.state)
        return Facets(self.kind, self.platform, signed)


EVERYTHING: Final = Chosen()
"""All tags."""


class Choice(Frozen):
    """A value of a facet, and how many rows there are of it as everything else is chosen."""

    value: str
    count: int


class Tallies(Frozen):
    """The choices of each facet: kinds in their order, the platforms of most rows first, at most so
    many, and states. `matching` counts what is chosen, `untagged` all manifests without a tag; both
    are at least so many where `is_whole` is False."""

    kinds: list[Choice]
    platforms: list[Choice]
    states: list[Choice]
    matching: int
    untagged: int
    is_whole: bool


def tally(tagged: Sequence[Group], loose: UntaggedGroups | None, chosen: Chosen) -> Tallies:
    """The choices by what is there; `loose` is None for who may not know of it."""
    groups = (loose.groups if loose else []) if chosen.is_untagged else tagged
    wanted = chosen.facets
    of_kind = [each for each in groups if replace(wanted, role="").leave(each)]
    of_platform = [each for each in groups if replace(wanted, platform="").leave(each)]
    of_state = [each for each in tagged if replace(wanted, is_signed=None).leave(each)]
    signed = _sum(each for each in of_state if each.is_signed)
    states = [
        Choice(TAGGED, _sum(of_state)),
        Choice(SIGNED, signed),
        Choice(UNSIGNED, _sum(of_state) - signed),
    ]
    if loose is not None:
        fitting = replace(wanted, is_signed=None)
        states.append(Choice(UNTAGGED, _sum(each for each in loose.groups if fitting.leave(each))))
    return Tallies(
        kinds=_kinds(of_kind, chosen.kind),
        platforms=_platforms(of_platform, chosen.platform),
        states=states,
        matching=_sum(each for each in groups if wanted.leave(each)),
        untagged=_sum(loose.groups) if loose else 0,
        is_whole=loose is None or loose.is_whole,
    )


def _sum(groups: Iterable[Group]) -> int:
    return sum(group.count for group in groups)


def _kinds(groups: Sequence[Group], chosen: str) -> list[Choice]:
    found: Counter[str] = Counter()
    for group in groups:
        found[group.role] += group.count
    return [Choice(kind, found[kind]) for kind in KINDS if found[kind] or kind == chosen]


def _platforms(groups: Sequence[Group], chosen: str) -> list[Choice]:
    found: Counter[str] = Counter()
    for group in groups:
        for platform in group.platforms:
            found[platform] += group.count
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    choices = [Choice(*item) for item in ordered[:PLATFORM_CHOICES_MAX]]
    if chosen and all(choice.value != chosen for choice in choices):
        choices.append(Choice(chosen, found[chosen]))
    return choices


class Counted(Frozen):
    """How many tags there are without a filter, how many a list leaves out because they are named
    after a digest, and what can be chosen."""

    total: int
    hidden: int
    tallies: Tallies


async def count_rows(
    registry: Registry,
    namespace: NamespaceRow,
    wanted: WantedTags,
    chosen: Chosen,
    *,
    sees_untagged: bool,
) -> Counted:
    """Of all pages of a list together: `wanted` says which text names have in them, of manifests
    without a tag their digests."""

    def query(rows: Rows) -> Counted:
        number = namespace.number
        hidden = listings.count_fallback_tags(rows, number)
        groups = facets.tag_groups(rows, number, wanted.filter)
        loose = None
        if sees_untagged:
            loose = untagged.groups(rows, number, wanted.contains.lower(), UNTAGGED_EXAMINED_MAX)
        total = namespace.tag_count - (hidden if wanted.hides_fallback else 0)
        return Counted(total, hidden, tally(groups, loose, chosen))

    return await registry.storage.read(query)


class UntaggedPage(Frozen):
    """Manifests without a tag, and where the next page begins."""

    revisions: list[Revision]
    next_after: str | None


async def list_untagged(
    registry: Registry, namespace: NamespaceRow, wanted: WantedTags
) -> UntaggedPage:
    """A page of them, the newest first, whatever the order that is wanted.

    Raises PAGINATION_NUMBER_INVALID (400) for what is no cursor.
    """
    place = parse_cursor(wanted.after) if wanted.after else None
    order = UntaggedOrder(place, wanted.contains.lower(), wanted.facets)

    def query(rows: Rows) -> list[tuple[RevisionRow, Related]]:
        found = untagged.in_order(rows, namespace.number, order, wanted.size + 1)
        return [(row, related_of(rows, namespace.number, row.digest)) for row in found]

    found = await registry.storage.read(query)
    page = found[: wanted.size]
    noted = await pulled_of(registry, namespace.name, [row.digest for row, _ in page])
    has_more = 0 < wanted.size < len(found)
    return UntaggedPage(
        [Revision(row, related, noted.of(row.digest)) for row, related in page],
        cursor_of(page[-1][0].pushed_at, page[-1][0].digest) if has_more else None,
    )
