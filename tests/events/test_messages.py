"""What webhooks are sent: one object for each thing that happens, signed."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.events.endpoints import Kind
from angos_trio.events.messages import (
    KINDS,
    Happening,
    Message,
    happening_of,
    headers_of,
    message_of,
    signature_of,
)
from angos_trio.events.model import EventKind
from angos_trio.storage.metadata.events import Stored
from tests.events.receiver import hmac_sha256
from tests.skips import leave_out

DIGEST = "sha256:" + "a" * 64
INSTANCE = "7b0b4a3e-3c11-4a0e-9a43-0d5c1b5f1c11"


def stored(kind: str, payload: object, **more: Any) -> Stored:
    given = {"id": 7, "at": 1_700_000_000, "namespace": "team/app", "actor": "basic::alice"}
    return Stored(**{**given, "kind": kind, "payload": json.dumps(payload), **more})


def told(event: Stored, repository: str | None = "team") -> dict[str, Any]:
    happening = happening_of(event, INSTANCE, repository)
    assert happening is not None
    found: dict[str, Any] = json.loads(message_of(happening).body)
    return found


def test_tag_is_told_with_everything_that_is_known_of_it() -> None:
    payload = {"tag": "v1", "digest": DIGEST, "media_type": "x", "previous": None}

    found = told(stored(EventKind.TAG_CREATED, payload, address="192.0.2.1"))

    assert found.pop("id")
    assert found == {
        "timestamp": "2023-11-14T22:13:20Z",
        "kind": "tag.create",
        "phase": "done",
        "namespace": "team/app",
        "repository": "team",
        "digest": DIGEST,
        "reference": "v1",
        "tag": "v1",
        "actor": {
            "id": "basic::alice",
            "username": "alice",
            "client_ip": "192.0.2.1",
            "internal": False,
        },
    }


def test_what_there_is_not_is_left_out() -> None:
    payload = {"digest": DIGEST, "size": 1, "session": "secret"}

    found = told(stored(EventKind.BLOB_PUSHED, payload, actor="anonymous::"), None)

    assert found.keys() == {"id", "timestamp", "kind", "phase", "namespace", "digest", "actor"}
    assert found["actor"] == {"id": "anonymous::", "internal": False}


@pytest.mark.parametrize(
    ("actor", "username", "is_internal"),
    [
        ("oidc:lab:sub:with:colons", "sub:with:colons", False),
        ("operator::operator", "operator", False),
        ("certificate:CN=ca:CN=client", None, False),
        ("registry::retention", None, True),
        ("mirror::registry.example.test", None, True),
    ],
)
def test_actors(actor: str, username: str | None, is_internal: bool) -> None:
    found = told(stored(EventKind.TAG_DELETED, {"tag": "v1", "digest": None}, actor=actor))

    assert found["actor"].get("username") == username
    assert found["actor"]["internal"] is is_internal


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_event_of_a_namespace_has_a_kind_and_no_other_is_told(kind: EventKind) -> None:
    is_of_namespace = kind.partition(".")[0] in ("blob", "manifest", "tag")

    assert (kind in KINDS) == is_of_namespace
    assert (happening_of(stored(kind, {"digest": DIGEST}), INSTANCE, None) is None) != (
        kind in KINDS
    )


def test_id_is_the_same_each_time_and_another_s_is_another() -> None:
    event = stored(EventKind.BLOB_PUSHED, {"digest": DIGEST})

    ids = {
        told(event)["id"],
        told(event, None)["id"],
        told(stored(EventKind.BLOB_PUSHED, {"digest": DIGEST}, id=8))["id"],
        told(stored(EventKind.BLOB_PUSHED, {"digest": DIGEST}, at=8))["id"],
    }
    other = happening_of(event, "another", None)

    assert other is not None
    assert len(ids) == 3
    assert other.id not in ids


@pytest.mark.parametrize("payload", ["", "[1]", '{"digest": 5, "tag": []}', "{"])
def test_damaged_event_is_told_without_what_cannot_be_read(payload: str) -> None:
    event = Stored(1, 1, EventKind.TAG_CREATED, "team/app", "", payload)

    assert "digest" not in told(event)


@given(body=st.binary(max_size=300), token=st.text(min_size=1, max_size=200))
def test_signature_is_that_of_the_standard(body: bytes, token: str) -> None:
    assert signature_of(body, token) == "sha256=" + hmac_sha256(token.encode(), body)


def test_signature_is_that_of_openssl() -> None:
    if shutil.which("openssl") is None:
        leave_out("openssl is not installed")
    body = '{"kind":"tag.create","namespace":"team/ü"}'.encode()
    command = ["openssl", "dgst", "-sha256", "-hmac", "a token"]
    said = subprocess.run(command, input=body, capture_output=True, check=True, timeout=10)

    assert signature_of(body, "a token") == "sha256=" + said.stdout.decode().split()[-1]


def test_headers_carry_kind_token_and_signature_and_without_a_token_neither() -> None:
    message = Message("1", "tag.create", "{}")

    plain, signed = dict(headers_of(message, None)), dict(headers_of(message, "secret"))

    assert plain == {
        "Content-Type": "application/json",
        "User-Agent": "angos-trio",
        "X-Registry-Event": "tag.create",
    }
    assert signed["Authorization"] == "Bearer secret"
    assert signed["X-Registry-Signature-256"] == signature_of(b"{}", "secret")


def test_message_is_kept_to_the_byte() -> None:
    happening = Happening("1", 1, Kind.TAG_CREATE, "done", "team/app", None, "basic::ü\u2028", "")
    message = message_of(happening)

    assert Message.read(message.stored()) == message
    assert "ü" in message.body


@pytest.mark.parametrize("text", ["", "[]", '{"id": 1}', '{"id": 1, "kind": "a", "body": ""}'])
def test_what_is_no_message_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"no message|Expecting value"):
        Message.read(text)
