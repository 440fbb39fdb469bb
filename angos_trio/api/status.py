"""`/v2/`, health and metrics."""

from __future__ import annotations

import trio

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.gate import is_loopback_address
from angos_trio.http.reply import Reply, json_reply
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
        """Whether changes can be committed and content be taken in; why not is told locally."""
        found = await trio.to_thread.run_sync(self._runtime.readiness)
        if found.is_ready:
            return json_reply(200, {"status": "ready"})
        document: dict[str, object] = {"status": "not_ready"}
        if is_loopback_address(call.caller.identity.address):
            document["problems"] = list(found.problems)
        return json_reply(503, document)

    async def metrics(self, call: Call) -> Reply:
        """The Prometheus text format."""
        content = await trio.to_thread.run_sync(self._runtime.metrics.exposition)
        return Reply(200, {"Content-Type": EXPOSITION_TYPE}, content)
