"""Manifests: what the registry must know of a body that it otherwise keeps as bytes.

Image specification, manifest.md, image-index.md and descriptor.md. Unknown fields are left alone;
known ones must have the type that the specification gives them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final, Literal, TypeGuard

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.media_types import (
    IMAGE_TYPES,
    INDEX_TYPES,
    is_media_type,
    without_parameters,
)
from angos_trio.oci.platform import stated_platforms
from angos_trio.oci.roles import PREDICATE_KEYS, Carried, Role, judge_image
from angos_trio.records import Frozen

ManifestKind = Literal["image", "index"]
ReferenceKind = Literal["config", "layer", "manifest"]
SIZE_MAX: Final = 2**62
"""Bytes; what claims more is taken to be this large."""


class ManifestReference(Frozen):
    """A descriptor in a body: `size` in bytes; the kind is for display only."""

    digest: Digest
    kind: ReferenceKind
    media_type: str
    size: int
    is_elsewhere: bool
    """The descriptor has `urls` (a foreign layer) or carries its content in `data`."""


class ManifestFacts(Frozen):
    """What is recorded beside a body.

    `artifact_type` is the effective one: the body's, else the config's media type (distribution
    specification, "Listing Referrers"). `references` has each digest once. `role` and `carries` are
    the body's word. `platforms` are those of an index; an image's config states its own.
    """

    media_type: str
    kind: ManifestKind
    artifact_type: str | None
    subject: Digest | None
    annotations: Mapping[str, str]
    references: tuple[ManifestReference, ...]
    role: Role
    carries: Carried
    platforms: tuple[str, ...] = ()

    @property
    def named_bytes(self) -> int:
        """What the descriptors say of their sizes, each digest once; never more than rows hold."""
        return min(sum(reference.size for reference in self.references), SIZE_MAX)


def parse_manifest(body: bytes, content_type: str | None) -> ManifestFacts:
    """The facts of a pushed body; `content_type` is the request's header, if it had one.

    Raises OciError: MANIFEST_INVALID (400), or UNSUPPORTED (415) for a type that is no manifest.
    """
    document = load_object(body)
    media_type = _media_type(document, content_type)
    if media_type not in IMAGE_TYPES and media_type not in INDEX_TYPES:
        raise OciError(
            Code.UNSUPPORTED, status=415, message="media type is no manifest", detail=media_type
        )
    version = document.get("schemaVersion")
    if not isinstance(version, int) or version != 2:
        raise _invalid("schemaVersion must be 2")
    parse_kind = _image if media_type in IMAGE_TYPES else _index
    return parse_kind(document, media_type)


def load_object(body: bytes) -> dict[str, object]:
    """A JSON object without a repeated key or a non-finite number, else MANIFEST_INVALID (400)."""
    try:
        document = json.loads(
            body.decode(),
            object_pairs_hook=_once_each,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except (ValueError, RecursionError):
        raise _invalid("body is not JSON, or names a key twice") from None
    if not isinstance(document, dict):
        raise _invalid("body is not a JSON object")
    return document


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("repeated key")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _invalid(detail: str) -> OciError:
    return OciError(Code.MANIFEST_INVALID, detail=detail)


def _media_type(document: Mapping[str, object], content_type: str | None) -> str:
    declared = _optional_media_type(document, "mediaType")
    sent = without_parameters(content_type) if content_type else None
    if sent is None and declared is None:
        raise _invalid("neither Content-Type nor mediaType says what this is")
    if sent is not None and declared is not None and sent != declared:
        raise _invalid(f"Content-Type {sent} is not mediaType {declared}")
    return sent or declared or ""


def _optional_media_type(document: Mapping[str, object], key: str) -> str | None:
    value = document.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_media_type(value):
        raise _invalid(f"{key} is not a media type")
    return value


def _image(document: Mapping[str, object], media_type: str) -> ManifestFacts:
    if "manifests" in document:
        raise _invalid("an image manifest has no manifests")
    config = _descriptor(document.get("config"), "config")
    items = _list(document, "layers")
    layers = [_descriptor(item, "layer") for item in items]
    artifact_type = _optional_media_type(document, "artifactType")
    annotations = _annotations(document)
    predicates = [
        text for texts in (annotations, *map(_texts_of, items)) for text in _predicates(texts)
    ]
    role, carries = judge_image(
        config.media_type, artifact_type, [layer.media_type for layer in layers], predicates
    )
    return ManifestFacts(
        media_type=media_type,
        kind="image",
        artifact_type=artifact_type or config.media_type,
        subject=_subject(document),
        annotations=annotations,
        references=_once([config, *layers]),
        role=role,
        carries=carries,
    )


def _texts_of(item: object) -> Mapping[str, object]:
    annotations = item.get("annotations") if isinstance(item, dict) else None
    return annotations if isinstance(annotations, dict) else {}


def _predicates(annotations: Mapping[str, object]) -> list[str]:
    found = [annotations.get(key) for key in PREDICATE_KEYS]
    return [text for text in found if isinstance(text, str)]


def _index(document: Mapping[str, object], media_type: str) -> ManifestFacts:
    if "config" in document or "layers" in document:
        raise _invalid("an index has neither config nor layers")
    references = [_descriptor(item, "manifest") for item in _list(document, "manifests")]
    return ManifestFacts(
        media_type=media_type,
        kind="index",
        artifact_type=_optional_media_type(document, "artifactType"),
        subject=_subject(document),
        annotations=_annotations(document),
        references=_once(references),
        role=Role.INDEX,
        carries=Carried.NOTHING,
        platforms=stated_platforms(document),
    )


def _once(references: list[ManifestReference]) -> tuple[ManifestReference, ...]:
    first: dict[str, ManifestReference] = {}
    for reference in references:
        first.setdefault(reference.digest, reference)
    return tuple(first.values())


def _list(document: Mapping[str, object], key: str) -> list[object]:
    """A list; null is an empty one, since that is how Go writes a slice that was never made."""
    value = document.get(key, "absent")
    if value is None:
        return []
    if not isinstance(value, list):
        raise _invalid(f"{key} must be a list")
    return value


def _subject(document: Mapping[str, object]) -> Digest | None:
    value = document.get("subject")
    return None if value is None else _descriptor(value, "manifest").digest


def _descriptor(value: object, kind: ReferenceKind) -> ManifestReference:
    if not isinstance(value, dict):
        raise _invalid(f"{kind} descriptor must be an object")
    media_type = value.get("mediaType")
    if not isinstance(media_type, str) or not is_media_type(media_type):
        raise _invalid(f"{kind} descriptor: mediaType is not a media type")
    digest = value.get("digest")
    if not isinstance(digest, str):
        raise _invalid(f"{kind} descriptor: digest must be text")
    size = value.get("size")
    if not is_size(size):
        raise _invalid(f"{kind} descriptor: size must be a count of bytes")
    try:
        checked = Digest(digest)
    except OciError:
        raise _invalid(f"{kind} descriptor: digest {digest[:80]} is not supported") from None
    urls, data = value.get("urls"), value.get("data")
    if urls is not None and not _is_texts(urls):
        raise _invalid(f"{kind} descriptor: urls must be a list of texts")
    if data is not None and not isinstance(data, str):
        raise _invalid(f"{kind} descriptor: data must be text")
    is_elsewhere = bool(urls) or data is not None
    return ManifestReference(checked, kind, media_type, size, is_elsewhere)


def is_size(value: object) -> TypeGuard[int]:
    """Whether a JSON value is a count of bytes that 63 bits hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _annotations(document: Mapping[str, object]) -> Mapping[str, str]:
    value = document.get("annotations")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _invalid("annotations must map text to text")
    return value
