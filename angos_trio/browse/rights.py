"""What a caller may do to a repository, in the words that people ask in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from angos_trio.identity import Action, Caller, Target

CAN: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "list": Action.LIST_TAGS,
        "pull": Action.GET_MANIFEST,
        "push": Action.PUT_MANIFEST,
        "delete": Action.DELETE_MANIFEST,
    }
)
"""What people ask whether they may do it to a repository."""


async def rights_of(caller: Caller, name: str) -> dict[str, bool]:
    """Each of these words, and whether it is allowed for the namespace of this name."""
    target = Target(name)
    return {word: (await caller.may(action, target)).allowed for word, action in CAN.items()}
