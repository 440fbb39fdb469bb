"""`/v2/`, health and metrics."""

from __future__ import annotations

import trio

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.front import is_here
from angos_trio.http.reply import Reply, json_reply
from angos_trio.identity import Action, Caller, Target
from angos_trio.telemetry.metrics import EXPOSITION_TYPE


class Status:
    """Handlers of the paths that tell about the registry itself."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def version(self, call: Call) -> Reply:
        """GET `/v2/`: the specification is spoken here."""
        return json_reply(200, {}, {"Docker-Distribution-API-Version": "registry/2.0"})

    async def health(self, call: Call) -> Reply:
        """The process answers; nothing is looked at."""
        return json_reply(200, {"status": "ok"})

    async def ready(self, call: Call) -> Reply:
        """Whether changes can be committed and content be taken in; who may know is told why."""
        found = await trio.to_thread.run_sync(self._runtime.readiness)
        document: dict[str, object] = {"status": "ready" if found.is_ready else "not_ready"}
        caller = call.caller
        if is_here(caller.identity.address) or await self._may_look(caller):
            if found.problems:
                document["problems"] = list(found.problems)
            if found.degraded:
                document["degraded"] = list(found.degraded)
        return json_reply(200 if found.is_ready else 503, document)

    async def _may_look(self, caller: Caller) -> bool:
        """Whether somebody elsewhere may know what is wrong."""
        return (await caller.may(Action.READINESS, Target())).allowed

    async def metrics(self, call: Call) -> Reply:
        """The Prometheus text format."""
        content = await trio.to_thread.run_sync(self._runtime.metrics.exposition)
        return Reply(200, {"Content-Type": EXPOSITION_TYPE}, content)
