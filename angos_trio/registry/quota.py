"""Quotas: what is new in a namespace must fit, by the committed rows."""

from __future__ import annotations

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.policy.quota import Quota
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import blobs, manifests, namespaces
from angos_trio.storage.transactions import Rows


def require_blob_fits(
    rows: Rows, quota: Quota | None, name: RepositoryName, digest: Digest | None, size: int
) -> None:
    """Raise DENIED (413) when a blob is more than the quota leaves.

    One that the namespace holds is free. Without a digest it counts as new.
    """
    if quota is None or size == 0:
        return
    number = namespaces.find(rows, name)
    is_held = digest is not None and number is not None and blobs.is_held(rows, number, digest)
    if not is_held:
        quota.require(_used(rows, quota), size)


def require_manifest_fits(
    rows: Rows, quota: Quota | None, namespace: int, digest: Digest, size: int
) -> None:
    """The same of a manifest."""
    if quota is not None and not manifests.is_held(rows, namespace, digest):
        quota.require(_used(rows, quota), size)


async def refuse_early(
    registry: Registry, name: RepositoryName, digest: Digest | None, size: int
) -> None:
    """Raise DENIED (413) before a byte is read of a blob whose announced length does not fit."""
    quota = registry.quotas.quota_for(name)
    if quota is not None and size > 0:
        await registry.storage.read(lambda rows: require_blob_fits(rows, quota, name, digest, size))


def _used(rows: Rows, quota: Quota) -> int:
    """Bytes of the namespaces that belong to the repository."""
    inner = sum(namespaces.held_bytes_below(rows, name) for name in quota.inner)
    return namespaces.held_bytes_below(rows, quota.repository) - inner
