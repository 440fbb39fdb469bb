"""Schemas of what the API answers; keys and types as `docs/extension-api.md` and the contract have
them. Clients must expect more keys; the tests allow none that are not here."""

from __future__ import annotations

from typing import Final

from angos_trio.oci.codes import Code
from angos_trio.oci.roles import Role
from angos_trio.policy.reclaim import Keeper
from tests.openapi.parts import (
    BOOLEAN,
    COUNT,
    DIGEST,
    EPOCH,
    ISO,
    NAME,
    SESSION,
    STRING,
    TAG,
    Schema,
    array,
    one_of,
    or_null,
    record,
    schema,
    table,
)

TEXT_OR_NULL = or_null(STRING)
TIME_OR_NULL = or_null(EPOCH)
NUMBER_OR_NULL = or_null(COUNT)

_REPOSITORY = record(
    name=STRING,
    namespaces=COUNT,
    is_pull_through=BOOLEAN,
    immutable_tags=BOOLEAN,
    configured=BOOLEAN,
    immutable_tags_exclusions=array(STRING),
    manifests=COUNT,
    tags=COUNT,
    uploads=COUNT,
    held_bytes=COUNT,
    last_pushed_at=TIME_OR_NULL,
)
_NAMESPACE = record(
    name={"type": "string", "description": "Relative to the repository; empty for itself."},
    manifests=COUNT,
    uploads=COUNT,
    path=NAME,
    tags=COUNT,
    held_bytes=COUNT,
    last_pushed_at=TIME_OR_NULL,
)
_KIND = one_of(*Role)
_MANIFEST: Final = {
    "digest": DIGEST,
    "media_type": STRING,
    "kind": _KIND,
    "artifact_type": TEXT_OR_NULL,
    "subject": or_null(DIGEST),
    "size": COUNT,
    "total_size": COUNT,
    "platforms": array(STRING, 64),
    "attached": array(STRING),
    "pushed_at": EPOCH,
    "pushed_by": STRING,
    "pushed_at_iso": ISO,
    "last_pulled_at": TIME_OR_NULL,
    "pull_count": NUMBER_OR_NULL,
}
_RELATED: Final = {
    "tags": array(TAG, 100),
    "parents": array(DIGEST, 100),
    "referrers": array(DIGEST, 100),
}
_LAYER = record(
    digest=DIGEST,
    media_type=STRING,
    size=COUNT,
    annotations=table(STRING),
    is_here=BOOLEAN,
    is_exclusive=BOOLEAN,
    manifests=NUMBER_OR_NULL,
    other_namespaces=NUMBER_OR_NULL,
    command=TEXT_OR_NULL,
    created=TEXT_OR_NULL,
)
_PART = record(
    digest=DIGEST,
    media_type=STRING,
    size=COUNT,
    platform=TEXT_OR_NULL,
    about=TEXT_OR_NULL,
    is_here=BOOLEAN,
    kind=or_null(STRING),
    total_size=NUMBER_OR_NULL,
    attached=array(STRING),
)
_STEP = record(command=STRING, created=TEXT_OR_NULL, comment=TEXT_OR_NULL, makes_layer=BOOLEAN)
_IMAGE = record(
    **dict.fromkeys(
        (
            *("os", "architecture", "variant", "created", "author", "user"),
            *("working_dir", "stop_signal"),
        ),
        TEXT_OR_NULL,
    ),
    **dict.fromkeys(("entrypoint", "cmd", "env", "exposed_ports", "volumes"), array(STRING)),
    labels=table(STRING),
    history=array(schema("Step")),
)
_IMPACT: Final = {
    **dict.fromkeys(
        (
            *("tags", "manifests", "unknown", "blocked"),
            *("untagged", "parts", "referrers", "needed_by"),
        ),
        array(STRING),
    ),
    "freed_bytes": COUNT,
    "is_whole": BOOLEAN,
    "token": STRING,
}
_TALLY = record(count=COUNT, bytes=COUNT, first=TIME_OR_NULL, last=TIME_OR_NULL, is_whole=BOOLEAN)
_RUN = record(
    number=COUNT,
    state=one_of("wanted", "running", "done", "failed"),
    options={"type": "object"},
    wanted_at=EPOCH,
    ended_at=TIME_OR_NULL,
    outcome={"type": "object"},
)
_CERTIFICATE = record(
    subject=STRING,
    issuer=STRING,
    serial=STRING,
    fingerprint=STRING,
    not_before=EPOCH,
    not_after=EPOCH,
    **dict.fromkeys(
        ("common_names", "organizations", "dns_names", "uris", "emails"), array(STRING)
    ),
)
_KEY: Final = {
    "id": STRING,
    "name": STRING,
    "owner": STRING,
    "repositories": array(STRING),
    "actions": array(STRING),
    "created_at": EPOCH,
    "created_by": STRING,
    "expires_at": TIME_OR_NULL,
    "last_used_at": TIME_OR_NULL,
}
_DESCRIPTOR = record(
    {"artifactType": STRING, "annotations": table(STRING)},
    mediaType=STRING,
    digest=DIGEST,
    size=COUNT,
)
_EVENT: Final = {
    "v": {"const": 1},
    "seq": COUNT,
    "at": EPOCH,
    "type": STRING,
    "ns": TEXT_OR_NULL,
    "actor": STRING,
    "data": {"type": "object"},
    "reason": STRING,
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Errors": record(
        errors={
            **array(
                record(
                    {"detail": {"description": "What it is about."}},
                    code=one_of(*Code),
                    message={"type": "string", "minLength": 1},
                )
            ),
            "minItems": 1,
        }
    ),
    "Repository": _REPOSITORY,
    "Namespace": _NAMESPACE,
    "Revision": record(**_MANIFEST, **_RELATED, parent=or_null(DIGEST)),
    "Tag": record(**_MANIFEST, name=TAG, immutable=BOOLEAN, same_digest=array(TAG, 10)),
    "Upload": record(
        uuid=SESSION,
        size=COUNT,
        started_at=EPOCH,
        started_at_iso=ISO,
        actor=STRING,
        idle_secs=COUNT,
    ),
    "Layer": _LAYER,
    "Part": _PART,
    "Step": _STEP,
    "Image": _IMAGE,
    "Manifest": record(
        **_MANIFEST,
        **_RELATED,
        tag=or_null(TAG),
        annotations=table(STRING),
        config=or_null(schema("Layer")),
        image=or_null(schema("Image")),
        layers=array(schema("Layer"), 500),
        manifests=array(schema("Part"), 500),
        is_whole=BOOLEAN,
        frees_bytes=COUNT,
    ),
    "Impact": record(**_IMPACT, denied=array(STRING)),
    "Deleted": record(
        deleted=array(STRING),
        failed=array(record(reference=STRING, code=one_of(*Code), message=STRING)),
    ),
    "TagChange": record(
        digest=or_null(DIGEST),
        changed_at=EPOCH,
        changed_at_iso=ISO,
        changed_by=STRING,
        is_here=BOOLEAN,
    ),
    "Pulls": record(
        digest=DIGEST,
        is_recorded=BOOLEAN,
        recorded_since=or_null(EPOCH),
        last_pulled_at=or_null(EPOCH),
        pull_count=or_null(COUNT),
        pulls=array(
            record(
                tag=or_null(TAG),
                pulled_at=EPOCH,
                pulled_at_iso=ISO,
                pulled_by=STRING,
                client=STRING,
                address=or_null(STRING),
            ),
            100,
        ),
        days=array(record(day={"type": "string", "format": "date"}, pulls=COUNT), 30),
    ),
    "Found": record(
        namespaces=array(NAME),
        tags=array(record(namespace=NAME, tag=TAG, digest=DIGEST)),
        manifests=array(record(namespace=NAME, digest=DIGEST, kind=_KIND)),
        blobs=array(record(namespace=NAME, digest=DIGEST, size=COUNT)),
    ),
    "Activity": record(
        id=COUNT,
        at=EPOCH,
        at_iso=ISO,
        kind=STRING,
        namespace=TEXT_OR_NULL,
        actor=STRING,
        data={"type": "object"},
        address=TEXT_OR_NULL,
        client=TEXT_OR_NULL,
    ),
    "Storage": record(
        at=EPOCH,
        **dict.fromkeys(
            (
                *("blobs", "blob_bytes", "manifests", "tags", "namespaces", "held_bytes"),
                *("named_bytes", "free_bytes", "reserve_bytes", "database_bytes"),
            ),
            COUNT,
        ),
        largest_namespaces=array(record(namespace=NAME, held_bytes=COUNT), 10),
        largest_blobs=array(record(digest=DIGEST, size=COUNT, namespaces=COUNT), 10),
        samples=array(
            record(
                day={"type": "string", "format": "date"},
                at=EPOCH,
                **dict.fromkeys(
                    ("blob_bytes", "named_bytes", "free_bytes", "tags", "manifests"), COUNT
                ),
            ),
            90,
        ),
        days_to_full=NUMBER_OR_NULL,
        unpulled=record(
            pulls_noted_since=TIME_OR_NULL,
            is_known=BOOLEAN,
            is_whole=BOOLEAN,
            manifests=array(
                record(
                    namespace=NAME,
                    digest=DIGEST,
                    size=COUNT,
                    pushed_at=EPOCH,
                    tag=or_null(TAG),
                    last_pulled_at=TIME_OR_NULL,
                ),
                10,
            ),
        ),
    ),
    "Health": record(
        status=one_of("ready", "not_ready"),
        problems=array(STRING),
        degraded=array(STRING),
        version=STRING,
        uptime_secs=COUNT,
        read_only_since=TIME_OR_NULL,
        runs=record(**dict.fromkeys(("gc", "scrub", "prune"), or_null(schema("Run")))),
        jobs={"type": "object", "additionalProperties": record(waiting=COUNT, failed=COUNT)},
    ),
    "Jobs": record(
        queues={
            "type": "object",
            "additionalProperties": record(waiting=COUNT, failed=COUNT, oldest_at=TIME_OR_NULL),
        },
        jobs=array(
            record(
                id=COUNT,
                queue=STRING,
                namespace=STRING,
                state=one_of("waiting", "failed"),
                is_under_way=BOOLEAN,
                attempts=COUNT,
                problem=STRING,
                created_at=EPOCH,
                due_at=TIME_OR_NULL,
                failed_at=TIME_OR_NULL,
            ),
            100,
        ),
    ),
    "Me": record(
        method=one_of("anonymous", "basic", "oidc", "certificate", "operator"),
        provider=TEXT_OR_NULL,
        subject=TEXT_OR_NULL,
        id=TEXT_OR_NULL,
        owner=STRING,
        address=STRING,
        claims=or_null({"type": "object"}),
        certificate=or_null(schema("Certificate")),
        key=or_null(
            record(
                key=STRING, name=STRING, repositories=array(STRING), actions=array(STRING)
            )
        ),
        repositories=array(
            record(
                name=STRING,
                can=record(**dict.fromkeys(("list", "pull", "push", "delete"), BOOLEAN)),
            )
        ),
    ),
    "Certificate": _CERTIFICATE,
    "Run": _RUN,
    "Tally": _TALLY,
    "Kept": record(
        leased_blobs=schema("Tally"),
        leased_manifests=schema("Tally"),
        untagged=schema("Tally"),
        has_upload=BOOLEAN,
    ),
    "Collection": record(
        reclaimable=record(
            manifests=COUNT, holds=COUNT, blobs=COUNT, bytes=COUNT, is_whole=BOOLEAN
        ),
        kept=schema("Kept"),
        gc_grace_secs=COUNT,
        untagged_grace=NUMBER_OR_NULL,
        run=or_null(schema("Run")),
    ),
    "KeptOfNamespace": record(namespace=NAME, kept=schema("Kept")),
    "Holders": record(
        digest=DIGEST,
        size=COUNT,
        holders=array(
            record(
                namespace=NAME,
                kind=one_of("blob", "manifest"),
                kept_by=one_of(*Keeper),
                by=TEXT_OR_NULL,
                until=TIME_OR_NULL,
            ),
            100,
        ),
        is_whole=BOOLEAN,
    ),
    "RunOnly": record(run=or_null(schema("Run"))),
    "Verdicts": record(
        plan=STRING, entries=array({"type": "object"}, 1000), next=NUMBER_OR_NULL
    ),
    "Key": record(**_KEY),
    "NewKey": record(**_KEY, key={"type": "string", "minLength": 1}),
    "ReadOnly": record(read_only=BOOLEAN, since=TIME_OR_NULL, by=TEXT_OR_NULL),
    "Token": record(
        token=STRING,
        access_token=STRING,
        expires_in=COUNT,
        issued_at={"type": "string", "format": "date-time"},
    ),
    "Readiness": record(
        {"problems": array(STRING), "degraded": array(STRING)},
        status=one_of("ready", "not_ready"),
    ),
    "ReferrersIndex": record(
        schemaVersion={"const": 2}, mediaType=STRING, manifests=array(_DESCRIPTOR)
    ),
    "EventLine": {
        **record({key: _EVENT[key] for key in ("seq", "at", "ns", "actor", "data", "reason")},
                 v=_EVENT["v"], type=_EVENT["type"]),
        "description": "One line: an event, or `heartbeat`, `reset` or `end`.",
    },
}  # fmt: skip
