"""Hands events on to webhooks: from the outbox into the queue of each, in the order of commits.

A queue takes no more than its bound; what is left waits in the outbox, behind the cursor of its
webhook. Deliveries and cursor are one change, so that each event is handed on once.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from angos_trio.events.endpoints import Endpoint, Endpoints
from angos_trio.events.feed import Feed
from angos_trio.events.messages import happening_of, message_of
from angos_trio.limits.jobs import JOB_LOOK_SECS, WEBHOOK_EVENTS_AT_ONCE, WEBHOOK_WAITING_MAX
from angos_trio.oci.codes import OciError
from angos_trio.records import Mutable
from angos_trio.storage.metadata import jobs, switches, webhook_cursors
from angos_trio.storage.metadata.events import Stored
from angos_trio.storage.metadata.jobs import Wanted
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows, Transaction
from angos_trio.telemetry.log import logger

_log = logger("events.webhooks")


async def begin_cursors(storage: Storage, endpoints: Endpoints) -> None:
    """The same at a start, where a disk that takes nothing must not keep anybody from pulling: the
    service that delivers tries it again."""
    try:
        await keep_cursors(storage, endpoints)
    except OciError as error:
        _log.error("webhook.not_begun", error=error.message)


async def keep_cursors(storage: Storage, endpoints: Endpoints) -> None:
    """Begin to hand on to webhooks that are new; those that are no more get nothing further. Raises
    UNAVAILABLE (503, 507)."""
    names = frozenset(endpoints.told)

    def is_so(rows: Rows) -> bool:
        return webhook_cursors.every(rows).keys() == names

    def step(transaction: Transaction) -> None:
        webhook_cursors.keep_for(transaction.rows, names)

    if not await storage.read_point(is_so):
        await storage.write(step, makes_room=True)


def wanted_of(
    endpoint: Endpoint, endpoints: Endpoints, event: Stored, instance: str
) -> Wanted | None:
    """The delivery that an event comes to for a webhook; None where it is not told of it."""
    repository = endpoints.repository_of(event.namespace)
    happening = happening_of(event, instance, repository)
    if happening is None:
        return None
    if endpoint not in endpoints.told_of(happening.kind, event.namespace):
        return None
    message = message_of(happening)
    return Wanted(endpoint.queue, event.namespace, message.stored(), event.at)


class HandingOn(Mutable):
    """For all webhooks that are told; there is one in the whole instance. `woken` is called with
    the name of a webhook that has got deliveries."""

    storage: Storage
    feed: Feed
    endpoints: Endpoints
    now: Callable[[], int]
    instance: str
    woken: Callable[[str], None]

    async def run(self) -> None:
        """Hand on what happens, until cancelled. Raises UNAVAILABLE (503, 507)."""
        while True:
            newest = await self.feed.newest()
            cursors = await self.storage.read_point(webhook_cursors.every)
            has_moved = False
            for name, endpoint in self.endpoints.told.items():
                if name in cursors and await self._hand_on(endpoint, cursors[name]):
                    has_moved = True
            if not has_moved:
                with trio.move_on_after(JOB_LOOK_SECS):
                    await self.feed.wait(newest)

    async def _hand_on(self, endpoint: Endpoint, cursor: int) -> bool:
        """The next events for one webhook; whether there were any."""
        found = await self.feed.read(cursor)
        news = found.events[:WEBHOOK_EVENTS_AT_ONCE]
        if not news:
            return False
        wanted = [wanted_of(endpoint, self.endpoints, event, self.instance) for event in news]
        deliveries = [each for each in wanted if each is not None]
        now = self.now()

        def step(transaction: Transaction) -> bool:
            rows = transaction.rows
            if switches.find_read_only(rows) is not None:
                return False
            if webhook_cursors.every(rows).get(endpoint.name) != cursor:
                return False  # an earlier change, of which nobody heard, has handed them on
            if deliveries and jobs.count_waiting(rows, endpoint.queue) >= WEBHOOK_WAITING_MAX:
                return False
            for each in deliveries:
                jobs.add(rows, each, now)
            webhook_cursors.move(rows, endpoint.name, news[-1].id)
            return True

        has_moved = await self.storage.write(step, makes_room=True)
        if has_moved and found.is_broken:  # it waited for longer than events are kept
            _log.error("webhook.missed_events", webhook=endpoint.name, after=cursor)
        if has_moved and deliveries:
            self.woken(endpoint.name)
        return has_moved
