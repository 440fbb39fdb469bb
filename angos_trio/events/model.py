"""Event values. A use-case appends them in the step that makes them true."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from angos_trio.identity import NOWHERE, Origin
from angos_trio.oci.names import RepositoryName
from angos_trio.records import Frozen, field
from angos_trio.storage.metadata import events as outbox
from angos_trio.storage.metadata.events import Stored
from angos_trio.storage.transactions import Rows


class EventKind(StrEnum):
    """What happened."""

    BLOB_PUSHED = "blob.pushed"
    BLOB_MOUNTED = "blob.mounted"
    BLOB_DELETED = "blob.deleted"
    MANIFEST_PUSHED = "manifest.pushed"
    MANIFEST_DELETED = "manifest.deleted"
    TAG_CREATED = "tag.created"
    TAG_UPDATED = "tag.updated"
    TAG_DELETED = "tag.deleted"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    READ_ONLY_BEGUN = "read_only.begun"
    READ_ONLY_ENDED = "read_only.ended"
    GC_ENDED = "gc.ended"
    SCRUB_ENDED = "scrub.ended"


class Event(Frozen):
    """One thing that happened in a namespace: `at` in epoch seconds, `actor` who did it, `origin`
    from where they asked for it.

    None for a namespace: it happened to the registry itself.
    """

    kind: EventKind
    namespace: RepositoryName | None
    at: int
    actor: str
    payload: Mapping[str, object] = field(default_factory=dict)
    origin: Origin = NOWHERE


def record(rows: Rows, event: Event) -> None:
    """Append the event inside the open transaction."""
    told = Stored(
        id=0,
        at=event.at,
        kind=event.kind,
        namespace=event.namespace or "",
        actor=event.actor,
        payload=json.dumps(dict(event.payload), separators=(",", ":")),
        address=event.origin.address,
        client=event.origin.client,
    )
    outbox.append(rows, told)


def payload_of(event: Stored) -> dict[str, Any]:
    """What an event tells besides its kind; what is damaged says nothing."""
    try:
        found = json.loads(event.payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
