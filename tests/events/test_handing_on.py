"""From the outbox into the queues of webhooks: each event once, in order, whatever is cancelled."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import trio

from angos_trio.events.endpoints import Endpoint, Endpoints, Kind
from angos_trio.events.feed import Feed
from angos_trio.events.handing_on import HandingOn, begin_cursors, keep_cursors
from angos_trio.limits.jobs import WEBHOOK_WAITING_MAX
from angos_trio.storage.metadata import jobs, switches, webhook_cursors
from angos_trio.storage.metadata.switches import Switched
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows, Transaction
from tests.events.test_feed import happen
from tests.storage.support import opened, run

LAB = Endpoint("lab", "http://127.0.0.1:1/", frozenset(Kind), ssl.create_default_context())
ENDPOINTS = Endpoints({"lab": LAB}, ("lab",))


def handing_on(storage: Storage) -> HandingOn:
    return HandingOn(storage, Feed(storage), ENDPOINTS, lambda: 1, "instance", lambda name: None)


async def waiting(storage: Storage) -> list[str]:
    """Tags of the deliveries that wait, in their order."""
    found = await storage.read(lambda rows: jobs.left(rows, LAB.queue, 100_000))
    return [json.loads(json.loads(job.payload)["body"])["tag"] for job in found]


async def until(storage: Storage, count: int) -> list[str]:
    with trio.fail_after(30):
        while True:
            found = await waiting(storage)
            if len(found) >= count:
                return found
            await trio.sleep(0.02)


async def change(storage: Storage, act: object) -> None:
    def step(transaction: Transaction) -> None:
        act(transaction.rows)  # type: ignore[operator]

    await storage.write(step)


def test_each_event_is_handed_on_once_though_who_does_it_is_replaced(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            await keep_cursors(storage, ENDPOINTS)
            await happen(storage, 300)
            for _ in range(20):
                with trio.move_on_after(0.01):
                    await handing_on(storage).run()
            async with trio.open_nursery() as both:  # two at once, which there never are
                both.start_soon(handing_on(storage).run)
                both.start_soon(handing_on(storage).run)
                found = await until(storage, 300)
                await trio.sleep(0.3)
                both.cancel_scope.cancel()
            assert found == await waiting(storage) == [f"v{number}" for number in range(300)]

    run(main)


def test_what_happened_before_is_not_told_and_a_webhook_that_is_gone_keeps_no_place(
    root: Path,
) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            await happen(storage, 5)
            await begin_cursors(storage, ENDPOINTS)
            assert await storage.read(webhook_cursors.every) == {"lab": 5}
            await happen(storage, 1)
            await begin_cursors(storage, ENDPOINTS)
            assert await storage.read(webhook_cursors.every) == {"lab": 5}
            await begin_cursors(storage, Endpoints())
            assert await storage.read(webhook_cursors.every) == {}

    run(main)


def test_queue_takes_no_more_than_its_bound_and_the_rest_comes_after(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            await keep_cursors(storage, ENDPOINTS)

            def fill(rows: Rows) -> None:
                rows.executemany(
                    "INSERT INTO jobs (queue, lane, payload, created_at) VALUES (?, ?, ?, ?)",
                    [(LAB.queue, "full", "{}", 1)] * WEBHOOK_WAITING_MAX,
                )

            await change(storage, fill)
            await happen(storage, 3)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(handing_on(storage).run)
                await trio.sleep(0.5)
                assert await storage.read(webhook_cursors.every) == {"lab": 0}
                await change(storage, lambda rows: rows.execute("DELETE FROM jobs"))
                assert await until(storage, 3) == ["v0", "v1", "v2"]
                nursery.cancel_scope.cancel()

    run(main)


def test_nothing_is_handed_on_while_the_registry_is_read_only(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            await keep_cursors(storage, ENDPOINTS)
            await change(storage, lambda rows: switches.set_read_only(rows, Switched(1, "me")))
            await happen(storage, 1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(handing_on(storage).run)
                await trio.sleep(0.5)
                assert await waiting(storage) == []
                await change(storage, switches.end_read_only)
                await until(storage, 1)
                nursery.cancel_scope.cancel()

    run(main)
