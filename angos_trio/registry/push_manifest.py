"""Pushing a manifest: body, references, tags, history and events are one transaction."""

from __future__ import annotations

import trio

from angos_trio.events.endpoints import Kind
from angos_trio.events.model import Event, EventKind, record
from angos_trio.identity import Caller, Origin
from angos_trio.limits.requests import PARSE_ON_LOOP_BYTES_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.manifest import ManifestFacts, parse_manifest
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.policy.immutability import TagRule
from angos_trio.records import Frozen
from angos_trio.registry.asking import About, require_allowed
from angos_trio.registry.context import Registry
from angos_trio.registry.platforms import platforms_of_image
from angos_trio.registry.quota import require_manifest_fits
from angos_trio.storage.metadata import leases, manifests, namespaces, tags
from angos_trio.storage.metadata.manifests import PushedManifest
from angos_trio.storage.transactions import Rows, Transaction


class ManifestPush(Frozen):
    """A push as the request puts it: `tags` are those of the query, beside a digest reference."""

    name: RepositoryName
    reference: Reference
    body: bytes
    content_type: str | None
    tags: tuple[Tag, ...] = ()


class PushOutcome(Frozen):
    """What the answer tells: the digest, the subject and the tags of the query that were set."""

    digest: Digest
    subject: Digest | None
    tags: tuple[Tag, ...]


class _Place(Frozen):
    """To where a push goes, and from where it comes."""

    name: RepositoryName
    origin: Origin


async def push_manifest(registry: Registry, caller: Caller, push: ManifestPush) -> PushOutcome:
    """Store a manifest and point its tags to it, all or nothing.

    Raises MANIFEST_INVALID, DIGEST_INVALID (400), UNSUPPORTED (415), TAG_IMMUTABLE (409),
    MANIFEST_BLOB_UNKNOWN (404) where missing references are refused, DENIED (413) above the quota,
    DENIED (403) by a webhook, UNAVAILABLE (503, 507).
    """
    registry.storage.require_space(len(push.body))
    if len(push.body) > PARSE_ON_LOOP_BYTES_MAX:
        facts, digest = await trio.to_thread.run_sync(_examine, push)
    else:
        facts, digest = _examine(push)
    platforms = facts.platforms or await platforms_of_image(
        registry.storage, push.name, digest, facts
    )
    is_by_tag = isinstance(push.reference, Tag)
    wanted = tuple(dict.fromkeys(push.tags))
    if isinstance(push.reference, Tag):
        wanted = (push.reference,)
    now = registry.now()
    pushed = PushedManifest(
        digest=digest,
        body=push.body,
        facts=facts,
        pushed_at=now,
        pushed_by=caller.identity.owner,
        lease_until=registry.lease_until(),
        platforms=platforms,
    )
    await _require_allowed(registry, caller, push, digest, wanted)
    place = _Place(push.name, caller.origin)
    rule, quota = registry.tag_rules.rule_for(push.name), registry.quotas.quota_for(push.name)

    def step(transaction: Transaction) -> None:
        rows = transaction.rows
        namespace = namespaces.ensure(rows, push.name, now)
        if not registry.allows_missing_references:
            _require_references(rows, namespace, facts)
        require_manifest_fits(rows, quota, namespace, digest, len(push.body))
        is_new = manifests.put(rows, namespace, pushed)
        if is_new:
            record(rows, _event(EventKind.MANIFEST_PUSHED, place, pushed))
        for tag in wanted:
            _point_tag(rows, namespace, tag, place, pushed, rule)

    await registry.change(step)
    registry.storage.bodies.put(digest, push.body)
    return PushOutcome(digest, facts.subject, () if is_by_tag else wanted)


async def _require_allowed(
    registry: Registry,
    caller: Caller,
    push: ManifestPush,
    digest: Digest,
    tags_wanted: tuple[Tag, ...],
) -> None:
    if registry.endpoints.by_name:
        pushed = About(Kind.MANIFEST_PUSH, push.name, digest, push.reference)
        tagged = [About(Kind.TAG_CREATE, push.name, digest, tag) for tag in tags_wanted]
        await require_allowed(registry, caller, pushed, *tagged)


def _examine(push: ManifestPush) -> tuple[ManifestFacts, Digest]:
    """Facts and digest of the body; a digest reference must be that of the body."""
    facts = parse_manifest(push.body, push.content_type)
    if isinstance(push.reference, Tag):
        return facts, digest_of(push.body)
    digest = digest_of(push.body, push.reference.algorithm)
    if digest != push.reference:
        raise OciError(
            Code.DIGEST_INVALID,
            message="content is not that of the digest",
            detail={"expected": push.reference, "received": digest},
        )
    return facts, digest


def _require_references(rows: Rows, namespace: int, facts: ManifestFacts) -> None:
    missing = manifests.missing_references(rows, namespace, facts)
    if missing is not None:
        raise OciError(Code.MANIFEST_BLOB_UNKNOWN, detail=missing)


def _point_tag(
    rows: Rows,
    namespace: int,
    tag: Tag,
    place: _Place,
    pushed: PushedManifest,
    rule: TagRule,
) -> None:
    current = tags.find(rows, namespace, tag)
    if not rule.may_point(tag, current, pushed.digest):
        raise OciError(Code.TAG_IMMUTABLE, detail=tag)
    now = pushed.pushed_at
    tags.point(rows, namespace, tag, pushed.digest, now=now, by=pushed.pushed_by)
    if current is not None and current != pushed.digest:
        leases.lose_tag(rows, namespace, current, now=now, lease_until=pushed.lease_until)
    if current != pushed.digest:
        kind = EventKind.TAG_CREATED if current is None else EventKind.TAG_UPDATED
        record(rows, _event(kind, place, pushed, tag=tag, previous=current))


def _event(kind: EventKind, place: _Place, pushed: PushedManifest, **more: object) -> Event:
    payload = {"digest": pushed.digest, "media_type": pushed.facts.media_type, **more}
    return Event(kind, place.name, pushed.pushed_at, pushed.pushed_by, payload, place.origin)
