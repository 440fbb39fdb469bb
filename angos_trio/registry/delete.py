"""Deleting: visible at once. What lost its last reference is collected once its lease is over."""

from __future__ import annotations

from angos_trio.events.endpoints import Kind
from angos_trio.events.model import Event, EventKind, record
from angos_trio.identity import NOWHERE, Caller, Origin
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.policy.immutability import TagRule
from angos_trio.records import Frozen
from angos_trio.registry.asking import About, require_allowed
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import blobs, leases, manifests, namespaces, reclaims, tags
from angos_trio.storage.transactions import Rows, Transaction


async def delete_blob(
    registry: Registry, caller: Caller, name: RepositoryName, digest: Digest
) -> None:
    """End the namespace's hold on a blob.

    Raises BLOB_UNKNOWN (404), and DENIED (405) while a manifest of the namespace names it; DENIED
    (403) or UNAVAILABLE (503) where a webhook does not allow it.
    """
    deleted = Event(
        EventKind.BLOB_DELETED,
        name,
        registry.now(),
        caller.identity.owner,
        {"digest": digest},
        caller.origin,
    )

    def step(transaction: Transaction) -> None:
        rows = transaction.rows
        namespace = namespaces.find(rows, name)
        if namespace is None or blobs.find_held(rows, name, digest) is None:
            raise OciError(Code.BLOB_UNKNOWN, detail=digest)
        if blobs.is_referenced(rows, namespace, digest):
            raise OciError(
                Code.DENIED, status=405, message="a manifest references this blob", detail=digest
            )
        blobs.release(rows, namespace, digest)
        reclaims.forget_unheld(rows, digest)  # the collector moves the file
        record(rows, deleted)

    await require_allowed(registry, caller, About(Kind.BLOB_DELETE, name, digest))
    await registry.change(step, makes_room=True)


class Deletion(Frozen):
    """Who deletes in a namespace, from where, under which rule for tags; times in epoch seconds.
    What loses its last tag or its manifest is kept until the lease ends."""

    name: RepositoryName
    rule: TagRule
    by: str
    now: int
    lease_until: int
    origin: Origin = NOWHERE

    def tag(self, rows: Rows, namespace: int, tag: Tag) -> None:
        """A tag alone. Raises TAG_IMMUTABLE (409)."""
        if not self.rule.may_delete(tag):
            raise OciError(Code.TAG_IMMUTABLE, detail=tag)
        digest = tags.find(rows, namespace, tag)
        tags.delete(rows, namespace, tag, now=self.now, by=self.by)
        if digest is not None:
            until = self.lease_until
            leases.lose_tag(rows, namespace, digest, now=self.now, lease_until=until)
        self._record(rows, EventKind.TAG_DELETED, {"tag": tag, "digest": digest})

    def manifest(self, rows: Rows, namespace: int, digest: Digest) -> None:
        """A manifest with its tags. Raises TAG_IMMUTABLE (409)."""
        for tag in tags.names_of(rows, namespace, digest):
            self.tag(rows, namespace, tag)
        leases.lose_manifest(rows, namespace, digest, self.lease_until)
        manifests.delete(rows, namespace, digest)
        self._record(rows, EventKind.MANIFEST_DELETED, {"digest": digest})

    def _record(self, rows: Rows, kind: EventKind, payload: dict[str, object]) -> None:
        record(rows, Event(kind, self.name, self.now, self.by, payload, self.origin))


async def delete_manifest(
    registry: Registry, caller: Caller, name: RepositoryName, reference: Reference
) -> None:
    """Delete a tag alone, or a manifest with every tag that points to it.

    Raises MANIFEST_UNKNOWN (404) when it is not there, TAG_IMMUTABLE (409) when a tag is kept,
    DENIED (403) or UNAVAILABLE (503) where a webhook does not allow it.
    """
    asked = await _require_allowed(registry, caller, name, reference)
    deletion = Deletion(
        name,
        registry.tag_rules.rule_for(name),
        caller.identity.owner,
        registry.now(),
        registry.lease_until(),
        caller.origin,
    )

    def step(transaction: Transaction) -> None:
        rows = transaction.rows
        namespace = namespaces.find(rows, name)
        if isinstance(reference, Tag):
            if namespace is None or tags.find(rows, namespace, reference) is None:
                raise OciError(Code.MANIFEST_UNKNOWN, detail=reference)
            deletion.tag(rows, namespace, reference)
        else:
            if namespace is None or not manifests.is_held(rows, namespace, reference):
                raise OciError(Code.MANIFEST_UNKNOWN, detail=reference)
            _require_asked(rows, namespace, reference, asked)
            deletion.manifest(rows, namespace, reference)

    await registry.change(step, makes_room=True)


async def _require_allowed(
    registry: Registry, caller: Caller, name: RepositoryName, reference: Reference
) -> frozenset[Tag] | None:
    """A manifest takes its tags with it, so that each of them is asked about as well: these; None
    where nobody is asked."""
    kind = Kind.TAG_DELETE if isinstance(reference, Tag) else Kind.MANIFEST_DELETE
    kinds = {kind, Kind.TAG_DELETE}
    if not any(registry.endpoints.asked(each, name) for each in kinds):
        return None
    if isinstance(reference, Tag):
        await require_allowed(registry, caller, About(kind, name, None, reference))
        return None

    def query(rows: Rows) -> list[Tag]:
        namespace = namespaces.find(rows, name)
        return [] if namespace is None else tags.names_of(rows, namespace, reference)

    found = await registry.storage.read(query)
    each = [About(Kind.TAG_DELETE, name, reference, tag) for tag in found]
    await require_allowed(registry, caller, About(kind, name, reference, reference), *each)
    return frozenset(found)


def _require_asked(
    rows: Rows, namespace: int, digest: Digest, asked: frozenset[Tag] | None
) -> None:
    """Raise DENIED (409) where a tag came since a webhook was asked about all that there were."""
    if asked is None:
        return
    new = set(tags.names_of(rows, namespace, digest)) - asked
    if new:
        raise OciError(
            Code.DENIED,
            status=409,
            message="a tag was set meanwhile, about which no webhook was asked; try again",
            detail=min(new),
        )
