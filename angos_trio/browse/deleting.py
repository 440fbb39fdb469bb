"""Deleting what somebody chose: who may delete what, and each one by itself.

What goes must be what they looked at: whoever calls compares the token of that look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from angos_trio.browse.impact import Impact
from angos_trio.identity import Action, Caller, Decision, Target
from angos_trio.limits.lists import DELETIONS_LOGGED_MAX, UNTAGGED_EXAMINED_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_manifest
from angos_trio.storage.metadata import facets, listings, namespaces, untagged
from angos_trio.storage.metadata.facets import TagFilter
from angos_trio.storage.metadata.listings import NamespaceRow, RevisionRow
from angos_trio.storage.metadata.untagged import UntaggedOrder
from angos_trio.storage.transactions import Rows
from angos_trio.telemetry.log import logger

_audit = logger("audit")
_NOTHING: Final = Decision(False, "no reference")


class Sorted(Frozen):
    """What somebody wants to delete: what they may, and what not; `refusal` is the last decision
    against them."""

    allowed: tuple[Reference, ...]
    denied: tuple[Reference, ...] = ()
    refusal: Decision = _NOTHING


class Failure(Frozen):
    """One that was not deleted, and why."""

    reference: str
    code: Code
    message: str


class Outcome(Frozen):
    """What became of each that was chosen."""

    deleted: tuple[str, ...]
    failed: tuple[Failure, ...]


def target_of(name: RepositoryName, reference: Reference) -> Target:
    """What policies are asked about, as for a DELETE of the manifest."""
    named: dict[str, str | list[str]] = {"reference": str(reference)}
    if isinstance(reference, Digest):
        named["digest"] = str(reference)
    return Target(name, named)


async def sort_out(caller: Caller, name: RepositoryName, references: Sequence[Reference]) -> Sorted:
    """Which of these the caller may delete; nothing is looked up."""
    allowed: list[Reference] = []
    denied: list[Reference] = []
    refusal = _NOTHING
    for reference in references:
        decision = await caller.may(Action.DELETE_MANIFEST, target_of(name, reference))
        if decision.allowed:
            allowed.append(reference)
        else:
            refusal = decision
            denied.append(reference)
    return Sorted(tuple(allowed), tuple(denied), refusal)


class Deletion(Frozen):
    """A wish to delete what somebody looked at: `impact` goes. `request_id` is for the audit
    log."""

    name: RepositoryName
    chosen: Sorted
    impact: Impact
    request_id: str


async def delete_chosen(registry: Registry, caller: Caller, deletion: Deletion) -> Outcome:
    """Delete one after the other; one that fails ends no other."""
    name, chosen = deletion.name, deletion.chosen
    deleted: list[str] = []
    failed = [Failure(str(each), code=Code.DENIED, message="denied") for each in chosen.denied]
    try:
        for reference in chosen.allowed:
            try:
                await delete_manifest(registry, caller, name, reference)
                deleted.append(str(reference))
            except OciError as error:
                failed.append(Failure(str(reference), error.code, error.message))
    finally:  # also for a client that leaves half way
        _audit.info(
            "manifests.deleted",
            request_id=deletion.request_id,
            namespace=name,
            address=caller.identity.address,
            identity=caller.identity.owner,
            token=deletion.impact.token,
            deleted=deleted[:DELETIONS_LOGGED_MAX],
            deleted_count=len(deleted),
            failed_count=len(failed),
        )
    return Outcome(tuple(deleted), tuple(failed))


async def rows_of(
    registry: Registry, name: RepositoryName, digests: Sequence[str]
) -> dict[str, RevisionRow]:
    """What is known of some manifests, as far as they are still there."""

    def query(rows: Rows) -> dict[str, RevisionRow]:
        namespace = namespaces.find(rows, name)
        if namespace is None:
            return {}
        found = ((each, listings.find_revision(rows, namespace, each)) for each in digests)
        return {digest: row for digest, row in found if row is not None}

    return await registry.storage.read(query)


class Matched(Frozen):
    """The first that match a filter: tags in the order in which people order names, or manifests
    without a tag, the newest first; and how many match."""

    references: tuple[Reference, ...]
    matching: int


async def match_tags(
    registry: Registry, name: RepositoryName, wanted: TagFilter, limit: int
) -> Matched:
    """The tags of a namespace that a filter leaves, as a list with this filter counts them."""

    def query(rows: Rows) -> Matched:
        row: NamespaceRow | None = listings.find_namespace(rows, name)
        if row is None:
            return Matched((), 0)
        names = listings.tag_names(rows, row.number, wanted, limit)
        groups = facets.tag_groups(rows, row.number, wanted)
        matching = sum(group.count for group in groups if wanted.facets.leave(group))
        return Matched(tuple(Tag(each) for each in names), matching)

    return await registry.storage.read(query)


async def match_untagged(
    registry: Registry, name: RepositoryName, wanted: UntaggedOrder, limit: int
) -> Matched:
    """The manifests of a namespace without a tag that a filter leaves, counted as a list does."""

    def query(rows: Rows) -> Matched:
        row: NamespaceRow | None = listings.find_namespace(rows, name)
        if row is None:
            return Matched((), 0)
        found = untagged.in_order(rows, row.number, wanted, limit)
        counted = untagged.groups(rows, row.number, wanted.contains, UNTAGGED_EXAMINED_MAX)
        matching = sum(each.count for each in counted.groups if wanted.facets.leave(each))
        return Matched(tuple(each.digest for each in found), max(matching, len(found)))

    return await registry.storage.read(query)
