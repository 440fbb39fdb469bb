"""What webhooks are sent: one JSON object for each thing that happens, and its signature."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from angos_trio.clock import iso
from angos_trio.events.endpoints import Kind
from angos_trio.events.model import EventKind, payload_of
from angos_trio.records import Frozen, asdict
from angos_trio.storage.metadata.events import Stored

REQUESTED: Final = "requested"
"""It has not been done yet, and may be refused."""
DONE: Final = "done"
TEST: Final = "webhook.test"
"""The kind of a message that only tries whether one arrives."""
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        EventKind.MANIFEST_PUSHED: Kind.MANIFEST_PUSH,
        EventKind.MANIFEST_DELETED: Kind.MANIFEST_DELETE,
        EventKind.BLOB_PUSHED: Kind.BLOB_PUSH,
        EventKind.BLOB_MOUNTED: Kind.BLOB_PUSH,
        EventKind.BLOB_DELETED: Kind.BLOB_DELETE,
        EventKind.TAG_CREATED: Kind.TAG_CREATE,
        EventKind.TAG_UPDATED: Kind.TAG_CREATE,
        EventKind.TAG_DELETED: Kind.TAG_DELETE,
    }
)
"""Of what events webhooks are told."""
_OURS: Final = frozenset({"registry", "mirror"})
"""How those are known who change something and are nobody's: retention, the collection, what comes
from an upstream."""
_NAMED: Final = frozenset({"basic", "oidc", "operator"})
"""How those are known whose name is a name."""


class Happening(Frozen):
    """What a message tells. `id` is the same each time it is sent; `at` is epoch seconds, `actor`
    the owner of an identity, `address` that of the client, empty where there was none."""

    id: str
    at: int
    kind: Kind
    phase: str
    namespace: str
    repository: str | None
    actor: str
    address: str
    digest: str | None = None
    reference: str | None = None
    tag: str | None = None


class Message(Frozen):
    """The exact bytes that are sent, as text, and what their headers say."""

    id: str
    kind: str
    body: str

    def stored(self) -> str:
        """As a job keeps it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Message:
        """What a job has kept. Raises ValueError for anything else."""
        found = json.loads(text)
        if not isinstance(found, dict) or found.keys() != {"id", "kind", "body"}:
            raise ValueError("is no message to a webhook")
        if not all(isinstance(value, str) for value in found.values()):
            raise ValueError("is no message to a webhook")
        return cls(**found)


def is_ours(actor: str) -> bool:
    """Whether the registry does something by itself."""
    return actor.partition(":")[0] in _OURS


def new_id() -> str:
    """Of what is in no table of events."""
    return str(uuid.uuid4())


def happening_of(event: Stored, instance: str, repository: str | None) -> Happening | None:
    """What an event comes to for webhooks; None for one that they are not told of. The id is made
    of the instance's and the event's."""
    kind = KINDS.get(event.kind)
    if kind is None:
        return None
    payload = payload_of(event)
    tag = _text(payload.get("tag"))
    digest = _text(payload.get("digest"))
    is_blob = kind in (Kind.BLOB_PUSH, Kind.BLOB_DELETE)
    return Happening(
        # With its time: after a restore an id may be that of another event.
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:angos:{instance}:{event.id}:{event.at}")),
        at=event.at,
        kind=kind,
        phase=DONE,
        namespace=event.namespace,
        repository=repository,
        actor=event.actor,
        address=event.address,
        digest=digest,
        reference=None if is_blob else tag or digest,
        tag=tag,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def message_of(happening: Happening) -> Message:
    """The message that tells it; what there is not is left out."""
    document: dict[str, object] = {
        "id": happening.id,
        "timestamp": iso(happening.at),
        "kind": happening.kind,
        "phase": happening.phase,
        "namespace": happening.namespace,
        "repository": happening.repository,
        "digest": happening.digest,
        "reference": happening.reference,
        "tag": happening.tag,
        "actor": _actor(happening),
    }
    said = {key: value for key, value in document.items() if value is not None}
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return Message(happening.id, str(happening.kind), body)


def trial(at: int) -> Message:
    """What tries a webhook, and tells nothing that happens."""
    number = new_id()
    actor = {"id": "registry::test", "internal": True}
    said = {
        "id": number,
        "timestamp": iso(at),
        "kind": TEST,
        "phase": "test",
        "actor": actor,
    }
    return Message(number, TEST, json.dumps(said, separators=(",", ":")))


def _actor(happening: Happening) -> dict[str, object]:
    method, _, rest = happening.actor.partition(":")
    name = rest.partition(":")[2] if method in _NAMED else ""
    said: dict[str, object] = {"id": happening.actor}
    if name:
        said["username"] = name
    if happening.address:
        said["client_ip"] = happening.address
    return {**said, "internal": is_ours(happening.actor)}


def signature_of(body: bytes, token: str) -> str:
    """The value of `X-Registry-Signature-256`: HMAC (RFC 2104) with SHA-256 over the bytes that are
    sent."""
    return "sha256=" + hmac.new(token.encode(), body, hashlib.sha256).hexdigest()


def headers_of(message: Message, token: str | None) -> list[tuple[str, str]]:
    """What is sent with the bytes of a message."""
    headers = [
        ("Content-Type", "application/json"),
        ("User-Agent", "angos-trio"),
        ("X-Registry-Event", message.kind),
    ]
    if token is not None:
        body = message.body.encode()
        headers.append(("Authorization", f"Bearer {token}"))
        headers.append(("X-Registry-Signature-256", signature_of(body, token)))
    return headers
