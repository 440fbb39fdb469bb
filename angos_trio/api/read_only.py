"""`/v2/_ext/_read_only`: the switch that makes the registry read-only, for the operator only."""

from __future__ import annotations

from typing import TypedDict

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.document import read_document
from angos_trio.http.reply import Reply, json_reply
from angos_trio.limits.requests import SMALL_BODY_BYTES_MAX
from angos_trio.registry.read_only import begin_read_only, end_read_only, find_read_only
from angos_trio.storage.metadata.switches import Switched


class _Wanted(TypedDict):
    read_only: bool


class ReadOnly:
    """Handlers of one path."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry

    async def status(self, call: Call) -> Reply:
        """GET: whether the registry is read-only."""
        return json_reply(200, _document(await find_read_only(self._registry)))

    async def switch(self, call: Call) -> Reply:
        """PUT: make it so, or take changes again; says what is so then."""
        wanted = await read_document(call, _Wanted, SMALL_BODY_BYTES_MAX)
        if wanted["read_only"]:
            return json_reply(200, _document(await begin_read_only(self._registry, call.caller)))
        await end_read_only(self._registry, call.caller)
        return json_reply(200, _document(None))


def _document(found: Switched | None) -> dict[str, object]:
    """`since` is epoch seconds; it and `by` are null while changes are taken."""
    return {
        "read_only": found is not None,
        "since": None if found is None else found.since,
        "by": None if found is None else found.by,
    }
