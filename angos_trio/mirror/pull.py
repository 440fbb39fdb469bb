"""Pulling through: what is here, else what upstream has; and what is here when upstream is gone."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import trio

from angos_trio.clock import iso
from angos_trio.limits.mirror import HELD_BACK_BYTES, PREFETCH_WAITING_MAX, TAG_NOTED_SECS
from angos_trio.limits.requests import MOUNT_CANDIDATES_MAX
from angos_trio.mirror import manifests as remote
from angos_trio.mirror.failures import NotThere, Unsaved, UpstreamError
from angos_trio.mirror.fills import Fills, Progress
from angos_trio.mirror.manifests import Fetched, Manifests, caller_of, first_of, keep
from angos_trio.mirror.referrers import Referrers
from angos_trio.mirror.settings import Mirrored, Mirrors
from angos_trio.mirror.upstream import Upstream
from angos_trio.net.exchange import Exchange
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, new_hash
from angos_trio.oci.names import Reference, RepositoryName, SessionId, Tag, longest_prefix
from angos_trio.oci.referrers import Referrer
from angos_trio.records import Frozen, Mutable
from angos_trio.registry.context import Registry
from angos_trio.registry.mount import mount_blob
from angos_trio.registry.pull import (
    Arriving,
    BrokenOffError,
    LocalPuller,
    Pulled,
    Puller,
    Source,
    Span,
    find_manifest,
    open_blob,
    read_body,
)
from angos_trio.registry.push_blob import Content, push_blob
from angos_trio.storage.metadata import blobs, jobs, tags
from angos_trio.storage.metadata.jobs import Wanted
from angos_trio.storage.metadata.manifests import StoredManifest
from angos_trio.storage.store import OpenBlob
from angos_trio.storage.transactions import Transaction
from angos_trio.storage.uploads import Following
from angos_trio.telemetry.metrics import UpstreamMetrics

Answer = TypeVar("Answer")
PREFETCH: Final = "prefetch"
"""The queue of manifests whose parts are fetched before anybody asks for them."""
_OTHER_BYTES: Final = "the upstream sent other bytes than those of the digest"


class Memory(Mutable):
    """What a process has under way, whatever the configuration."""

    fills: Fills
    manifests: Manifests
    referrers: Referrers
    metrics: UpstreamMetrics


def puller_of(
    mirrors: Mirrors, memory: Memory, registry: Registry, name: RepositoryName
) -> Puller | None:
    """How a namespace is pulled through; None where it is not."""
    mirrored = mirrors.of(name)
    return None if mirrored is None else MirrorPuller(registry, mirrored, memory)


class MirrorPuller(Frozen):
    """A `Puller` that asks upstreams for what is not here, and for tags."""

    registry: Registry
    mirrored: Mirrored
    memory: Memory

    @property
    def sources(self) -> Sequence[Source]:
        """The upstreams, and how they do."""
        offline = "the repository is offline" if self.mirrored.is_offline else None
        return [
            Source(upstream.settings.host, offline or upstream.problem)
            for upstream in self.mirrored.upstreams
        ]

    async def manifest(
        self, name: RepositoryName, reference: Reference, *, for_head: bool
    ) -> Pulled:
        """By digest what is here counts; by tag what the upstream says, if it can be asked.

        Raises MANIFEST_UNKNOWN (404) for what is not there, and UNAVAILABLE (502, 503) with the
        reason where nobody could say and nothing is here.
        """
        here = await self._here(name, reference)
        if here is not None and isinstance(reference, Digest):
            return await LocalPuller(self.registry).manifest(name, reference, for_head=for_head)
        try:
            self._require_online()
            if isinstance(reference, Digest):
                return await self._fetched(name, reference, None)
            return await self._by_tag(name, reference, here, for_head=for_head)
        except NotThere:
            raise OciError(Code.MANIFEST_UNKNOWN, detail=reference) from None
        except UpstreamError as error:
            self.memory.metrics.upstream_failed(self.mirrored.repository)
            if here is None or not isinstance(reference, Tag) or not self.mirrored.serves_stale:
                raise error.answer(reference) from error
            self.memory.metrics.served_stale(self.mirrored.repository)
            return Pulled(here, await self._stale(name, reference, error))

    async def _here(self, name: RepositoryName, reference: Reference) -> StoredManifest | None:
        try:
            return await find_manifest(self.registry, name, reference)
        except OciError as error:
            if error.code is not Code.MANIFEST_UNKNOWN:
                raise
            return None

    def _require_online(self) -> None:
        if self.mirrored.is_offline:
            raise UpstreamError(f"{self.mirrored.repository} is offline", status=503)

    async def _by_tag(
        self, name: RepositoryName, tag: Tag, here: StoredManifest | None, *, for_head: bool
    ) -> Pulled:
        age_secs = await self._age_secs(name, tag)
        if here is not None and not self._is_due(name, tag, age_secs):
            return Pulled(here)
        looked = await self.memory.manifests.look(self.mirrored, name, tag)
        if here is not None and looked.digest == here.digest:
            if age_secs >= (self.mirrored.tag_check_secs or TAG_NOTED_SECS):
                await remote.note_checked(self.registry, name, tag, here.digest)
            return Pulled(here)
        if for_head and looked.digest and looked.media_type and looked.size is not None:
            # A client looks whether a tag has moved: that is no reason to move the manifest.
            return Pulled(StoredManifest(looked.digest, looked.media_type, looked.size, 0))
        known = None if looked.digest is None else await self._here(name, looked.digest)
        if known is not None:  # the tag has moved to what is here already
            body = await read_body(self.registry, known)
            moved = Fetched(looked.upstream, known.digest, known.media_type, body)
            await keep(self.registry, name, moved, tag)
            return Pulled(known)
        if looked.digest is not None:
            with suppress(NotThere):  # one that does not give what it names is asked by the tag
                return await self._fetched(name, looked.digest, tag)
        return await self._fetched(name, tag, tag)

    async def _age_secs(self, name: RepositoryName, tag: Tag) -> float:
        """Since when nobody looked at a tag; infinite where nobody ever did, or only tomorrow."""
        checked_at = await self.registry.storage.read_point(
            partial(tags.checked_at, name=name, tag=tag)
        )
        secs = math.inf if checked_at is None else self.registry.now() - checked_at
        return secs if secs >= 0 else math.inf

    def _is_due(self, name: RepositoryName, tag: Tag, age_secs: float) -> bool:
        """Whether the upstream is to be asked about a tag that is here."""
        rule, secs = self.registry.tag_rules.rule_for(name), self.mirrored.tag_check_secs
        return not rule.protects(tag) and secs is not None and age_secs >= secs

    async def _fetched(self, name: RepositoryName, reference: Reference, tag: Tag | None) -> Pulled:
        bytes_max = self.registry.limits.manifest_bytes_max
        fetched = await self.memory.manifests.fetch(self.mirrored, name, reference, bytes_max)
        self.memory.metrics.pulled_through(self.mirrored.repository, "manifest", len(fetched.body))
        is_kept = await keep(self.registry, name, fetched, tag)
        if is_kept and self.mirrored.prefetches:
            await self._have_prefetched(name, fetched.digest)
        return Pulled(fetched.facts, {}, None if is_kept else fetched.body)

    async def _have_prefetched(self, name: RepositoryName, digest: Digest) -> None:
        """Its parts come by themselves. Where that cannot be written they come when asked for."""
        now = self.registry.now()

        def step(transaction: Transaction) -> None:
            if jobs.count_waiting(transaction.rows, PREFETCH) < PREFETCH_WAITING_MAX:
                jobs.add(transaction.rows, prefetch_job(name, digest, now), now)

        with suppress(OciError):
            await self.registry.change(step)

    async def _stale(
        self, name: RepositoryName, tag: Tag, error: UpstreamError
    ) -> Mapping[str, str]:
        """Headers for who gets what may no longer be so (RFC 7234 5.5: later ones leave 111 out
        and clients know it all the same)."""
        checked_at = await self.registry.storage.read_point(
            partial(tags.checked_at, name=name, tag=tag)
        )
        since = "unknown" if checked_at is None else iso(checked_at) or "unknown"
        ascii_only = error.reason.encode("ascii", "replace").decode().replace('"', "'")
        reason = "".join(character for character in ascii_only if character.isprintable())
        return {
            "Warning": f'111 - "Revalidation Failed: {reason}"',
            "X-Angos-Stale": f"checked={since}",
        }

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int | None:
        """Of what is here, else what the upstream says."""
        try:
            return await LocalPuller(self.registry).blob_size(name, digest)
        except OciError as error:
            if error.code is not Code.BLOB_UNKNOWN:
                raise
        return (await self._answered(digest, partial(self._head_blob, name, digest))).size

    async def _head_blob(self, name: RepositoryName, digest: Digest) -> _Headed:
        self._require_online()

        async def ask(upstream: Upstream) -> _Headed:
            place, remote_name = f"blobs/{digest}", self.mirrored.remote_name(name)
            async with upstream.asked("HEAD", remote_name, place) as answer:
                return _Headed(upstream, answer.length)

        return await first_of(self.mirrored, ask)

    async def blob(self, name: RepositoryName, digest: Digest) -> OpenBlob | Arriving:
        """What is here, else what is on its way, once it has begun to come."""
        try:
            return await open_blob(self.registry, name, digest)
        except OciError as error:
            if error.code is not Code.BLOB_UNKNOWN:
                raise
        return await self._answered(digest, partial(self._blob, name, digest))

    async def _blob(self, name: RepositoryName, digest: Digest) -> OpenBlob | Arriving:
        self._require_online()
        fetch = partial(self._fetch_blob, name, digest)
        try:
            reading = await self.memory.fills.join(name, digest, fetch)
        except Unsaved:
            return await self._pass_through(name, digest)
        except BrokenOffError as error:
            raise UpstreamError(str(error)) from error
        return reading or await open_blob(self.registry, name, digest)

    async def referrers(self, name: RepositoryName, subject: Digest) -> Sequence[Referrer]:
        """What the upstreams know; nothing where none is to be asked, or can be."""
        if self.mirrored.is_offline:
            return ()
        return await self.memory.referrers.of(self.mirrored, name, subject)

    async def _answered(self, digest: Digest, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What comes of asking upstreams for a blob, as a client is told."""
        try:
            return await ask()
        except NotThere:
            raise OciError(Code.BLOB_UNKNOWN, detail=digest) from None
        except UpstreamError as error:
            self.memory.metrics.upstream_failed(self.mirrored.repository)
            raise error.answer(digest) from error

    async def _fetch_blob(self, name: RepositoryName, digest: Digest, progress: Progress) -> None:
        """Make a blob visible in the namespace: what another of the repository holds is mounted,
        once the upstream says that it is here too; else it is fetched."""
        try:
            await self.registry.require_changeable()
            if await self._is_mounted(name, digest):
                return
            await first_of(self.mirrored, partial(self._store, name, digest, progress))
        except OciError as error:
            if error.status in remote.NOT_KEPT:
                raise Unsaved from error
            if error.code is Code.DIGEST_INVALID:
                raise UpstreamError(_OTHER_BYTES) from error
            raise

    async def _is_mounted(self, name: RepositoryName, digest: Digest) -> bool:
        """Of the same repository alone: who holds a blob elsewhere need not let this upstream's
        readers have it, and an upstream may say of any digest that it has it."""
        found = await self.registry.storage.read(
            partial(blobs.holders, digest=digest, limit=MOUNT_CANDIDATES_MAX)
        )
        known = self.registry.tag_rules.by_repository
        holders = [
            each for each in found if longest_prefix(each, known) == self.mirrored.repository
        ]
        if not holders:
            return False
        headed = await self._head_blob(name, digest)
        caller = caller_of(headed.upstream)
        return await mount_blob(self.registry, caller, name, digest, holders[0])

    async def _store(
        self, name: RepositoryName, digest: Digest, progress: Progress, upstream: Upstream
    ) -> None:
        """From the first byte on no other upstream takes its place: somebody may have got some."""
        place, remote_name = f"blobs/{digest}", self.mirrored.remote_name(name)
        async with upstream.asked("GET", remote_name, place) as answer:
            size = answer.length
            parts = _Parts(upstream, answer, self.registry.storage.receiver.chunk_bytes)
            content = Content(parts, size)

            async def arrives(session: SessionId) -> None:
                await progress.told(session, size)

            try:
                caller = caller_of(upstream)
                following = Following(arrives, progress.arrived, progress.verified)
                await push_blob(self.registry, caller, name, digest, content, following)
            except UpstreamError as error:
                raise BrokenOffError(error.reason) from error
        self.memory.metrics.pulled_through(self.mirrored.repository, "blob", size or 0)

    async def _pass_through(self, name: RepositoryName, digest: Digest) -> Arriving:
        """A blob for one client, which is not kept."""

        async def ask(upstream: Upstream) -> Arriving:
            place, remote_name = f"blobs/{digest}", self.mirrored.remote_name(name)
            return _Passing(upstream, await upstream.ask("GET", remote_name, place), digest)

        return await first_of(self.mirrored, ask)


def prefetch_job(name: RepositoryName, digest: Digest, now: int) -> Wanted:
    """The job that fetches the parts of a manifest; it waits once, however often it is wanted."""
    lane = f"{name}@{digest}"
    payload = json.dumps({"namespace": name, "digest": digest})
    return Wanted(PREFETCH, lane, payload, now, lane)


class _Headed(Frozen):
    """What an upstream says of a blob; no size where it says none."""

    upstream: Upstream
    size: int | None


class _Parts(Mutable):
    """A blob's bytes as they come, as many at once as the store takes. No generator: who reads
    stops waiting for the next part now and then, which would end one."""

    upstream: Upstream
    answer: Exchange
    bytes_max: Callable[[], int]

    def __aiter__(self) -> _Parts:
        return self

    async def __anext__(self) -> bytes:
        part = await self.upstream.receive(self.answer, self.bytes_max())
        if not part:
            raise StopAsyncIteration
        return part


class _Passing(Mutable):
    """A blob that goes through to one client. Its end is held back until all of it is verified."""

    upstream: Upstream
    answer: Exchange
    digest: Digest

    @property
    def size(self) -> int | None:
        """Bytes, if the upstream said so."""
        return self.answer.length

    async def pieces(self, offset: int, end: int | None) -> AsyncGenerator[bytes | Span, None]:
        """The bytes from an offset to an end; what comes before is read and dropped."""
        hasher, held, at = new_hash(self.digest.algorithm), bytearray(), 0
        try:
            while part := await self.upstream.receive(self.answer):
                await trio.to_thread.run_sync(hasher.update, part)
                wanted = part[max(0, offset - at) : None if end is None else max(0, end - at)]
                at += len(part)
                held += wanted
                ready = len(held) - HELD_BACK_BYTES
                if ready > 0:
                    content = bytes(held[:ready])
                    del held[:ready]
                    yield content
        except UpstreamError as error:
            raise BrokenOffError(error.reason) from error
        finally:
            self.answer.close()
        if hasher.hexdigest() != self.digest.hex:
            raise BrokenOffError(_OTHER_BYTES)
        yield bytes(held)

    def close(self) -> None:
        """Close the connection to the upstream."""
        self.answer.close()
