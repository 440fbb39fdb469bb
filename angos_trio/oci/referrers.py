"""The referrers index (distribution specification, "Listing Referrers", "Referrers Tag Schema")."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.manifest import is_size, load_object
from angos_trio.oci.media_types import OCI_INDEX, is_media_type
from angos_trio.oci.names import Tag
from angos_trio.records import Frozen


class Referrer(Frozen):
    """A manifest that names a subject; `size` in bytes."""

    digest: Digest
    media_type: str
    size: int
    artifact_type: str | None
    annotations: Mapping[str, str]

    def descriptor(self) -> dict[str, object]:
        """As an entry of the answer's `manifests`."""
        entry: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.artifact_type is not None:
            entry["artifactType"] = self.artifact_type
        if self.annotations:
            entry["annotations"] = dict(self.annotations)
        return entry


def parse_artifact_type(text: str) -> str:
    """The filter's value: a media type, else MANIFEST_INVALID (400)."""
    if not is_media_type(text):
        raise OciError(Code.MANIFEST_INVALID, detail=text, message="artifactType invalid")
    return text


def fallback_tag(subject: Digest) -> Tag:
    """The tag of the fallback index: algorithm and hex, the hex cut to 64 characters."""
    return Tag(f"{subject.algorithm}-{subject.hex[:64]}")


def parse_fallback_index(body: bytes) -> list[Referrer]:
    """The entries of a fallback index; what is malformed is left out, never an error.

    The index was written by a client for itself, so one bad entry must not hide the others.
    """
    try:
        manifests = load_object(body).get("manifests")
    except OciError:
        return []
    if not isinstance(manifests, list):
        return []
    found = [_fallback_entry(item) for item in manifests]
    return [referrer for referrer in found if referrer is not None]


def _fallback_entry(item: object) -> Referrer | None:
    if not isinstance(item, dict):
        return None
    media_type, digest, size = item.get("mediaType"), item.get("digest"), item.get("size")
    artifact_type, annotations = item.get("artifactType"), item.get("annotations")
    if not isinstance(digest, str) or not isinstance(media_type, str):
        return None
    if not is_media_type(media_type) or not is_size(size):
        return None
    try:
        checked = Digest(digest)
    except OciError:
        return None
    texts = annotations if isinstance(annotations, dict) else {}
    return Referrer(
        digest=checked,
        media_type=media_type,
        size=size,
        artifact_type=artifact_type if isinstance(artifact_type, str) and artifact_type else None,
        annotations={key: text for key, text in texts.items() if isinstance(text, str)},
    )


def merge(
    stored: Iterable[Referrer], fallback: Iterable[Referrer], artifact_type: str | None
) -> list[Referrer]:
    """Both lists as one, each digest once (what is stored wins), filtered, in digest order."""
    by_digest = {referrer.digest: referrer for referrer in fallback}
    by_digest.update({referrer.digest: referrer for referrer in stored})
    kept = [
        referrer
        for referrer in by_digest.values()
        if artifact_type is None or referrer.artifact_type == artifact_type
    ]
    return sorted(kept, key=lambda referrer: referrer.digest)


def cut_page(
    referrers: list[Referrer], entries_max: int, bytes_max: int
) -> tuple[list[Referrer], bool]:
    """The first entries that fit both bounds (at least one), and whether more follow."""
    page: list[Referrer] = []
    used = len(render_index([]))
    for referrer in referrers:
        used += len(_render(referrer.descriptor())) + 1
        if page and (len(page) >= entries_max or used > bytes_max):
            return page, True
        page.append(referrer)
    return page, False


def render_index(referrers: Iterable[Referrer]) -> bytes:
    """The answer's body: an image index."""
    return _render(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [referrer.descriptor() for referrer in referrers],
        }
    )


def _render(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
