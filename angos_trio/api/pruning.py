"""`/v2/_ext/_prune`: what retention lets go and keeps, and why; and a run at once."""

from __future__ import annotations

import json
from typing import TypedDict

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.document import read_document
from angos_trio.http.reply import Reply, json_reply
from angos_trio.limits.requests import SMALL_BODY_BYTES_MAX
from angos_trio.maintenance.tasks import describe
from angos_trio.oci.codes import Code, OciError


class _Wanted(TypedDict, total=False):
    dry_run: bool


class Pruning:
    """Handlers of one path."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry
        self._tasks = runtime.tasks

    async def get(self, call: Call) -> Reply:
        """GET: the last run that was asked for; with `plan` entries of its list."""
        plan = call.query.one("plan", Code.NAME_INVALID)
        if not plan:
            return json_reply(200, {"run": describe(await self._tasks.find("prune"))})
        offset = _offset(call.query.one("from", Code.PAGINATION_NUMBER_INVALID))
        page = await self._registry.storage.plans.page(plan, offset)
        if page is None:
            raise OciError(
                Code.NAME_UNKNOWN, message="there is no such plan any more", detail=plan[:40]
            )
        entries = [json.loads(line) for line in page.lines]
        return json_reply(200, {"plan": plan, "entries": entries, "next": page.next})

    async def start(self, call: Call) -> Reply:
        """POST: begin a run; its end is told by GET."""
        wanted = await read_document(call, _Wanted, SMALL_BODY_BYTES_MAX)
        task = await self._tasks.want("prune", dict(wanted))
        return json_reply(202, {"run": describe(task)})


def _offset(text: str | None) -> int:
    """Where a page begins, as the one before said."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise OciError(Code.PAGINATION_NUMBER_INVALID, detail=text[:40])
    return int(text)
