"""Pulls that webhooks are told of: gathered in memory, so that no pull waits for the disk, and
handed on every second. What a process that is killed had gathered is told to nobody."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from angos_trio.events.endpoints import QUEUE, Endpoints
from angos_trio.events.messages import Happening, message_of
from angos_trio.limits.jobs import (
    TOLD_PULLS_SECS,
    TOLD_PULLS_WAITING_MAX,
    WEBHOOK_WAITING_MAX,
)
from angos_trio.limits.storage import CLEANUP_SECS_MAX
from angos_trio.oci.codes import OciError
from angos_trio.storage.metadata import jobs, switches
from angos_trio.storage.metadata.jobs import Wanted
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Transaction
from angos_trio.telemetry.log import logger
from angos_trio.telemetry.metrics import WebhookMetrics

_log = logger("events.webhooks")


class ToldPulls:
    """Of one process."""

    def __init__(self, storage: Storage, metrics: WebhookMetrics, now: Callable[[], int]) -> None:
        self._storage = storage
        self._metrics = metrics
        self._now = now
        self._waiting: deque[Wanted] = deque()

    def note(self, endpoints: Endpoints, happening: Happening) -> None:
        """Something was pulled; tell the webhooks that are told of it. Costs no wait."""
        for endpoint in endpoints.told_of(happening.kind, happening.namespace):
            if len(self._waiting) >= TOLD_PULLS_WAITING_MAX:
                self._metrics.missed(endpoint.name)
                continue
            stored = message_of(happening).stored()
            wanted = Wanted(endpoint.queue, happening.namespace, stored, happening.at)
            self._waiting.append(wanted)

    async def run(self) -> None:
        """Hand on every second until cancelled, and then what is left."""
        try:
            while True:
                await trio.sleep(TOLD_PULLS_SECS)
                await self.flush()
        finally:
            with trio.move_on_after(CLEANUP_SECS_MAX, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Hand on what waits; what cannot be written now waits for the next time."""
        if not self._waiting:
            return
        taken = list(self._waiting)
        self._waiting.clear()
        now = self._now()

        def step(transaction: Transaction) -> list[Wanted] | None:
            rows = transaction.rows
            if switches.find_read_only(rows) is not None:
                return None
            room = {
                queue: WEBHOOK_WAITING_MAX - jobs.count_waiting(rows, queue)
                for queue in {each.queue for each in taken}
            }
            missed = []
            for each in taken:
                room[each.queue] -= 1
                if room[each.queue] >= 0:
                    jobs.add(rows, each, now)
                else:
                    missed.append(each)
            return missed

        try:
            missed = await self._storage.write(step)
        except OciError as error:
            _log.warning("webhook.pulls_unwritten", error=error.message)
            missed = None
        if missed is None:
            room = TOLD_PULLS_WAITING_MAX - len(self._waiting)
            self._waiting.extendleft(reversed(taken[:room]))
            missed = taken[room:]
        for each in missed:
            self._metrics.missed(each.queue.removeprefix(QUEUE))
