"""What the tests of `registry` share: a registry over real storage, callers, manifest bodies."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from angos_trio.identity import Action, Caller, Decision, Identity, Target
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.media_types import OCI_INDEX, OCI_MANIFEST
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.policy.immutability import TagRule, TagRules
from angos_trio.policy.quota import Quotas
from angos_trio.registry.context import Limits, Registry
from angos_trio.registry.push_blob import Content, push_blob
from angos_trio.registry.push_manifest import ManifestPush, PushOutcome, push_manifest
from angos_trio.storage.files import Files
from angos_trio.storage.store import Storage
from tests.storage.support import NAME, Source, opened, rows_of

LEASE_SECS = 1000
MUTABLE = TagRule()
IMMUTABLE = TagRule(is_immutable=True, exclusions=(re.compile("latest"),))
EMPTY = b"{}"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass
class Clock:
    """The wall clock of a test, in epoch seconds."""

    now: int = 1_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Asked:
    """A caller's rights: everything, or `get-blob` on some namespaces; notes what was asked."""

    readable: Collection[str] | None = None
    questions: list[tuple[Action, str | None]] = field(default_factory=list)

    async def may(self, action: Action, target: Target) -> Decision:
        self.questions.append((action, target.namespace))
        return Decision(self.readable is None or target.namespace in self.readable, "test")


def caller_of(
    subject: str = "",
    *,
    address: str = "192.0.2.1",
    asked: Asked | None = None,
    sees: Callable[[str], bool] = lambda name: True,
    client: str = "",
) -> Caller:
    """A caller; an empty subject is an anonymous one."""
    identity = Identity("basic" if subject else "anonymous", "", subject, address)
    return Caller(identity, (asked or Asked()).may, sees, client=client)


ANYBODY = caller_of()


def registry_of(
    storage: Storage,
    *,
    clock: Clock | None = None,
    rule: TagRule = MUTABLE,
    allows_missing: bool = True,
    blob_bytes_max: int = 1 << 30,
    uploads_max: int = 100,
) -> Registry:
    """A registry over a storage; a lease is 1,000 s."""
    return Registry(
        storage=storage,
        limits=Limits(4 << 20, blob_bytes_max, uploads_max, LEASE_SECS),
        tag_rules=TagRules(rule, {}),
        allows_missing_references=allows_missing,
        now=clock or Clock(),
        quotas=Quotas(),
    )


@asynccontextmanager
async def opened_registry(
    root: Path, files: Files | None = None, **settings: object
) -> AsyncIterator[Registry]:
    """A registry over the storage of a directory."""
    async with opened(root, files) as storage:
        yield registry_of(storage, **settings)  # type: ignore[arg-type]


def content(source: bytes | Source) -> Content:
    """A request's body of unknown length."""
    return Content(Source(source) if isinstance(source, bytes) else source)


async def push_bytes(registry: Registry, bytes_: bytes, name: RepositoryName = NAME) -> Digest:
    """A blob in one request; its digest."""
    digest = digest_of(bytes_)
    await push_blob(registry, ANYBODY, name, digest, content(bytes_))
    return digest


def descriptor(digest: Digest, media_type: str = LAYER_TYPE, size: int = 1) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def image(
    *layers: Digest,
    config: Digest | None = None,
    subject: Digest | None = None,
    artifact_type: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """An image manifest's bytes."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config or digest_of(EMPTY), CONFIG_TYPE, len(EMPTY)),
        "layers": [descriptor(layer) for layer in layers],
    }
    if subject is not None:
        document["subject"] = descriptor(subject, OCI_MANIFEST)
    if artifact_type is not None:
        document["artifactType"] = artifact_type
    if annotations is not None:
        document["annotations"] = dict(annotations)
    return json.dumps(document).encode()


def index(*entries: Digest, annotations: Mapping[str, str] | None = None) -> bytes:
    """An image index's bytes."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(entry, OCI_MANIFEST) for entry in entries],
    }
    if annotations is not None:
        document["annotations"] = dict(annotations)
    return json.dumps(document).encode()


def numbered(number: int) -> bytes:
    """An image whose bytes depend on the number alone."""
    return image(annotations={"number": str(number)})


async def push(
    registry: Registry,
    reference: Reference | str,
    bytes_: bytes,
    *tags: str,
    name: RepositoryName = NAME,
) -> PushOutcome:
    """A manifest by tag or digest, with the tags of the query."""
    target = reference if isinstance(reference, Digest | Tag) else Tag(reference)
    wanted = tuple(Tag(tag) for tag in tags)
    return await push_manifest(registry, ANYBODY, ManifestPush(name, target, bytes_, None, wanted))


async def push_untagged(registry: Registry, bytes_: bytes, name: RepositoryName = NAME) -> Digest:
    """A manifest by its digest."""
    return (await push(registry, digest_of(bytes_), bytes_, name=name)).digest


def held_bytes(root: Path) -> dict[str, int]:
    """The counter of each namespace, which must be the sum of what stands in its rows."""
    found = rows_of(
        root,
        "SELECT name, held_bytes, "
        "(SELECT total(size) FROM manifests WHERE namespace = n.id) + "
        "(SELECT total(b.size) FROM namespace_blobs h JOIN blobs b ON b.digest = h.digest "
        "WHERE h.namespace = n.id) FROM namespaces n",
    )
    assert all(counter == rows for _, counter, rows in found), found
    return {name: counter for name, counter, _ in found}
