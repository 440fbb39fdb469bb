"""Reading: manifests and blobs, through a namespace that holds them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from angos_trio.limits.housekeeping import HURRIED_LEASE_SECS
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.names import Reference, RepositoryName
from angos_trio.oci.referrers import Referrer
from angos_trio.records import Frozen, field
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import blobs, leases, manifests, namespaces
from angos_trio.storage.metadata.blobs import HeldBlob
from angos_trio.storage.metadata.manifests import StoredManifest
from angos_trio.storage.store import OpenBlob
from angos_trio.storage.transactions import Rows, Step, Transaction
from angos_trio.telemetry.log import logger

_log = logger("registry.pull")


class Pulled(Frozen):
    """A manifest for who asks, headers that say more of it, and its bytes where they are not kept
    here."""

    found: StoredManifest
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class BrokenOffError(Exception):
    """What had begun to come does not come to its end, or is not what it should be: who reads along
    has their connection ended."""


class Span(Frozen):
    """Bytes that stand in an open file already."""

    descriptor: int
    offset: int
    length: int


class Arriving(Protocol):
    """A blob on its way from elsewhere. `size` in bytes is None where nobody has said."""

    @property
    def size(self) -> int | None: ...

    def pieces(self, offset: int, end: int | None) -> AsyncGenerator[bytes | Span, None]:
        """The bytes from an offset to an end, or where they are. Raises BrokenOffError where they
        cannot be had to the end; closing it early ends nothing but itself."""

    def close(self) -> None:
        """Let go of what was opened for it; twice is fine."""


class Source(Frozen):
    """A registry that content comes from. `problem`: why it is left alone at this moment, as far as
    this process knows."""

    host: str
    problem: str | None


class Puller(Protocol):
    """How a repository's content is pulled: from what is here, or through."""

    @property
    def sources(self) -> Sequence[Source]:
        """From where it comes, besides from those who push."""

    async def manifest(
        self, name: RepositoryName, reference: Reference, *, for_head: bool
    ) -> Pulled:
        """What a reference names. Raises MANIFEST_UNKNOWN (404), or UNAVAILABLE (502, 503)."""

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int | None:
        """The size of a blob that a client will rely on. Raises BLOB_UNKNOWN (404)."""

    async def blob(self, name: RepositoryName, digest: Digest) -> OpenBlob | Arriving:
        """Its bytes. Raises BLOB_UNKNOWN (404)."""

    async def referrers(self, name: RepositoryName, subject: Digest) -> Sequence[Referrer]:
        """What refers to a manifest and is not known here."""


class LocalPuller(Frozen):
    """From what is here."""

    registry: Registry

    @property
    def sources(self) -> Sequence[Source]:
        """None but those who push."""
        return ()

    async def manifest(
        self, name: RepositoryName, reference: Reference, *, for_head: bool
    ) -> Pulled:
        """What is found by a digest with HEAD is kept for the client, who will rely on it."""
        if for_head and isinstance(reference, Digest):
            return Pulled(await promise_manifest(self.registry, name, reference))
        return Pulled(await find_manifest(self.registry, name, reference))

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int | None:
        """Its size; its lease is renewed."""
        return (await promise_blob(self.registry, name, digest)).size

    async def blob(self, name: RepositoryName, digest: Digest) -> OpenBlob | Arriving:
        """Its file."""
        return await open_blob(self.registry, name, digest)

    async def referrers(self, name: RepositoryName, subject: Digest) -> Sequence[Referrer]:
        """Everything that is known is known here."""
        return ()


async def find_manifest(
    registry: Registry, name: RepositoryName, reference: Reference
) -> StoredManifest:
    """What a tag or digest names here, without its body. Raises MANIFEST_UNKNOWN (404)."""

    def query(rows: Rows) -> StoredManifest | None:
        if isinstance(reference, Digest):
            return manifests.find_by_digest(rows, name, reference)
        return manifests.find_by_tag(rows, name, reference)

    found = await registry.storage.read_point(query)
    if found is None:
        raise OciError(Code.MANIFEST_UNKNOWN, detail=reference)
    return found


async def read_body(registry: Registry, found: StoredManifest) -> bytes:
    """The bytes of a manifest that was found. Raises MANIFEST_UNKNOWN when it went meanwhile.

    Bytes that are not those of the digest are damage: it is reported, and answered with
    UNAVAILABLE (503). What is kept in memory was right when it was read.
    """
    bodies = registry.storage.bodies
    body = bodies.get(found.digest)
    if body is None:

        def query(rows: Rows) -> tuple[bytes | None, bool]:
            read = manifests.read_body(rows, found.digest)
            return read, bool(read) and digest_of(
                read or b"", found.digest.algorithm
            ) == found.digest

        body, is_right = await registry.storage.read(query)
        if not body:
            raise OciError(Code.MANIFEST_UNKNOWN, detail=found.digest)
        if not is_right:
            _log.error("manifest.damaged", digest=found.digest)
            message = "manifest cannot be read"
            raise OciError(Code.UNAVAILABLE, status=503, message=message, detail=found.digest)
        bodies.put(found.digest, body)
    return body


async def find_blob(registry: Registry, name: RepositoryName, digest: Digest) -> HeldBlob:
    """A blob that the namespace holds. Raises BLOB_UNKNOWN (404)."""
    held = await registry.storage.read_point(lambda rows: blobs.find_held(rows, name, digest))
    if held is None:
        raise OciError(Code.BLOB_UNKNOWN, detail=digest)
    return held


async def promise_blob(registry: Registry, name: RepositoryName, digest: Digest) -> HeldBlob:
    """As `find_blob`, for a client that will rely on the answer.

    A blob that is not part of a tagged image has its lease renewed before the answer, when less
    than half of it is left.
    """
    held = await find_blob(registry, name, digest)
    if await _needs_lease(registry, name, digest, held.lease_until):
        lease_until = registry.lease_until()

        def step(transaction: Transaction) -> None:
            rows = transaction.rows
            namespace = namespaces.find(rows, name)
            if namespace is None or blobs.find_held(rows, name, digest) is None:
                raise OciError(Code.BLOB_UNKNOWN, detail=digest)
            blobs.hold(rows, namespace, digest, lease_until)

        await _promise(registry, step)
    return held


async def promise_manifest(
    registry: Registry, name: RepositoryName, digest: Digest
) -> StoredManifest:
    """As `find_manifest`, for a client that will rely on the answer: see `promise_blob`."""
    found = await find_manifest(registry, name, digest)
    if await _needs_lease(registry, name, digest, found.lease_until):
        lease_until = registry.lease_until()

        def step(transaction: Transaction) -> None:
            rows = transaction.rows
            namespace = namespaces.find(rows, name)
            if namespace is None or not leases.renew_manifest(rows, namespace, digest, lease_until):
                raise OciError(Code.MANIFEST_UNKNOWN, detail=digest)

        await _promise(registry, step)
    return found


async def _promise(registry: Registry, step: Step[None]) -> None:
    """Renew a lease. Where nothing can be committed the answer is what is there, without a promise:
    a pull begins with it as well, and pushes are refused then."""
    try:
        await registry.storage.write(step, makes_room=True)
    except OciError as error:
        if error.code is not Code.UNAVAILABLE:
            raise


async def _needs_lease(
    registry: Registry, name: RepositoryName, digest: Digest, lease_until: int
) -> bool:
    """Whether nothing else keeps it for half a lease, and for some minutes in a collection that
    does not wait for leases. What a tag keeps has a new lease once the tag goes; a reference of an
    untagged manifest may be collected with it at any time."""
    lease_secs = registry.limits.lease_secs
    enough_secs = max(lease_secs // 2, lease_secs - HURRIED_LEASE_SECS // 2)
    if lease_until - registry.now() >= enough_secs:
        return False
    return not await registry.storage.read_point(
        lambda rows: leases.is_tagged_through(rows, name, digest)
    )


async def open_blob(registry: Registry, name: RepositoryName, digest: Digest) -> OpenBlob:
    """The bytes of a blob that the namespace holds; the caller closes the descriptor.

    Raises BLOB_UNKNOWN (404). A row without a file, or with one of another length, is damage:
    it is reported, and answered with UNAVAILABLE (503).
    """
    held = await find_blob(registry, name, digest)
    opened = await registry.storage.open_blob(digest)
    if opened is not None and opened.size == held.size:
        return opened
    if opened is not None:
        opened.close()
    await find_blob(registry, name, digest)
    _log.error("blob.damaged", namespace=name, digest=digest, size=held.size)
    raise OciError(Code.UNAVAILABLE, status=503, message="blob cannot be read", detail=digest)
