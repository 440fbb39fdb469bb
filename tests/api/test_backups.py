"""`/v2/_ext/_backup`: the collection is held up for as long as somebody speaks, and no longer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from angos_trio.api import backups
from angos_trio.errors import OperatorError
from angos_trio.net.control import Conversation
from tests.api.serving import ServedRegistry, serving_operator

PATH = "/v2/_ext/_backup"
SECS = 10.0


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def operated(tmp_path: Path, socket_path: Path) -> Iterator[ServedRegistry]:
    with serving_operator(tmp_path / "data", socket_path) as registry:
        yield registry


def held(conversation: Conversation) -> dict[str, Any]:
    """What is said once the copies are there."""
    while True:
        said: dict[str, Any] = json.loads(conversation.exchange(b""))
        if said["state"] != "preparing":
            return said
        time.sleep(0.01)


def copies(registry: ServedRegistry) -> list[str]:
    return sorted(path.name for path in registry.files("copies"))


def wait_until_let_go(registry: ServedRegistry) -> None:
    deadline = time.monotonic() + SECS
    while copies(registry):
        assert time.monotonic() < deadline, "it is still held"
        time.sleep(0.01)


def test_copies_are_there_while_somebody_speaks_and_go_with_them(
    operated: ServedRegistry, socket_path: Path
) -> None:
    conversation = Conversation(str(socket_path), PATH, SECS)
    said = held(conversation)
    assert said["state"] == "held"
    assert copies(operated) == [f"backup-{said['id']}.metadata.db"]
    assert held(conversation) == said

    conversation.close()
    wait_until_let_go(operated)


def test_who_says_nothing_for_long_holds_nothing_up(
    operated: ServedRegistry, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "BACKUP_SILENCE_SECS_MAX", 0.2)
    conversation = Conversation(str(socket_path), PATH, SECS)
    held(conversation)
    wait_until_let_go(operated)
    with pytest.raises(OperatorError, match="went away"):
        conversation.exchange(b"")
    conversation.close()


def test_second_backup_waits_for_the_first(operated: ServedRegistry, socket_path: Path) -> None:
    first = Conversation(str(socket_path), PATH, SECS)
    second = Conversation(str(socket_path), PATH, SECS)
    one = held(first)
    for _ in range(10):
        assert json.loads(second.exchange(b"")) == {"state": "preparing"}
    first.close()
    two = held(second)
    assert two["id"] != one["id"]
    assert copies(operated) == [f"backup-{two['id']}.metadata.db"]
    second.close()
    wait_until_let_go(operated)


def test_full_disk_is_said(tmp_path: Path, socket_path: Path) -> None:
    full = {"min_free_space": "100000TiB"}
    with serving_operator(tmp_path / "data", socket_path, global_=full):
        conversation = Conversation(str(socket_path), PATH, SECS)
        assert held(conversation) == {"state": "failed", "reason": "storage is full"}
        conversation.close()
