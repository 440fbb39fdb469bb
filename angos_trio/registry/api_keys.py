"""API keys: made, listed and revoked by the operator. What a key may is decided in `auth`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from angos_trio.auth.api_keys import (
    check_actions,
    check_expiry,
    check_globs,
    check_name,
    hash_secret,
    make_key,
    shown,
)
from angos_trio.events.model import Event, EventKind, record
from angos_trio.identity import Caller
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.pagination import Page
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import api_keys
from angos_trio.storage.metadata.api_keys import ApiKey
from angos_trio.storage.transactions import Rows, Transaction


class WantedKey(Frozen):
    """What a key is to be: `owner` is a Basic user; None for the seconds: it never expires."""

    name: str
    owner: str
    expires_in_secs: int | None
    repositories: tuple[str, ...]
    actions: tuple[str, ...]


async def create_key(
    registry: Registry, caller: Caller, wanted: WantedKey, users: Collection[str]
) -> tuple[ApiKey, str]:
    """Make a key of one of the configured users; its row, and its text, which is shown once.

    Raises NAME_INVALID (400) for anything that a key cannot be. A user's names are different; a key
    that has expired gives way to a new one of its name.
    """
    check_name(wanted.name)
    check_expiry(wanted.expires_in_secs)
    check_globs(wanted.repositories)
    check_actions(wanted.actions)
    _check_user(wanted.owner, users)
    now, key, actor = registry.now(), make_key(), caller.identity.owner
    made = ApiKey(
        id=key.id,
        name=wanted.name,
        owner=wanted.owner,
        secret_hash=hash_secret(key.secret),
        repositories=wanted.repositories,
        actions=wanted.actions,
        created_at=now,
        created_by=actor,
        expires_at=None if wanted.expires_in_secs is None else now + wanted.expires_in_secs,
    )

    def step(transaction: Transaction) -> None:
        rows = transaction.rows
        old = api_keys.find_by_name(rows, made.owner, made.name)
        if old is not None and not old.has_expired(now):
            raise OciError(
                Code.NAME_INVALID,
                message=f"{shown(made.owner)} has a key {made.name} already; revoke it first, or "
                "choose another name",
                detail=made.name,
            )
        if old is not None:
            _revoke(rows, old, now, actor)
        api_keys.insert(rows, made)
        record(rows, Event(EventKind.KEY_CREATED, None, now, actor, _told(made)))

    await registry.storage.write(step)
    return made, key.text


async def list_keys(registry: Registry, page: Page) -> tuple[Sequence[ApiKey], bool]:
    """A page of keys in the order of their ids, and whether another follows."""

    def query(rows: Rows) -> list[ApiKey]:
        return api_keys.list_after(rows, page.last, page.size + 1)

    found = await registry.storage.read(query)
    return found[: page.size], 0 < page.size < len(found)


async def revoke_key(registry: Registry, caller: Caller, key_id: str) -> None:
    """End a key, for every process at once. Raises NAME_UNKNOWN (404)."""
    now, actor = registry.now(), caller.identity.owner

    def step(transaction: Transaction) -> None:
        key = api_keys.find(transaction.rows, key_id)
        if key is None:
            raise OciError(Code.NAME_UNKNOWN, message="there is no such key", detail=key_id)
        _revoke(transaction.rows, key, now, actor)

    await registry.storage.write(step, makes_room=True)


def _revoke(rows: Rows, key: ApiKey, now: int, actor: str) -> None:
    api_keys.revoke(rows, key.id)
    record(rows, Event(EventKind.KEY_REVOKED, None, now, actor, _told(key)))


def _told(key: ApiKey) -> dict[str, object]:
    """What the event tells: everything but the secret and its hash."""
    return {
        "key": key.id,
        "name": key.name,
        "owner": key.owner,
        "repositories": key.repositories,
        "actions": key.actions,
        "expires_at": key.expires_at,
    }


def _check_user(owner: str, users: Collection[str]) -> None:
    if owner in users:
        return
    near = difflib.get_close_matches(owner, users, n=1)
    hint = f"; did you mean {shown(near[0])}?" if near else ""
    raise OciError(
        Code.NAME_INVALID,
        message=f"the configuration has no user {shown(owner)} in [auth.identity]{hint}",
        detail=owner,
    )
