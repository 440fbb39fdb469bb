"""Everything about one manifest: what it is made of, what is around it, what nobody else has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from angos_trio.browse.pulled import Pulled, pulled_of
from angos_trio.browse.revisions import Related, related_of
from angos_trio.identity import Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.housekeeping import CONFIG_BLOB_BYTES_MAX
from angos_trio.limits.lists import PARTS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.image_config import ImageConfig, Step, parse_image_config
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.oci.platform import CONFIG_TYPES, name_of_platform
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.registry.pull import find_manifest, read_body
from angos_trio.storage.metadata import blobs, listings, namespaces
from angos_trio.storage.metadata.listings import RevisionRow, Sharing
from angos_trio.storage.transactions import Rows

_REFERS_TO = "vnd.docker.reference.digest"
"""The annotation by which BuildKit says which image of an index an attestation is about."""


class Layer(Frozen):
    """A blob that an image names: `size` as its descriptor says; `sharing` None where the namespace
    does not hold it; `seen` other namespaces that the caller sees and that hold it; `step` the
    entry of the history that made it, where that is known."""

    digest: Digest
    media_type: str
    size: int
    annotations: Mapping[str, str]
    sharing: Sharing | None
    step: Step | None
    seen: int = 0


class Part(Frozen):
    """A manifest that an index lists; `row` is None where the namespace does not hold it, and
    `about` is the part that it attests something of."""

    digest: Digest
    media_type: str
    size: int
    platform: str | None
    about: str | None
    row: RevisionRow | None


class Detail(Frozen):
    """A manifest as a page of its own shows it. Of a config that is not here, or is no image's,
    nothing is known; `is_whole` is False where there are more layers or parts than are told."""

    row: RevisionRow
    tag: Tag | None
    annotations: Mapping[str, str]
    related: Related
    pulled: Pulled
    config: Layer | None
    image: ImageConfig | None
    layers: tuple[Layer, ...]
    parts: tuple[Part, ...]
    is_whole: bool


async def describe_manifest(
    registry: Registry, caller: Caller, name: RepositoryName, reference: Reference
) -> Detail:
    """What a tag or a digest names. Raises MANIFEST_UNKNOWN (404)."""
    found = await find_manifest(registry, name, reference)
    body = await read_body(registry, found)
    detail = await registry.storage.read(
        lambda rows: _describe(rows, registry, name, found.digest, body)
    )
    if detail is None:
        raise OciError(Code.MANIFEST_UNKNOWN, detail=reference)
    detail["layers"] = await _as_seen(caller, detail["layers"])
    noted = await pulled_of(registry, name, [reference])
    tag = reference if isinstance(reference, Tag) else None
    return Detail(pulled=noted.of(reference), tag=tag, **detail)


async def _as_seen(caller: Caller, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """With how many other namespaces the caller sees that hold each."""
    names = {name for layer in layers if layer.sharing for name in layer.sharing.others}
    await caller.learn(sorted(names), trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
    seen = {name for name in names if caller.sees(name)}
    return tuple(
        replace(layer, seen=len(seen.intersection(layer.sharing.others if layer.sharing else ())))
        for layer in layers
    )


def _describe(
    rows: Rows, registry: Registry, name: RepositoryName, digest: Digest, body: bytes
) -> dict[str, Any] | None:
    """Runs in a reader's thread."""
    namespace = namespaces.find(rows, name)
    row = None if namespace is None else listings.find_revision(rows, namespace, digest)
    if namespace is None or row is None:
        return None
    document = json.loads(body)  # it was checked when it was pushed
    layers = _descriptors(document, "layers")
    entries = _descriptors(document, "manifests")
    image = _image_config(rows, registry, name, document)
    steps = None if image is None else image.steps_of_layers(len(document.get("layers") or []))
    config = document.get("config")
    return {
        "row": row,
        "annotations": document.get("annotations") or {},
        "related": related_of(rows, namespace, digest),
        "config": None if config is None else _layer(rows, namespace, config, None),
        "image": image,
        "layers": tuple(
            _layer(rows, namespace, item, None if steps is None else steps[number])
            for number, item in enumerate(layers)
        ),
        "parts": tuple(_part(rows, namespace, item) for item in entries),
        "is_whole": max(len(document.get("layers") or []), len(document.get("manifests") or []))
        <= PARTS_MAX,
    }


def _descriptors(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (document.get(key) or [])[:PARTS_MAX]
    return found


def _image_config(
    rows: Rows, registry: Registry, name: RepositoryName, document: Mapping[str, Any]
) -> ImageConfig | None:
    config = document.get("config")
    if config is None or config["mediaType"] not in CONFIG_TYPES:
        return None
    digest = Digest(config["digest"])
    if blobs.find_held(rows, name, digest) is None:
        return None
    content = registry.storage.read_blob_blocking(digest, CONFIG_BLOB_BYTES_MAX)
    return None if content is None else parse_image_config(content)


def _layer(rows: Rows, namespace: int, item: Mapping[str, Any], step: Step | None) -> Layer:
    digest = Digest(item["digest"])
    sharing = listings.sharing_of(rows, namespace, digest)
    return Layer(digest, item["mediaType"], item["size"], _texts(item), sharing, step)


def _part(rows: Rows, namespace: int, item: Mapping[str, Any]) -> Part:
    return Part(
        digest=Digest(item["digest"]),
        media_type=item["mediaType"],
        size=item["size"],
        platform=name_of_platform(item.get("platform")),
        about=_texts(item).get(_REFERS_TO),
        row=listings.find_revision(rows, namespace, item["digest"]),
    )


def _texts(item: Mapping[str, Any]) -> Mapping[str, str]:
    found = item.get("annotations")
    texts = found if isinstance(found, dict) else {}
    return {key: text for key, text in texts.items() if isinstance(text, str)}
