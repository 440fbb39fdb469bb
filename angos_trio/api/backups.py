"""`/v2/_ext/_backup`: hold the collection up and make a copy of the database, for a backup."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from angos_trio.errors import only_error
from angos_trio.http.body import ClientGoneError, RequestBody
from angos_trio.http.call import Call
from angos_trio.http.reply import LinesReply, Reply, Say
from angos_trio.limits.housekeeping import BACKUP_SILENCE_SECS_MAX
from angos_trio.oci.codes import OciError
from angos_trio.records import Mutable
from angos_trio.storage.snapshots import Snapshot

Hold = Callable[[], AbstractAsyncContextManager[Snapshot]]
"""Copies of the databases, while no file leaves the registry."""


class Backups:
    """The handler of one path."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold

    async def hold(self, call: Call) -> Reply:
        """POST: for each line that comes a line that says how it stands; until the body ends, the
        client leaves, or nothing has come for 30 s."""
        holding = _Holding(self._hold)

        async def talk(say: Say) -> None:
            await holding.talk(call.body, say)

        return LinesReply(200, talk=talk)


class _Holding(Mutable):
    """One conversation."""

    hold: Hold
    snapshot: Snapshot | None = None
    problem: str | None = None

    async def talk(self, body: RequestBody, say: Say) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep)
                await self._answer(body, say)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise only_error(group) from None

    async def _keep(self) -> None:
        """Hold on until cancelled; only a disk's refusal ends it before."""
        try:
            async with self.hold() as self.snapshot:
                await trio.sleep_forever()
        except OciError as error:
            self.problem = error.message

    async def _answer(self, body: RequestBody, say: Say) -> None:
        parts = aiter(body)
        while self.problem is None:
            part = b""
            with trio.move_on_after(BACKUP_SILENCE_SECS_MAX):
                try:
                    part = await anext(parts)
                except (StopAsyncIteration, ClientGoneError):
                    return
            if not part:
                return
            for _ in range(part.count(b"\n")):
                await say(self._state())

    def _state(self) -> dict[str, Any]:
        if self.problem is not None:
            return {"state": "failed", "reason": self.problem}
        if self.snapshot is None:
            return {"state": "preparing"}
        return {
            "state": "held",
            "id": self.snapshot.id,
            "instance": self.snapshot.instance,
            "taken_at": self.snapshot.taken_at,
            "databases": list(self.snapshot.databases),
        }
