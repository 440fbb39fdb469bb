"""`angos-trio token create`, `token list` and `token revoke`: API keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from angos_trio.app.operator import Ask
from angos_trio.cli.asking import Place, document_of, plain, run, time_of
from angos_trio.cli.streams import say
from angos_trio.cli.times import parse_length
from angos_trio.clock import epoch_seconds
from angos_trio.errors import OperatorError
from angos_trio.net.control import Request
from angos_trio.records import Frozen

Key = dict[str, Any]
"""A key as the registry tells of it; see `GET /v2/_ext/_keys` in docs/api.md."""

_KEYS: Final = "/v2/_ext/_keys"
_PAGE: Final = 500
_COLUMNS: Final = (
    "NAME",
    "ID",
    "OWNER",
    "CREATED",
    "EXPIRES",
    "LAST USED",
    "REPOSITORIES",
    "ACTIONS",
)


class Wanted(Frozen):
    """What `token create` was told."""

    owner: str
    name: str
    expires: str
    repositories: Sequence[str]
    actions: Sequence[str]


def create(place: Place, wanted: Wanted) -> int:
    """Make a key. It alone goes to standard output, so that a script can take it from there."""
    document = {
        "name": wanted.name,
        "as": wanted.owner,
        "expires_in_secs": parse_expires(wanted.expires),
        "repositories": list(wanted.repositories),
        "actions": list(wanted.actions),
    }
    request = Request("POST", _KEYS, json.dumps(document).encode())
    key: Key = run(place, partial(_create, request))
    ends = "never expires" if key["expires_at"] is None else f"expires {time_of(key['expires_at'])}"
    reach = f"repositories: {_list(key['repositories'])}; actions: {_list(key['actions'])}"
    say(f"{_described(key)}, {ends}; {reach}; the key is not shown again")
    print(key["key"], flush=True)
    return 0


def list_(place: Place, *, as_json: bool) -> int:
    """Print what is known of every key, the owners in their order."""
    keys = sorted(run(place, _every_key), key=lambda key: (key["owner"], key["name"]))
    if as_json:
        print(json.dumps(keys, indent=2))
    else:
        for line in table(keys, epoch_seconds()):
            print(line)
    return 0


def revoke(place: Place, id_or_name: str) -> int:
    """End a key, at once and in every process."""
    print(f"revoked {_described(run(place, partial(_revoke, id_or_name)))}")
    return 0


async def _create(request: Request, ask: Ask) -> Key:
    made: Key = document_of(await ask(request))
    return made


async def _every_key(ask: Ask) -> list[Key]:
    keys: list[Key] = []
    last = ""
    while True:
        query = urlencode({"n": str(_PAGE), "last": last})
        answer = await ask(Request("GET", f"{_KEYS}?{query}"))
        found: list[Key] = document_of(answer)["keys"]
        keys += found
        if "link" not in answer.headers or not found:
            return keys
        last = found[-1]["id"]


async def _revoke(id_or_name: str, ask: Ask) -> Key:
    key = find_key(await _every_key(ask), id_or_name)
    document_of(await ask(Request("DELETE", f"{_KEYS}/{quote(key['id'], safe='')}")))
    return key


def find_key(keys: Sequence[Key], id_or_name: str) -> Key:
    """The key of an id, or else the only one of a name. Raises OperatorError."""
    found = [key for key in keys if key["id"] == id_or_name]
    found = found or [key for key in keys if key["name"] == id_or_name]
    if not found:
        raise OperatorError(f"there is no key {id_or_name!a}; token list shows them all")
    if len(found) > 1:
        each = ", ".join(f"{key['id']} of {plain(key['owner'])}" for key in found)
        raise OperatorError(f"several keys are called {id_or_name}: {each}; give the id")
    return found[0]


def parse_expires(text: str) -> int | None:
    """Seconds of `90d`, `12h` or `30m`; None for `never`. Raises OperatorError."""
    if text == "never":
        return None
    return parse_length("--expires", text, ", or never")


def table(keys: Sequence[Key], now: int) -> list[str]:
    """The lines of a table: two spaces or more stand between columns, and none within one."""
    rows = [_COLUMNS, *(_row(key, now) for key in keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(key: Key, now: int) -> tuple[str, ...]:
    expires, used = key["expires_at"], key["last_used_at"]
    has_expired = expires is not None and expires <= now
    return (
        key["name"],
        key["id"],
        plain(key["owner"]),
        time_of(key["created_at"]),
        "never" if expires is None else time_of(expires) + (" (expired)" if has_expired else ""),
        "never" if used is None else time_of(used),
        _list(key["repositories"]),
        _list(key["actions"]),
    )


def _described(key: Key) -> str:
    return f"key {key['name']} ({key['id']}) of {plain(key['owner'])}"


def _list(items: Sequence[str]) -> str:
    return ",".join(items) or "all"
