"""Fetching the parts of what was pulled through before anybody asks for them.

Each manifest is a job of its own: of an index it makes jobs of the manifests for the platforms that
are wanted, of an image it fetches what is not here. Blobs come as for a client, so that both meet
in one transfer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

import trio

from angos_trio.jobs.worker import GiveUpError, Rules, TryLaterError, Worker
from angos_trio.limits.mirror import (
    PREFETCH_ADDED_AT_ONCE,
    PREFETCH_ATTEMPTS_MAX,
    PREFETCH_CLAIM_SECS,
    PREFETCH_PARTS_MAX,
    PREFETCHES_MAX,
)
from angos_trio.mirror.fills import Reading
from angos_trio.mirror.pull import PREFETCH, MirrorPuller, prefetch_job
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.manifest import parse_manifest
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.platform import name_of_platform
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.registry.pull import BrokenOffError, Puller, read_body
from angos_trio.storage.metadata import jobs
from angos_trio.storage.metadata.jobs import Job
from angos_trio.storage.store import OpenBlob, Storage
from angos_trio.storage.transactions import Transaction

_NOT_THERE: Final = frozenset({Code.MANIFEST_UNKNOWN, Code.BLOB_UNKNOWN})


class Parts(Frozen):
    """What a manifest names and somebody may want: manifests of an index, blobs of an image."""

    manifests: tuple[Digest, ...] = ()
    blobs: tuple[Digest, ...] = ()


def parts_of(body: bytes, media_type: str, platforms: Collection[str]) -> Parts:
    """What of a manifest is fetched. Raises OciError for what is none.

    `platforms` are `os/architecture`, or with a variant, which is meant whatever the variant where
    there is none; without any all are wanted. What states no platform is wanted always.
    """
    facts = parse_manifest(body, media_type)
    document: dict[str, Any] = json.loads(body)
    if "manifests" not in document:
        blobs = [each.digest for each in facts.references if not each.is_elsewhere]
        return Parts(blobs=tuple(dict.fromkeys(blobs)))
    wanted = [
        Digest(each["digest"])
        for each in document["manifests"] or ()
        if is_wanted(each.get("platform"), platforms)
    ]
    return Parts(manifests=tuple(dict.fromkeys(wanted))[:PREFETCH_PARTS_MAX])


def is_wanted(platform: object, platforms: Collection[str]) -> bool:
    """Whether a part of an index is for one of these platforms."""
    if not platforms or platform is None:
        return True
    name = name_of_platform(platform)
    if name is None:  # what builders write for parts that are no images
        return False
    return any(name == each or name.startswith(f"{each}/") for each in platforms)


class Prefetching(Frozen):
    """The service of the steward. `puller` gives how a namespace is pulled now."""

    storage: Storage
    puller: Callable[[RepositoryName], Puller]
    now: Callable[[], int]

    async def run(self) -> None:
        """Fetch until cancelled. Raises UNAVAILABLE (503, 507)."""
        rules = Rules(PREFETCHES_MAX, PREFETCH_CLAIM_SECS)
        await Worker(self.storage, PREFETCH, self._fetch, rules, self.now).run()

    async def _fetch(self, job: Job) -> None:
        name, digest = _read(job)
        puller = self.puller(name)
        if not isinstance(puller, MirrorPuller) or not puller.mirrored.prefetches:
            raise GiveUpError("the configuration does not have it fetched any more")
        # What comes here is seen to here, and is no new job.
        puller = replace(puller, mirrored=replace(puller.mirrored, prefetches=False))
        try:
            pulled = await puller.manifest(name, digest, for_head=False)
            body = pulled.body
            if body is None:
                body = await read_body(puller.registry, pulled.found)
            look = partial(parts_of, body, pulled.found.media_type, puller.mirrored.platforms)
            parts = await trio.to_thread.run_sync(look)
            for blob in parts.blobs:
                await _fetch_blob(puller, name, blob, job)
            for first in range(0, len(parts.manifests), PREFETCH_ADDED_AT_ONCE):
                some = parts.manifests[first : first + PREFETCH_ADDED_AT_ONCE]
                await self._add(puller.registry, name, some)
        except OciError as error:
            if error.code in _NOT_THERE:
                raise GiveUpError(f"{error.message}: {error.detail}") from error
            raise _later(job, error.message, _secs(error), is_there=error.status == 502) from error
        except BrokenOffError as error:
            raise _later(job, str(error), is_there=True) from error

    async def _add(
        self, registry: Registry, name: RepositoryName, digests: Collection[Digest]
    ) -> None:
        now = self.now()

        def step(transaction: Transaction) -> None:
            for digest in digests:
                jobs.add(transaction.rows, prefetch_job(name, digest, now), now)

        await registry.change(step)


def _later(
    job: Job, problem: str, after_secs: float | None = None, *, is_there: bool = False
) -> Exception:
    """Try again, but not for ever what an upstream that is there gives wrongly."""
    if is_there and job.attempts >= PREFETCH_ATTEMPTS_MAX:
        return GiveUpError(f"{job.attempts} attempts, the last: {problem}")
    return TryLaterError(problem, after_secs=after_secs)


def _read(job: Job) -> tuple[RepositoryName, Digest]:
    try:
        found = json.loads(job.payload)
        return RepositoryName(found["namespace"]), Digest(found["digest"])
    except (ValueError, TypeError, KeyError, OciError) as error:
        raise GiveUpError(f"the row is damaged: {error}") from None


def _secs(error: OciError) -> float | None:
    text = error.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


async def _fetch_blob(puller: MirrorPuller, name: RepositoryName, digest: Digest, job: Job) -> None:
    """Return when a blob is here. Raises OciError, BrokenOffError, TryLaterError, GiveUpError."""
    found = await puller.blob(name, digest)
    try:
        if isinstance(found, OpenBlob):
            return
        if not isinstance(found, Reading):
            problem = "it cannot be kept: there is no room for it, or no change is taken"
            raise _later(job, problem, is_there=True)
        await found.wait()
    finally:
        found.close()
