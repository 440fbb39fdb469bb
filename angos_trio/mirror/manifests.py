"""Manifests from upstreams: looked for, verified, and kept like a push."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from angos_trio.auth.memory import AskedOnce
from angos_trio.identity import LOCAL_ADDRESS, Caller, Decision, Identity
from angos_trio.mirror.failures import NotThere, UpstreamError
from angos_trio.mirror.settings import Mirrored
from angos_trio.mirror.upstream import ACCEPT, Upstream
from angos_trio.net.exchange import Exchange
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.manifest import parse_manifest
from angos_trio.oci.media_types import without_parameters
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.registry.push_manifest import ManifestPush, push_manifest
from angos_trio.storage.metadata import namespaces, tags
from angos_trio.storage.metadata.manifests import StoredManifest
from angos_trio.storage.transactions import Transaction

Answer = TypeVar("Answer")

MIRROR: Final = "mirror"
"""The method of who pushes what comes from an upstream."""
NOT_KEPT: Final = frozenset({405, 409, 413, 429, 503, 507})
"""What refuses to keep something, or cannot, and says nothing against it."""


class Found(Frozen):
    """What an upstream says of a reference. `size` and `media_type` are None where it does not say,
    the digest where only the bytes would."""

    upstream: Upstream
    digest: Digest | None
    media_type: str | None
    size: int | None


class Fetched(Frozen):
    """A manifest whose bytes are those of its digest."""

    upstream: Upstream
    digest: Digest
    media_type: str
    body: bytes

    @property
    def facts(self) -> StoredManifest:
        """As if it were stored."""
        return StoredManifest(self.digest, self.media_type, len(self.body), 0)


def caller_of(upstream: Upstream) -> Caller:
    """Who pushes what comes from there."""
    identity = Identity(MIRROR, "", upstream.settings.host, LOCAL_ADDRESS)

    async def may(*_: object) -> Decision:
        return Decision(True, MIRROR)

    return Caller(identity, may, lambda namespace: True)


class Manifests:
    """Asks upstreams about manifests, each thing once for all who ask at the same time."""

    def __init__(self) -> None:
        self._looks: AskedOnce[Found] = AskedOnce()
        self._fetches: AskedOnce[Fetched] = AskedOnce()

    async def look(self, mirrored: Mirrored, name: RepositoryName, reference: Reference) -> Found:
        """What the upstreams say of a reference, by HEAD: it counts against no limit of pulls.

        Raises NotThere when all that could be asked do not have it, else UpstreamError.
        """

        async def work() -> Found:
            return await first_of(
                mirrored, lambda upstream: self._look(upstream, mirrored, name, reference)
            )

        return await self._looks.ask(_key(mirrored, name, reference), work)

    async def _look(
        self, upstream: Upstream, mirrored: Mirrored, name: RepositoryName, reference: Reference
    ) -> Found:
        place = f"manifests/{reference}"
        async with upstream.asked("HEAD", mirrored.remote_name(name), place, ACCEPT) as answer:
            media_type = answer.headers.get("content-type")
            return Found(
                upstream,
                _told_digest(upstream, answer),
                None if media_type is None else without_parameters(media_type),
                answer.length,
            )

    async def fetch(
        self, mirrored: Mirrored, name: RepositoryName, reference: Reference, bytes_max: int
    ) -> Fetched:
        """The manifest itself. Raises as `look`; UpstreamError also for bytes that are not it."""

        async def work() -> Fetched:
            return await first_of(
                mirrored,
                lambda upstream: self._fetch(upstream, mirrored, name, reference, bytes_max),
            )

        return await self._fetches.ask(_key(mirrored, name, reference), work)

    async def _fetch(
        self,
        upstream: Upstream,
        mirrored: Mirrored,
        name: RepositoryName,
        reference: Reference,
        bytes_max: int,
    ) -> Fetched:
        place = f"manifests/{reference}"
        async with upstream.asked("GET", mirrored.remote_name(name), place, ACCEPT) as answer:
            body = await upstream.read(answer, bytes_max)
            told = _told_digest(upstream, answer)
            content_type = answer.headers.get("content-type")
        wanted = reference if isinstance(reference, Digest) else told
        digest = digest_of(body, "sha256" if wanted is None else wanted.algorithm)
        if wanted is not None and digest != wanted:
            raise UpstreamError(f"{upstream.settings.host} sent other bytes than those of {wanted}")
        try:
            facts = parse_manifest(body, content_type)
        except OciError as error:
            raise UpstreamError(
                f"{upstream.settings.host} sent what is no manifest: {error.message}"
            ) from None
        return Fetched(upstream, digest, facts.media_type, body)


def _key(mirrored: Mirrored, name: RepositoryName, reference: Reference) -> bytes:
    return f"{mirrored.repository}\n{name}\n{reference}".encode()


def _told_digest(upstream: Upstream, answer: Exchange) -> Digest | None:
    """What the head says that the bytes are. One that cannot be read is not as good as none."""
    text = answer.headers.get("docker-content-digest")
    if text is None:
        return None
    try:
        return Digest(text)
    except OciError:
        raise UpstreamError(f"{upstream.settings.host} names a digest that is none") from None


async def keep(registry: Registry, name: RepositoryName, fetched: Fetched, tag: Tag | None) -> bool:
    """Keep a manifest as if the upstream had pushed it, by a tag or without; False where there is
    no room for it, or nothing is kept now."""
    wanted = () if tag is None else (tag,)
    push = ManifestPush(name, fetched.digest, fetched.body, fetched.media_type, wanted)
    sparse = replace(registry, allows_missing_references=True)  # the rest comes when it is wanted
    try:
        await push_manifest(sparse, caller_of(fetched.upstream), push)
        if tag is not None:
            await note_checked(registry, name, tag, fetched.digest)
    except OciError as error:
        if error.status in NOT_KEPT:
            return False
        raise
    return True


async def note_checked(registry: Registry, name: RepositoryName, tag: Tag, digest: Digest) -> None:
    """The tag was found to be so. Where nothing can be written it is looked at again sooner."""
    now = registry.now()

    def step(transaction: Transaction) -> None:
        number = namespaces.find(transaction.rows, name)
        if number is not None:
            tags.note_checked(transaction.rows, number, tag, digest, now)

    with suppress(OciError):
        await registry.change(step)


async def first_of(mirrored: Mirrored, ask: Callable[[Upstream], Awaitable[Answer]]) -> Answer:
    """The answer of the first upstream that has one.

    Raises NotThere when every one says that there is no such thing; when one could not say, the
    first such UpstreamError.
    """
    failure: UpstreamError | None = None
    for upstream in mirrored.upstreams:
        try:
            return await ask(upstream)
        except NotThere:
            continue
        except UpstreamError as error:
            failure = failure or error
    raise failure or NotThere(mirrored.repository)
