"""Mounting: a blob of one namespace becomes held by another, without moving a byte."""

from __future__ import annotations

from angos_trio.events.endpoints import Kind
from angos_trio.events.model import Event, EventKind, record
from angos_trio.identity import Action, Caller, Target
from angos_trio.limits.requests import MOUNT_CANDIDATES_MAX
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.registry.asking import About, require_allowed
from angos_trio.registry.context import Registry
from angos_trio.registry.quota import require_blob_fits
from angos_trio.storage.metadata import blobs, namespaces
from angos_trio.storage.transactions import Transaction


async def mount_blob(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    digest: Digest,
    source: RepositoryName | None,
) -> bool:
    """Let `name` hold a blob that the caller may read from `source`, or from any namespace.

    False when there is no such blob for this caller: the answer is then an ordinary session, so
    that a refusal tells no more than an absence. Raises DENIED (413) above the quota of `name`, and
    DENIED (403) or UNAVAILABLE (503) where a webhook does not allow it.
    """
    candidates = [name]
    candidates += [source] if source is not None else await _holders(registry, digest)
    for candidate in candidates:
        is_own = candidate == name
        source_blob = Target(candidate, {"digest": digest})
        if not is_own and not (await caller.may(Action.GET_BLOB, source_blob)).allowed:
            continue
        if await _mount_from(registry, caller, name, digest, candidate):
            return True
    return False


async def _holders(registry: Registry, digest: Digest) -> list[RepositoryName]:
    return await registry.storage.read(
        lambda rows: blobs.holders(rows, digest, MOUNT_CANDIDATES_MAX)
    )


async def _mount_from(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    digest: Digest,
    source: RepositoryName,
) -> bool:
    """Grant what was authorized and nothing else: the source is looked at again in the step."""
    if (
        await registry.storage.read_point(lambda rows: blobs.find_held(rows, source, digest))
        is None
    ):
        return False
    if source != name:
        await require_allowed(registry, caller, About(Kind.BLOB_PUSH, name, digest))
    now, lease_until = registry.now(), registry.lease_until()
    quota = registry.quotas.quota_for(name)

    def step(transaction: Transaction) -> bool:
        rows = transaction.rows
        held = blobs.find_held(rows, source, digest)
        if held is None:
            return False
        require_blob_fits(rows, quota, name, digest, held.size)
        blobs.hold(rows, namespaces.ensure(rows, name, now), digest, lease_until)
        if source != name:
            record(
                rows,
                Event(
                    EventKind.BLOB_MOUNTED,
                    name,
                    now,
                    caller.identity.owner,
                    {"digest": digest, "from": source},
                    caller.origin,
                ),
            )
        return True

    return await registry.change(step)
