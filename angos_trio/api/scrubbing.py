"""`/v2/_ext/_scrub`: a look at everything that is stored, and what came of the last one."""

from __future__ import annotations

from typing import TypedDict

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.document import read_document
from angos_trio.http.reply import Reply, json_reply
from angos_trio.limits.requests import SMALL_BODY_BYTES_MAX
from angos_trio.maintenance.tasks import describe
from angos_trio.oci.codes import Code, OciError
from angos_trio.storage.metadata import integrity


class _Wanted(TypedDict, total=False):
    dry_run: bool
    rate: int | None


class Scrubbing:
    """Handlers of one path."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry
        self._tasks = runtime.tasks

    async def get(self, call: Call) -> Reply:
        """GET: how the last run that was asked for is doing, and the schedule."""
        state = await self._registry.storage.read(integrity.state)
        document = {
            "scrub_interval_secs": self._registry.limits.scrub_secs,
            "scheduled_ended_at": None if state is None else state[1],
            "run": describe(await self._tasks.find("scrub")),
        }
        return json_reply(200, document)

    async def start(self, call: Call) -> Reply:
        """POST: begin a run; its end is told by GET."""
        wanted = await read_document(call, _Wanted, SMALL_BODY_BYTES_MAX)
        if (wanted.get("rate") or 0) < 0:
            raise OciError(Code.NAME_INVALID, message="the body: rate is 0 bytes a second or more")
        task = await self._tasks.want("scrub", dict(wanted))
        return json_reply(202, {"run": describe(task)})
