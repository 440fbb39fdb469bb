"""Delivers to webhooks what waits for them, at least once and in order for each namespace."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from angos_trio.events.endpoints import QUEUE, Endpoint, Endpoints
from angos_trio.events.feed import Feed
from angos_trio.events.handing_on import HandingOn, keep_cursors
from angos_trio.events.messages import Message
from angos_trio.events.sending import Result, Sent, send
from angos_trio.jobs.worker import GiveUpError, Rules, TryLaterError, Worker
from angos_trio.limits.jobs import (
    JOB_FAILED_MAX,
    JOB_FAILED_SECS_MAX,
    JOB_SWEEP_ROWS,
    JOB_SWEEP_SECS,
    WEBHOOK_CLAIM_SECS,
    WEBHOOK_DELIVERIES_MAX,
    WEBHOOKS_LOOK_SECS,
)
from angos_trio.records import Frozen
from angos_trio.storage.metadata import jobs, switches
from angos_trio.storage.metadata.jobs import Job
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Transaction
from angos_trio.telemetry.metrics import WebhookMetrics

_NOT_THERE: Final = frozenset({429, 502, 503, 504})
"""What a receiver says, or who stands before it, whatever the message."""


async def deliver(endpoint: Endpoint, metrics: WebhookMetrics, job: Job) -> None:
    """Send what a job has kept. Raises as `jobs.worker.Work`."""
    try:
        message = Message.read(job.payload)
    except ValueError as error:
        raise GiveUpError(f"the row is damaged: {error}") from None
    sent = await send(endpoint, message)
    metrics.sent(endpoint.name, message.kind, sent.result.value, sent.secs)
    if sent.result is Result.REFUSED:
        raise GiveUpError(sent.problem)
    if sent.result is Result.UNAVAILABLE:
        raise TryLaterError(sent.problem, after_secs=sent.again_secs, is_for_all=_is_for_all(sent))


def _is_for_all(sent: Sent) -> bool:
    """Whether the receiver is not there, or has no time; else something is wrong with one."""
    return sent.status is None or sent.status in _NOT_THERE


class Delivering(Frozen):
    """The service of the steward. `current` gives the webhooks in force."""

    storage: Storage
    feed: Feed
    metrics: WebhookMetrics
    now: Callable[[], int]
    instance: str
    current: Callable[[], Endpoints]

    async def run(self) -> None:
        """Deliver until cancelled, beginning anew whenever the configuration has changed. Raises
        UNAVAILABLE (503, 507)."""
        while True:
            endpoints = self.current()
            await keep_cursors(self.storage, endpoints)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep_others, endpoints)
                if endpoints.told:
                    nursery.start_soon(self._serve, endpoints)
                await self._changed(endpoints)
                nursery.cancel_scope.cancel()

    async def _changed(self, endpoints: Endpoints) -> None:
        """Return when others are in force."""
        while True:
            await trio.sleep(WEBHOOKS_LOOK_SECS)
            if self.current() != endpoints:
                return

    async def _serve(self, endpoints: Endpoints) -> None:
        workers = {name: self._worker(each) for name, each in endpoints.told.items()}

        def woken(name: str) -> None:
            workers[name].wake()

        handing_on = HandingOn(self.storage, self.feed, endpoints, self.now, self.instance, woken)
        async with trio.open_nursery() as nursery:
            for worker in workers.values():
                nursery.start_soon(worker.run)
            nursery.start_soon(handing_on.run)

    def _worker(self, endpoint: Endpoint) -> Worker:
        retries = endpoint.retries_max
        rules = Rules(
            WEBHOOK_DELIVERIES_MAX, WEBHOOK_CLAIM_SECS, None if retries is None else retries + 1
        )
        work = partial(self._deliver, endpoint.name)
        return Worker(self.storage, endpoint.queue, work, rules, self.now)

    async def _deliver(self, name: str, job: Job) -> None:
        """As the configuration says by now: a reload may have read certificates anew."""
        endpoint = self.current().told.get(name)
        if endpoint is None:
            raise TryLaterError("the configuration has no such webhook")
        await deliver(endpoint, self.metrics, job)

    async def _sweep_others(self, endpoints: Endpoints) -> None:
        """What waits for a webhook that is no more has failed, and is forgotten in its time."""
        known = {each.queue for each in endpoints.told.values()}
        while True:
            for queue in await self.storage.read(jobs.queues):
                if queue.startswith(QUEUE) and queue not in known:
                    while await self._give_up(queue) == JOB_SWEEP_ROWS:
                        await trio.lowlevel.checkpoint()
            await trio.sleep(JOB_SWEEP_SECS)

    async def _give_up(self, queue: str) -> int:
        now = self.now()

        def step(transaction: Transaction) -> int:
            rows = transaction.rows
            if switches.find_read_only(rows) is not None:
                return 0
            jobs.release(rows, queue)
            found = jobs.left(rows, queue, JOB_SWEEP_ROWS)
            for job in found:
                jobs.bury(rows, job, "the configuration has no such webhook", now)
            jobs.forget_failed(rows, queue, now - JOB_FAILED_SECS_MAX, JOB_FAILED_MAX)
            return len(found)

        return await self.storage.write(step, makes_room=True)
