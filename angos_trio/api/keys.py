"""`/v2/_ext/_keys`: API keys, for the operator only."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypedDict

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.document import read_document
from angos_trio.http.reply import Reply, json_reply
from angos_trio.limits.callers import API_KEYS_PAGE_ENTRIES
from angos_trio.limits.requests import SMALL_BODY_BYTES_MAX
from angos_trio.oci.pagination import next_link
from angos_trio.registry.api_keys import WantedKey, create_key, list_keys, revoke_key
from angos_trio.storage.metadata.api_keys import ApiKey

PATH = "/v2/_ext/_keys"
_NewKey = TypedDict(
    "_NewKey",
    {
        "name": str,
        "as": str,
        "expires_in_secs": int | None,
        "repositories": tuple[str, ...],
        "actions": tuple[str, ...],
    },
)
"""A request for a key. Every field must be there: one that is left out narrows nothing, so that a
misspelled one must not pass for it."""


class Keys:
    """Handlers of the two paths; `users` are the Basic users of the configuration in force."""

    def __init__(self, runtime: Runtime, users: Callable[[], Collection[str]]) -> None:
        self._registry = runtime.registry
        self._users = users

    async def list(self, call: Call) -> Reply:
        """GET: a page of keys, without their secrets."""
        page = call.query.page(API_KEYS_PAGE_ENTRIES, API_KEYS_PAGE_ENTRIES)
        keys, has_more = await list_keys(self._registry, page)
        headers = {}
        if has_more:
            headers["Link"] = next_link(PATH, {"n": str(page.size), "last": keys[-1].id})
        return json_reply(200, {"keys": [_document(key) for key in keys]}, headers)

    async def create(self, call: Call) -> Reply:
        """POST: a new key; the only answer that has its text."""
        asked = await read_document(call, _NewKey, SMALL_BODY_BYTES_MAX)
        wanted = WantedKey(
            name=asked["name"],
            owner=asked["as"],
            expires_in_secs=asked["expires_in_secs"],
            repositories=asked["repositories"],
            actions=asked["actions"],
        )
        made, text = await create_key(self._registry, call.caller, wanted, self._users())
        headers = {"Cache-Control": "no-store", "Location": f"{PATH}/{made.id}"}
        return json_reply(201, {**_document(made), "key": text}, headers)

    async def revoke(self, call: Call) -> Reply:
        """DELETE: the key ends now."""
        await revoke_key(self._registry, call.caller, call.values["id"])
        return Reply(204)


def _document(key: ApiKey) -> dict[str, object]:
    """What is told of a key. Times are epoch seconds, null is never."""
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "repositories": key.repositories,
        "actions": key.actions,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }
