"""What pages offer to do in each row: nothing that policies refuse anyway."""

from __future__ import annotations

from collections.abc import Iterable

from angos_trio.browse.deleting import target_of
from angos_trio.identity import Action, Caller
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.policy.immutability import TagRule


async def deletable_of(
    caller: Caller, name: RepositoryName, references: Iterable[Reference], rule: TagRule
) -> set[str]:
    """Which of the tags and digests of a page the caller may delete.

    A webhook is asked about the first of them only: a hundred questions would make a page wait.
    What it refuses of the others is refused when it is tried.
    """
    found = [
        each
        for each in references
        if not (isinstance(each, Tag) and not rule.may_delete(each))
        and caller.could(Action.DELETE_MANIFEST, target_of(name, each))
    ]
    if not found:
        return set()
    decision = await caller.may(Action.DELETE_MANIFEST, target_of(name, found[0]))
    return {str(each) for each in found} if decision.allowed else set()
