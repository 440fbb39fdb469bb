"""Making, listing and revoking API keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angos_trio.auth.api_keys import ApiKeyRefusedError, check, parse_key
from angos_trio.oci.codes import Code
from angos_trio.oci.pagination import Page
from angos_trio.records import replace
from angos_trio.registry.api_keys import WantedKey, create_key, list_keys, revoke_key
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import api_keys
from angos_trio.storage.metadata.api_keys import ApiKey
from tests.registry.support import Clock, caller_of, opened_registry
from tests.storage.support import refusal_of, rows_of, run, says

USERS = {"alice", "bob"}
WANTED = WantedKey("ci", "alice", 100, ("team/**",), ("get-blob", "get-manifest"))
OPERATOR = caller_of("operator")


async def make(registry: Registry, wanted: WantedKey = WANTED) -> tuple[ApiKey, str]:
    return await create_key(registry, OPERATOR, wanted, USERS)


async def every(registry: Registry) -> list[ApiKey]:
    keys, has_more = await list_keys(registry, Page(100, ""))
    assert not has_more
    return list(keys)


def events(root: Path) -> list[tuple[str, str, str, dict[str, Any]]]:
    found = rows_of(root, "SELECT kind, namespace, actor, payload FROM events ORDER BY id")
    return [(kind, namespace, actor, json.loads(text)) for kind, namespace, actor, text in found]


def test_made_key_is_stored_without_its_secret_and_grants_what_was_wanted(root: Path) -> None:
    async def test() -> tuple[str, str]:
        async with opened_registry(root, clock=Clock(1000)) as registry:
            made, text = await make(registry)
            parsed = parse_key(text)
            assert parsed is not None
            key_id, secret = parsed
            row = await registry.storage.read_point(lambda rows: api_keys.find(rows, key_id))

            assert row == made
            assert (row.owner, row.created_at, row.expires_at) == ("alice", 1000, 1100)
            assert row.created_by == OPERATOR.identity.owner
            grant = check(row, secret, 1099)
            assert (grant.key, grant.name) == (key_id, "ci")
            assert (grant.repositories, grant.actions) == (WANTED.repositories, WANTED.actions)
            with pytest.raises(ApiKeyRefusedError):
                check(row, secret, 1100)
            return key_id, secret

    key_id, secret = run(test)
    stored = b"".join(path.read_bytes() for path in root.glob("*.db*"))
    assert key_id.encode() in stored
    assert secret.encode() not in stored


def test_change_is_told_by_an_event_of_the_registry_without_secret_or_hash(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root, clock=Clock(1000)) as registry:
            made, _ = await make(registry)
            await revoke_key(registry, OPERATOR, made.id)
        told = {
            "key": made.id,
            "name": "ci",
            "owner": "alice",
            "repositories": ["team/**"],
            "actions": ["get-blob", "get-manifest"],
            "expires_at": 1100,
        }
        actor = OPERATOR.identity.owner
        assert events(root) == [
            ("key.created", "", actor, told),
            ("key.revoked", "", actor, told),
        ]

    run(test)


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": "carol"},
        {"owner": ""},
        {"name": "a b"},
        {"expires_in_secs": 0},
        {"repositories": ("Team",)},
        {"actions": ("nothing",)},
        {"actions": ("create-api-key",)},
    ],
)
def test_what_a_key_cannot_be_is_refused_and_nothing_is_made(
    root: Path, changes: dict[str, Any]
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            error = await refusal_of(make(registry, replace(WANTED, **changes)))
            assert says(error, Code.NAME_INVALID, 400)
            assert await every(registry) == []
        assert events(root) == []

    run(test)


def test_unknown_user_is_refused_with_the_nearest(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            error = await refusal_of(make(registry, replace(WANTED, owner="alcie")))
            assert "did you mean 'alice'?" in error.message

    run(test)


def test_name_is_free_again_once_its_key_has_expired_or_was_revoked(root: Path) -> None:
    async def test() -> None:
        clock = Clock(1000)
        async with opened_registry(root, clock=clock) as registry:
            first, _ = await make(registry)
            assert says(await refusal_of(make(registry)), Code.NAME_INVALID, 400)
            await make(registry, replace(WANTED, owner="bob"))
            await make(registry, replace(WANTED, name="other"))

            clock.now = 1100
            second, _ = await make(registry)
            assert second.id != first.id
            assert first.id not in {key.id for key in await every(registry)}
            await revoke_key(registry, OPERATOR, second.id)
            await make(registry, replace(WANTED, expires_in_secs=None))
            clock.now = 10**9
            assert says(await refusal_of(make(registry)), Code.NAME_INVALID, 400)
        kinds = [kind for kind, *_ in events(root)]
        assert kinds == ["key.created"] * 3 + ["key.revoked", "key.created"] * 2

    run(test)


def test_revoked_key_is_gone_and_cannot_be_revoked_again(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            made, _ = await make(registry)
            await revoke_key(registry, OPERATOR, made.id)
            assert await every(registry) == []
            for unknown in (made.id, "", "%", "' OR 1=1"):
                error = await refusal_of(revoke_key(registry, OPERATOR, unknown))
                assert says(error, Code.NAME_UNKNOWN, 404)

    run(test)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_have_every_key_once(root: Path, size: int) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            made = {(await make(registry, replace(WANTED, name=f"k{n}")))[0].id for n in range(6)}
            found: list[str] = []
            has_more = True
            while has_more:
                keys, has_more = await list_keys(registry, Page(size, found[-1] if found else ""))
                found += [key.id for key in keys]
            assert found == sorted(made)
            assert await list_keys(registry, Page(0, "")) == ([], False)

    run(test)
