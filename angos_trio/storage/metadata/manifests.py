"""Manifests, their bodies (once per digest) and what they refer to."""

from __future__ import annotations

import json

from angos_trio.limits.requests import REFERRERS_PAGE_BYTES
from angos_trio.oci.digest import Digest
from angos_trio.oci.manifest import SIZE_MAX, ManifestFacts
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.oci.referrers import Referrer
from angos_trio.records import Frozen
from angos_trio.storage.metadata import summaries
from angos_trio.storage.transactions import Rows


class StoredManifest(Frozen):
    """A manifest that a namespace holds: size in bytes, lease in epoch seconds.

    One whose body was lost has no size above 0 in its rows: it counts as absent until it is pushed
    again, wherever it is asked for.
    """

    digest: Digest
    media_type: str
    size: int
    lease_until: int


class PushedManifest(Frozen):
    """What is written for one push: times are epoch seconds."""

    digest: Digest
    body: bytes
    facts: ManifestFacts
    pushed_at: int
    pushed_by: str
    lease_until: int
    platforms: tuple[str, ...] = ()


def put(rows: Rows, namespace: int, pushed: PushedManifest) -> bool:
    """Record a manifest with its body and references; False when it was there already.

    One that was there keeps its time of push; its lease is renewed.
    """
    facts = pushed.facts
    healed = rows.execute(
        "INSERT INTO manifest_bodies (digest, body) VALUES (?, ?) "
        "ON CONFLICT (digest) DO UPDATE SET body = excluded.body "
        "WHERE manifest_bodies.body <> excluded.body",
        (pushed.digest, pushed.body),
    )
    if healed.rowcount > 0:  # for every namespace that held it when its body was lost or spoilt
        rows.execute(
            "UPDATE manifests SET size = ?, role = '' WHERE digest = ?",
            (len(pushed.body), pushed.digest),
        )
    cursor = rows.execute(
        "INSERT INTO manifests (namespace, digest, media_type, kind, artifact_type, subject, "
        "size, annotations, pushed_at, pushed_by, lease_until, role, carries, platforms, "
        "total_size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (namespace, digest) DO NOTHING",
        (
            namespace,
            pushed.digest,
            facts.media_type,
            facts.kind,
            facts.artifact_type,
            facts.subject,
            len(pushed.body),
            json.dumps(dict(facts.annotations), separators=(",", ":")),
            pushed.pushed_at,
            pushed.pushed_by,
            pushed.lease_until,
            facts.role,
            int(facts.carries),
            " ".join(pushed.platforms),
            min(len(pushed.body) + facts.named_bytes, SIZE_MAX),
        ),
    )
    if cursor.rowcount == 0:
        _push_again(rows, namespace, pushed)
        return False
    rows.executemany(
        "INSERT INTO manifest_references (namespace, manifest, digest, kind) VALUES (?, ?, ?, ?)",
        [(namespace, pushed.digest, item.digest, item.kind) for item in facts.references],
    )
    summaries.settle(rows, namespace, pushed.digest)
    return True


def _push_again(rows: Rows, namespace: int, pushed: PushedManifest) -> None:
    """The same bytes may come with another Content-Type; the last one is served. Its config may
    have come since."""
    rows.execute(
        "UPDATE manifests SET media_type = ?, lease_until = max(lease_until, ?), is_orphan = 0, "
        "platforms = coalesce(nullif(?, ''), platforms), "
        "untagged_at = CASE WHEN untagged_at IS NULL THEN NULL ELSE ? END "
        "WHERE namespace = ? AND digest = ?",
        (
            pushed.facts.media_type,
            pushed.lease_until,
            " ".join(pushed.platforms),
            pushed.pushed_at,
            namespace,
            pushed.digest,
        ),
    )


def find_by_digest(rows: Rows, name: RepositoryName, digest: Digest) -> StoredManifest | None:
    """The manifest, if the namespace holds it."""
    row = rows.execute(
        "SELECT m.media_type, m.size, m.lease_until FROM namespaces n "
        "JOIN manifests m ON m.namespace = n.id AND m.digest = ? AND m.size > 0 WHERE n.name = ?",
        (digest, name),
    ).fetchone()
    return None if row is None else StoredManifest(digest, *row)


def find_by_tag(rows: Rows, name: RepositoryName, tag: Tag) -> StoredManifest | None:
    """The manifest that a tag points to."""
    row = rows.execute(
        "SELECT m.digest, m.media_type, m.size, m.lease_until FROM namespaces n "
        "JOIN tags t ON t.namespace = n.id AND t.name = ? "
        "JOIN manifests m ON m.namespace = n.id AND m.digest = t.digest AND m.size > 0 "
        "WHERE n.name = ?",
        (tag, name),
    ).fetchone()
    return None if row is None else StoredManifest(Digest(row[0]), *row[1:])


def read_body(rows: Rows, digest: Digest) -> bytes | None:
    """The bytes as pushed. Whether the caller may have them is decided before."""
    row = rows.execute("SELECT body FROM manifest_bodies WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else bytes(row[0])


def delete(rows: Rows, namespace: int, digest: Digest) -> bool:
    """Remove a manifest and its references; its tags must be gone. False when it was not there."""
    found = find_subject(rows, namespace, digest)
    rows.execute(
        "DELETE FROM manifest_references WHERE namespace = ? AND manifest = ?", (namespace, digest)
    )
    cursor = rows.execute(
        "DELETE FROM manifests WHERE namespace = ? AND digest = ?", (namespace, digest)
    )
    if cursor.rowcount == 0:
        return False
    rows.execute(
        "DELETE FROM manifest_bodies WHERE digest = ? "
        "AND NOT EXISTS (SELECT 1 FROM manifests WHERE digest = ?)",
        (digest, digest),
    )
    summaries.settle(rows, namespace, digest, None if found is None else found[0])
    return True


def missing_references(rows: Rows, namespace: int, facts: ManifestFacts) -> Digest | None:
    """The first reference that the namespace does not hold, as a blob or as a manifest."""
    for reference in facts.references:
        if reference.is_elsewhere:
            continue
        row = rows.execute(
            "SELECT EXISTS (SELECT 1 FROM namespace_blobs h "
            "JOIN blobs b ON b.digest = h.digest AND b.state = 'present' "
            "WHERE h.namespace = ? AND h.digest = ?) "
            "OR EXISTS (SELECT 1 FROM manifests WHERE namespace = ? AND digest = ? AND size > 0)",
            (namespace, reference.digest, namespace, reference.digest),
        ).fetchone()
        if not row[0]:
            return reference.digest
    return None


def list_referrers(
    rows: Rows,
    namespace: int,
    subject: Digest,
    *,
    artifact_type: str | None,
    after: str,
    limit: int,
) -> list[Referrer]:
    """Manifests that name the subject, in digest order, strictly after a digest.

    No more are read than it takes to fill a page's bytes with their annotations, and one.
    """
    # The keys alone come from an index that holds them; asked for whole rows, SQLite would walk
    # the namespace's manifests by their primary key.
    condition = "" if artifact_type is None else "AND artifact_type = ? "
    filters = [] if artifact_type is None else [artifact_type]
    keys = rows.execute(
        "SELECT digest FROM manifests "
        f"WHERE namespace = ? AND subject = ? {condition}AND digest > ? ORDER BY digest LIMIT ?",
        (namespace, subject, *filters, after, limit),
    )
    referrers: list[Referrer] = []
    used = 0
    for (digest,) in keys:
        row = rows.execute(
            "SELECT media_type, size, artifact_type, annotations FROM manifests "
            "WHERE namespace = ? AND digest = ?",
            (namespace, digest),
        ).fetchone()
        used += len(row[3])
        referrers.append(Referrer(Digest(digest), row[0], abs(row[1]), row[2], json.loads(row[3])))
        if used > REFERRERS_PAGE_BYTES and len(referrers) > 1:
            break
    return referrers


def references_of(rows: Rows, namespace: int, digest: Digest) -> list[Digest]:
    """What a manifest of the namespace names."""
    found = rows.execute(
        "SELECT digest FROM manifest_references WHERE namespace = ? AND manifest = ?",
        (namespace, digest),
    )
    return [Digest(row[0]) for row in found]


def referrers_of(rows: Rows, namespace: int, digest: Digest) -> list[Digest]:
    """The manifests of the namespace whose subject this is."""
    found = rows.execute(
        "SELECT digest FROM manifests WHERE namespace = ? AND subject = ?", (namespace, digest)
    )
    return [Digest(row[0]) for row in found]


def find_subject(rows: Rows, namespace: int, digest: Digest) -> tuple[str | None] | None:
    """The subject that a manifest of the namespace names, if any; None when it is not held."""
    found: tuple[str | None] | None = rows.execute(
        "SELECT subject FROM manifests WHERE namespace = ? AND digest = ?", (namespace, digest)
    ).fetchone()
    return found


def is_held(rows: Rows, namespace: int, digest: Digest) -> bool:
    """Whether the namespace holds a manifest of this digest."""
    row = rows.execute(
        "SELECT 1 FROM manifests WHERE namespace = ? AND digest = ?", (namespace, digest)
    ).fetchone()
    return row is not None
