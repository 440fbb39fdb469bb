"""What is wrong with a blob or a manifest: rows and bytes in, finding out."""

from __future__ import annotations

import json
from enum import StrEnum

from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.manifest import ManifestFacts, parse_manifest
from angos_trio.records import Frozen


class Flaw(StrEnum):
    """What a scrub finds, as it is counted and told."""

    DATABASE = "database"
    """SQLite itself says that a table is damaged; it is told, and not repaired."""
    NAMESPACE_UNKNOWN = "namespace_unknown"
    """A row of a namespace that has no name: nobody can reach it."""
    LEASE_LOST = "lease_lost"
    """Nothing refers to it, and nothing says when to look at it again."""
    TAG_OUT_OF_ORDER = "tag_out_of_order"
    """Lists would show it in the wrong place."""
    TAG_TO_NOTHING = "tag_to_nothing"
    REFERENCE_OF_NOTHING = "reference_of_nothing"
    BODY_UNUSED = "body_unused"
    COUNT_WRONG = "count_wrong"
    MANIFEST_CORRUPT = "manifest_corrupt"
    MANIFEST_MISSING = "manifest_missing"
    """A manifest without a body."""
    MANIFEST_ROW_WRONG = "manifest_row_wrong"
    """A column says something else than the body."""
    REFERENCES_WRONG = "references_wrong"
    BLOB_CORRUPT = "blob_corrupt"
    BLOB_MISSING = "blob_missing"
    BLOB_BACK = "blob_back"
    """It was missing, and its bytes are there and right."""
    BLOB_SIZE_WRONG = "blob_size_wrong"
    BLOB_ROW_MISSING = "blob_row_missing"
    BLOB_UNHELD = "blob_unheld"
    FILE_UNKNOWN = "file_unknown"
    """Well named, in `blobs/`, without a row."""
    FILE_FOREIGN = "file_foreign"
    """A name that is not ours."""
    UPLOAD_LEFT_OVER = "upload_left_over"
    DIRECTORY_MISSING = "directory_missing"


class BlobRow(Frozen):
    """What the rows say of a blob: size in bytes, None where it has no row of its own."""

    size: int | None
    is_present: bool
    is_held: bool


class BlobBytes(Frozen):
    """What stands under a blob's name; `is_right`: a regular file whose bytes hash to the name."""

    size: int
    is_right: bool


def judge_blob(row: BlobRow, found: BlobBytes | None) -> Flaw | None:
    """What is wrong with a blob of which something is known, if anything."""
    if not row.is_held:
        return None if row.size is None else Flaw.BLOB_UNHELD
    if row.size is None:
        return Flaw.BLOB_ROW_MISSING
    if found is None:
        return Flaw.BLOB_MISSING if row.is_present else None
    if not found.is_right:
        return Flaw.BLOB_CORRUPT
    if not row.is_present:
        return Flaw.BLOB_BACK
    return Flaw.BLOB_SIZE_WRONG if found.size != row.size else None


class ManifestRow(Frozen):
    """What is recorded of a manifest in a namespace beside its body; `annotations` is JSON."""

    namespace: int
    media_type: str
    kind: str
    artifact_type: str | None
    subject: str | None
    size: int
    annotations: str
    role: str
    """Empty where nobody has recorded what it is, and what it carries."""
    carries: int
    references: frozenset[tuple[str, str]]
    """Digest and kind of each."""


def is_body_of(body: bytes, digest: Digest) -> bool:
    """Whether the bytes are those of the digest."""
    return digest_of(body, digest.algorithm) == digest


def facts_of(body: bytes, media_type: str) -> ManifestFacts:
    """What a body says, which was pushed as this type; if it cannot have been, its own type counts.

    Raises OciError for a body that no type makes a manifest.
    """
    try:
        return parse_manifest(body, media_type)
    except OciError:
        return parse_manifest(body, None)


def row_by(facts: ManifestFacts, size: int, namespace: int) -> ManifestRow:
    """What should be recorded of a body of so many bytes."""
    return ManifestRow(
        namespace=namespace,
        media_type=facts.media_type,
        kind=facts.kind,
        artifact_type=facts.artifact_type,
        subject=facts.subject,
        size=size,
        annotations=json.dumps(dict(facts.annotations), separators=(",", ":")),
        role=facts.role,
        carries=int(facts.carries),
        references=frozenset((item.digest, item.kind) for item in facts.references),
    )


def judge_manifest(row: ManifestRow, wanted: ManifestRow) -> list[Flaw]:
    """What is recorded otherwise than it should be."""
    flaws = []
    is_described = not row.role or (row.role, row.carries) == (wanted.role, wanted.carries)
    if _columns(row) != _columns(wanted) or not is_described:
        flaws.append(Flaw.MANIFEST_ROW_WRONG)
    if row.references != wanted.references:
        flaws.append(Flaw.REFERENCES_WRONG)
    return flaws


def _columns(row: ManifestRow) -> tuple[object, ...]:
    return (
        row.media_type,
        row.kind,
        row.artifact_type,
        row.subject,
        row.size,
        _read(row.annotations),
    )


def _read(annotations: str) -> object:
    try:
        return json.loads(annotations)
    except ValueError:
        return annotations
