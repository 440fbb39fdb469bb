"""What lists show of a manifest beside its own fields: total size, platforms, what is attached.

All of it is derived from bodies and rows, and written in the step that changes them.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from angos_trio.limits.housekeeping import SUMMARIES_AT_ONCE_MAX
from angos_trio.oci.digest import Digest
from angos_trio.oci.manifest import SIZE_MAX
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.roles import Carried, Role
from angos_trio.records import Frozen
from angos_trio.storage.metadata import leases
from angos_trio.storage.transactions import Rows


class Summary(Frozen):
    """What a body and its config say: `named_bytes` are those of its descriptors."""

    role: Role
    carries: Carried
    platforms: tuple[str, ...]
    named_bytes: int


class Undescribed(Frozen):
    """A manifest of which nobody has recorded what it is."""

    namespace: int
    digest: Digest
    media_type: str


def undescribed(rows: Rows, after: tuple[int, str], limit: int) -> list[Undescribed]:
    """Some of them in the order of their keys, strictly after one."""
    found = rows.execute(
        "SELECT namespace, digest, media_type FROM manifests "
        "WHERE role = '' AND (namespace, digest) > (?, ?) ORDER BY namespace, digest LIMIT ?",
        (*after, limit),
    )
    return [Undescribed(row[0], Digest(row[1]), row[2]) for row in found]


def platforms_of(rows: Rows, name: RepositoryName, digest: Digest) -> tuple[str, ...]:
    """The platforms that are recorded of a manifest, if the namespace holds it."""
    row = rows.execute(
        "SELECT m.platforms FROM namespaces n "
        "JOIN manifests m ON m.namespace = n.id AND m.digest = ? WHERE n.name = ?",
        (digest, name),
    ).fetchone()
    return () if row is None else tuple(row[0].split())


def describe(rows: Rows, namespace: int, digest: Digest, summary: Summary) -> None:
    """Record what a manifest is that was pushed before anybody recorded that; others see it."""
    rows.execute(
        "UPDATE manifests SET role = ?, carries = ?, platforms = ?, "
        "total_size = min(abs(size) + ?, ?) WHERE namespace = ? AND digest = ?",
        (
            summary.role,
            int(summary.carries),
            " ".join(summary.platforms),
            summary.named_bytes,
            SIZE_MAX,
            namespace,
            digest,
        ),
    )
    settle(rows, namespace, digest)


def settle(rows: Rows, namespace: int, digest: Digest, subject: str | None = None) -> None:
    """After a manifest came or went: it, its subject and the indexes above it tell what is so.

    `subject` is that of a manifest which is gone. Of indexes above, no more than a bound are told.
    """
    row = rows.execute(
        "SELECT subject FROM manifests WHERE namespace = ? AND digest = ?", (namespace, digest)
    ).fetchone()
    if row is not None:
        _refresh(rows, namespace, digest)
        subject = row[0]
    if subject is not None:
        _refresh(rows, namespace, subject)
    seen, waiting = {str(digest)}, deque([str(digest)])
    while waiting and len(seen) <= SUMMARIES_AT_ONCE_MAX:
        above = leases.parents(rows, namespace, waiting.popleft())
        for parent in list(islice(above, SUMMARIES_AT_ONCE_MAX)):
            if parent not in seen:
                seen.add(parent)
                if _refresh(rows, namespace, parent):
                    waiting.append(parent)


def _refresh(rows: Rows, namespace: int, digest: str) -> bool:
    """Add up anew; False when nothing changed, or the manifest is not held."""
    key = (namespace, digest)
    row = rows.execute(
        "SELECT kind, abs(size), total_size, attached FROM manifests "
        "WHERE namespace = ? AND digest = ?",
        key,
    ).fetchone()
    if row is None:
        return False
    kind, size, total, attached = row
    wanted_total, wanted = total, carried_by_referrers(rows, namespace, digest)
    if kind == "index":
        parts = rows.execute(
            "SELECT m.carries, m.total_size FROM manifest_references r "
            "JOIN manifests m ON m.namespace = r.namespace AND m.digest = r.digest "
            "WHERE r.namespace = ? AND r.manifest = ? AND r.digest <> r.manifest",
            key,
        ).fetchall()
        wanted_total = min(size + sum(part[1] for part in parts), SIZE_MAX)
        for carries, _ in parts:
            wanted |= carries
    if (wanted_total, wanted) == (total, attached):
        return False
    rows.execute(
        "UPDATE manifests SET total_size = ?, attached = ? WHERE namespace = ? AND digest = ?",
        (wanted_total, wanted, *key),
    )
    return True


def carried_by_referrers(rows: Rows, namespace: int, subject: str) -> int:
    """The union of what referrers carry: a step for each value that there is, of 64."""
    found, last = 0, -1
    while True:
        (value,) = rows.execute(
            "SELECT min(carries) FROM manifests "
            "WHERE namespace = ? AND subject = ? AND carries > ?",
            (namespace, subject, last),
        ).fetchone()
        if value is None:
            return found
        found, last = found | value, value
