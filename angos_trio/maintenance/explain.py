"""Why something is kept, and until when."""

from __future__ import annotations

from angos_trio.limits.housekeeping import EXPLAINED_MAX, TALLIED_MAX
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.policy.reclaim import Terms, Verdict, judge
from angos_trio.records import Frozen
from angos_trio.storage.metadata import leases, namespaces
from angos_trio.storage.metadata.leases import NOTHING_GONE, Due, Tally
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows


class Explained(Frozen):
    """What keeps a blob or a manifest in a namespace."""

    namespace: str
    kind: str
    verdict: Verdict


class Explanation(Frozen):
    """`is_whole`: no other namespace holds it. `size` in bytes; None when nobody does."""

    size: int | None
    holders: list[Explained]
    is_whole: bool


async def explain_digest(storage: Storage, terms: Terms, digest: Digest) -> Explanation:
    """Everybody who holds something, and why; the first 100 namespaces."""
    uploading = await storage.sessions.namespaces()

    def query(rows: Rows) -> Explanation:
        held = leases.holders(rows, digest, EXPLAINED_MAX + 1)
        holders = []
        for number, is_manifest in held[:EXPLAINED_MAX]:
            name = namespaces.name_of(rows, number)
            find = leases.hold_of_manifest if is_manifest else leases.hold_of_blob
            due, has_upload = Due(0, number, digest), name in uploading
            hold = find(rows, due, gone=NOTHING_GONE, has_upload=has_upload)
            if name is not None and hold is not None:
                kind = "manifest" if is_manifest else "blob"
                holders.append(Explained(name, kind, judge(hold, terms)))
        return Explanation(leases.size_of(rows, digest), holders, len(held) <= EXPLAINED_MAX)

    return await storage.read(query)


class Kept(Frozen):
    """What a namespace, or the whole registry, keeps without a reference."""

    leased_blobs: Tally
    leased_manifests: Tally
    untagged: Tally
    has_upload: bool


async def explain_namespace(storage: Storage, name: RepositoryName) -> Kept | None:
    """What keeps the namespace's things besides references; None when it never held anything."""
    uploading = await storage.sessions.namespaces()

    def query(rows: Rows) -> Kept | None:
        number = namespaces.find(rows, name)
        return None if number is None else _kept(rows, number, name in uploading)

    return await storage.read(query)


async def explain_all(storage: Storage) -> Kept:
    """The same of the whole registry."""
    uploading = await storage.sessions.namespaces()
    return await storage.read(lambda rows: _kept(rows, None, bool(uploading)))


def _kept(rows: Rows, namespace: int | None, has_upload: bool) -> Kept:
    return Kept(
        leases.tally_blobs(rows, namespace, TALLIED_MAX),
        leases.tally_manifests(rows, namespace, TALLIED_MAX),
        leases.tally_untagged(rows, namespace, TALLIED_MAX),
        has_upload,
    )
