"""What the list of tags is chosen by, as fields of its form; and its list of manifests without a
tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from angos_trio.browse.facets import KINDS, STATES, TAGGED, UNTAGGED, Choice, Chosen, Tallies
from angos_trio.records import Frozen
from angos_trio.web.words import number, visible

FACETS: Final[Mapping[str, Sequence[str]]] = {"kind": KINDS, "platform": (), "state": STATES}
"""Parameters of the address, with what they can be."""
PLATFORM_CHARACTERS: Final = 40
"""Of a platform that is offered."""


class Option(Frozen):
    """A choice of a field; `value` is empty for what leaves nothing out."""

    value: str
    text: str
    is_chosen: bool


class Field(Frozen):
    """A field with its choices."""

    name: str
    label: str
    options: list[Option]


def chosen_of(facets: Mapping[str, str]) -> Chosen:
    """What an address chooses; all tags are what is shown anyway."""
    state = facets.get("state", "")
    return Chosen(
        facets.get("kind", ""), facets.get("platform", ""), "" if state == TAGGED else state
    )


def pairs_of(chosen: Chosen) -> dict[str, str]:
    """The same as parameters, the empty ones too."""
    return {"kind": chosen.kind, "platform": chosen.platform, "state": chosen.state}


def fields_of(tallies: Tallies, chosen: Chosen) -> list[Field]:
    """The fields that have something to choose between, or say what was chosen."""
    signs = [each for each in tallies.states if each.value not in (TAGGED, UNTAGGED)]
    others = [each.count for each in tallies.states if each.value == UNTAGGED]
    can_state = any(others) or all(each.count for each in signs) or chosen.state
    fields = []
    if len(tallies.kinds) > 1 or chosen.kind:
        fields.append(_field("kind", ("Kind", "Any kind"), tallies.kinds, chosen.kind))
    if len(tallies.platforms) > 1 or chosen.platform:
        names = ("Platform", "Any platform")
        fields.append(_field("platform", names, tallies.platforms, chosen.platform))
    if can_state:
        more = "" if tallies.is_whole else "+"
        options = [_of_state(each, chosen.state, more) for each in tallies.states]
        fields.append(Field("state", "State", options))
    return fields


def _field(name: str, texts: tuple[str, str], choices: Sequence[Choice], chosen: str) -> Field:
    label, nothing = texts
    options = [
        Option(
            each.value,
            f"{visible(each.value, PLATFORM_CHARACTERS)} ({number(each.count)})",
            each.value == chosen,
        )
        for each in choices
    ]
    return Field(name, label, [Option("", nothing, not chosen), *options])


def _of_state(choice: Choice, chosen: str, more: str) -> Option:
    value = "" if choice.value == TAGGED else choice.value
    count = f"{number(choice.count)}{more if choice.value == UNTAGGED else ''}"
    return Option(value, f"{choice.value.capitalize()} ({count})", value == chosen)
