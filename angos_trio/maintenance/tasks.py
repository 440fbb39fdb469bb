"""Runs that somebody asks for: any process takes the wish, the steward carries it out.

The wish is a row that the steward looks for once a second; where both are one process it is woken.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import trio

from angos_trio.limits.housekeeping import TASK_LOOK_SECS
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Mutable, field
from angos_trio.storage.metadata import tasks
from angos_trio.storage.metadata.tasks import Task
from angos_trio.storage.shared import Shared
from angos_trio.telemetry.log import logger

_log = logger("maintenance.tasks")
Document = dict[str, Any]
Tell = Callable[[Document], Awaitable[None]]
"""Says how far a run has come."""
Work = Callable[[Document, Tell], Awaitable[Document]]
"""One kind of run: from its options to its outcome."""


class Tasks(Mutable):
    """The wishes, as every process knows them. `now` is epoch seconds."""

    shared: Shared
    now: Callable[[], int]
    _woken: trio.Event = field(default_factory=trio.Event)

    async def want(self, name: str, options: Document) -> Task:
        """Ask for a run. Raises TOOMANYREQUESTS (429) while one of the kind is under way."""
        ask = partial(tasks.want, name=name, options=json.dumps(options), now=self.now())
        if not await self.shared.run(ask):
            message = f"{name} is running already"
            raise OciError(Code.TOOMANYREQUESTS, message=message, headers={"Retry-After": "1"})
        self._woken.set()
        found = await self.find(name)
        assert found is not None
        return found

    async def find(self, name: str) -> Task | None:
        """The last run of a kind."""
        return await self.shared.run(partial(tasks.find, name=name))

    async def run(self, kinds: Mapping[str, Work]) -> None:
        """Carry out what is asked for, each kind beside the others, until cancelled."""
        problem = json.dumps({"error": "the process that ran it has ended"})
        await self.shared.run(partial(tasks.abandon, outcome=problem, now=self.now()))
        async with trio.open_nursery() as running:
            while True:
                for task in await self.shared.run(tasks.wanted):
                    await self.shared.run(partial(tasks.begin, name=task.name))
                    running.start_soon(self._carry_out, task, kinds[task.name])
                with trio.move_on_after(TASK_LOOK_SECS):
                    await self._woken.wait()
                    self._woken = trio.Event()

    async def _carry_out(self, task: Task, work: Work) -> None:
        async def tell(outcome: Document) -> None:
            said = json.dumps(outcome)
            await self.shared.run(partial(tasks.tell, name=task.name, outcome=said))

        try:
            outcome, state = await work(json.loads(task.options), tell), "done"
        except OciError as error:  # a disk's refusal has been foreseen: no traceback
            outcome, state = {"error": error.message}, "failed"
            _log.error("task.failed", task=task.name, error=error.message)
        except Exception as error:
            outcome, state = {"error": str(error)}, "failed"
            _log.exception("task.failed", task=task.name, error=str(error))
        ended = partial(
            tasks.end, name=task.name, state=state, outcome=json.dumps(outcome), now=self.now()
        )
        await self.shared.run(ended)


def describe(task: Task | None) -> Document | None:
    """A run as it is told to whoever asked for it."""
    if task is None:
        return None
    return {
        "number": task.number,
        "state": task.state,
        "options": json.loads(task.options),
        "wanted_at": task.wanted_at,
        "ended_at": task.ended_at,
        "outcome": json.loads(task.outcome),
    }
