"""What a backup is made from: held by the registry that runs, or by the command in its place."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

import trio

from angos_trio.app.building import build_registry
from angos_trio.app.operator import beside_or_in_place
from angos_trio.app.plan import Plan
from angos_trio.errors import OperatorError, only_error
from angos_trio.limits.housekeeping import BACKUP_KEEP_SECS, BACKUP_POLL_SECS
from angos_trio.limits.processes import CONTROL_SECS_MAX
from angos_trio.maintenance.backup import Held, held_snapshot
from angos_trio.maintenance.collect import Collector
from angos_trio.net.control import Conversation
from angos_trio.records import Mutable, field
from angos_trio.registry.push_blob import complete_interrupted
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.snapshots import Snapshot
from angos_trio.storage.store import begin_storage

Outcome = TypeVar("Outcome")
Work = Callable[[Held], Awaitable[Outcome]]
_PATH: Final = "/v2/_ext/_backup"


async def while_held(plan: Plan, work: Work[Outcome]) -> Outcome:
    """Do the work with a snapshot, while no file leaves the registry. Raises OperatorError."""
    beside, in_place = partial(_beside, plan, work), partial(_in_place, plan, work)
    return await beside_or_in_place(plan, beside, in_place)


async def _in_place(plan: Plan, work: Work[Outcome]) -> Outcome:
    async with begin_storage(plan.storage) as storage:
        registry = build_registry(plan, storage)
        await complete_interrupted(registry, storage.interrupted)
        async with held_snapshot(Collector(lambda: registry)) as snapshot:
            return await work(Held(DataDirectory(plan.storage.root), snapshot, _always))


async def _always() -> None:
    """The lock is ours: nobody else collects."""


async def _beside(plan: Plan, work: Work[Outcome], address: str) -> Outcome:
    make = partial(Conversation, address, _PATH, CONTROL_SECS_MAX)
    talk = _Talk(await trio.to_thread.run_sync(make))
    try:
        snapshot = await talk.wait_for_snapshot()
        held = Held(DataDirectory(plan.storage.root), snapshot, talk.confirm)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.keep)
            outcome = await work(held)
            nursery.cancel_scope.cancel()
        return outcome
    except BaseExceptionGroup as group:
        raise only_error(group) from None
    finally:
        talk.conversation.close()


class _Talk(Mutable):
    """The conversation with the registry, one exchange at a time."""

    conversation: Conversation
    turn: trio.Lock = field(default_factory=trio.Lock)
    id: str | None = None

    async def wait_for_snapshot(self) -> Snapshot:
        """A run of the collection may have to come to its end before."""
        while True:
            state = await self._ask()
            if state["state"] == "held":
                self.id = state["id"]
                databases = tuple(state["databases"])
                return Snapshot(state["id"], state["instance"], state["taken_at"], databases)
            await trio.sleep(BACKUP_POLL_SECS)

    async def keep(self) -> None:
        """Let the registry know that the work goes on, until cancelled."""
        while True:
            await trio.sleep(BACKUP_KEEP_SECS)
            await self.confirm()

    async def confirm(self) -> None:
        """Raise OperatorError unless the registry has held on until now."""
        state = await self._ask()
        if state.get("id") != self.id:
            raise OperatorError("the registry has not held on to what it had")

    async def _ask(self) -> dict[str, Any]:
        async with self.turn:
            line = await trio.to_thread.run_sync(
                self.conversation.exchange, b"", abandon_on_cancel=True
            )
        try:
            state: dict[str, Any] = json.loads(line)
            if state["state"] == "failed":
                raise OperatorError(f"no copy of the database can be made: {state['reason']}")
        except (ValueError, LookupError, TypeError) as error:
            raise OperatorError(f"the registry says {line[:100]!a}") from error
        return state
