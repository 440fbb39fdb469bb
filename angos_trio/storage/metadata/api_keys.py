"""API keys: whose they are, what they are narrowed to, and when one was last used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from angos_trio.storage.transactions import Rows

_COLUMNS = (
    "id, name, owner, secret_hash, repositories, actions, "
    "created_at, created_by, expires_at, last_used_at"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: `owner` is a Basic user, `created_by` the owner of an identity.

    `secret_hash` is the SHA-256 of the secret in hexadecimal. Of `repositories` (globs) and
    `actions` an empty one is all. Times are epoch seconds; None: never.
    """

    id: str
    name: str
    owner: str
    secret_hash: str = field(repr=False)
    repositories: tuple[str, ...]
    actions: tuple[str, ...]
    created_at: int
    created_by: str
    expires_at: int | None = None
    last_used_at: int | None = None

    def has_expired(self, now: int) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


def insert(rows: Rows, key: ApiKey) -> None:
    """Add a key; its id and the pair of owner and name must be new."""
    rows.execute(
        f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key.id,
            key.name,
            key.owner,
            key.secret_hash,
            json.dumps(key.repositories),
            json.dumps(key.actions),
            key.created_at,
            key.created_by,
            key.expires_at,
            key.last_used_at,
        ),
    )


def find(rows: Rows, key_id: str) -> ApiKey | None:
    """The key of an id: one read by the primary key, for each request that shows one."""
    row = rows.execute(f"SELECT {_COLUMNS} FROM api_keys WHERE id = ?", (key_id,)).fetchone()
    return None if row is None else _api_key(row)


def find_by_name(rows: Rows, owner: str, name: str) -> ApiKey | None:
    """A user's key of a name."""
    row = rows.execute(
        f"SELECT {_COLUMNS} FROM api_keys WHERE owner = ? AND name = ?", (owner, name)
    ).fetchone()
    return None if row is None else _api_key(row)


def list_after(rows: Rows, after: str, limit: int) -> list[ApiKey]:
    """Keys in the order of their ids, strictly after a text."""
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM api_keys WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
    )
    return [_api_key(row) for row in found]


def revoke(rows: Rows, key_id: str) -> bool:
    """Remove a key; False when there is none of this id."""
    return rows.execute("DELETE FROM api_keys WHERE id = ?", (key_id,)).rowcount == 1


def touch(rows: Rows, used_at: Mapping[str, int]) -> None:
    """Keys by id were used at these times; an earlier time than is known changes nothing."""
    rows.executemany(
        "UPDATE api_keys SET last_used_at = ? "
        "WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)",
        [(at, key_id, at) for key_id, at in used_at.items()],
    )


def _api_key(row: tuple[Any, ...]) -> ApiKey:
    return ApiKey(
        id=row[0],
        name=row[1],
        owner=row[2],
        secret_hash=row[3],
        repositories=tuple(json.loads(row[4])),
        actions=tuple(json.loads(row[5])),
        created_at=row[6],
        created_by=row[7],
        expires_at=row[8],
        last_used_at=row[9],
    )
