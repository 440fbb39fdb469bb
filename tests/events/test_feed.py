"""The feed: pages after a cursor, cursors that are too old or of elsewhere, and waiting."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import trio

from angos_trio.events.feed import Feed
from angos_trio.events.model import Event, EventKind, record
from angos_trio.limits.lists import EVENTS_LISTENERS_MAX, EVENTS_PAGE
from angos_trio.oci.codes import OciError
from angos_trio.storage.metadata import events as outbox
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Transaction
from tests.storage.support import NAME, opened, run

WAIT_SECS_MAX = 5.0


async def happen(storage: Storage, count: int = 1, at: int = 1) -> None:
    """So many events, in one change."""

    def step(transaction: Transaction) -> None:
        for number in range(count):
            event = Event(EventKind.TAG_CREATED, NAME, at, "me", {"tag": f"v{number}"})
            record(transaction.rows, event)

    await storage.write(step)


async def pruned(storage: Storage, before: int) -> int:
    return await storage.write(lambda change: outbox.prune(change.rows, before, 1000))


def test_pages_follow_each_other_without_a_gap_and_in_the_order_of_commits(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            await happen(storage, 2 * EVENTS_PAGE + 1)
            feed, found, cursor = Feed(storage), list[int](), 0
            while (page := await feed.read(cursor)).events:
                assert not page.is_broken
                assert page.newest == 2 * EVENTS_PAGE + 1
                found += [event.id for event in page.events]
                cursor = found[-1]
            assert found == list(range(1, 2 * EVENTS_PAGE + 2))

    run(main)


@pytest.mark.parametrize(
    ("cursor", "is_broken"), [(0, False), (1, True), (3, True), (4, False), (6, False), (7, True)]
)
def test_cursor_before_what_is_kept_or_of_another_database_is_broken(
    root: Path, cursor: int, is_broken: bool
) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            await happen(storage, 4, at=1)
            await happen(storage, 2, at=9)
            assert await pruned(storage, before=5) == 4
            page = await Feed(storage).read(cursor)
            assert (page.newest, page.is_broken) == (6, is_broken)

    run(main)


def test_newest_event_is_kept_so_that_an_old_cursor_still_counts(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            await happen(storage, 3, at=1)
            assert await pruned(storage, before=99) == 2
            feed = Feed(storage)
            assert await feed.newest() == 3
            assert not (await feed.read(3)).is_broken
            assert (await feed.read(1)).is_broken

    run(main)


def test_empty_outbox_has_nothing_to_miss(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            page = await Feed(storage).read(0)
            assert (page.events, page.newest, page.is_broken) == ([], 0, False)

    run(main)


@pytest.mark.slow
def test_all_who_wait_are_told_by_one_look_at_a_time(root: Path) -> None:
    class Counting(Feed):
        looks = 0

        async def newest(self) -> int:
            self.looks += 1
            return await super().newest()

    async def main() -> None:
        async with opened(root) as storage:
            feed = Counting(storage)
            with trio.fail_after(WAIT_SECS_MAX):
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(feed.wait, 0)
                    await trio.sleep(0.6)
                    await happen(storage)
            assert 2 <= feed.looks <= 5

    run(main)


@pytest.mark.slow
def test_when_the_one_who_looks_leaves_another_looks(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            feed = Feed(storage)
            with trio.fail_after(WAIT_SECS_MAX):
                async with trio.open_nursery() as nursery:
                    with trio.move_on_after(0.05):
                        nursery.start_soon(_after, 0.01, feed)
                        await feed.wait(0)
                    await happen(storage)

    async def _after(secs: float, feed: Feed) -> None:
        await trio.sleep(secs)
        await feed.wait(0)

    run(main)


@pytest.mark.slow
def test_event_of_another_connection_is_noticed(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            feed = Feed(storage)

            def elsewhere() -> None:
                with sqlite3.connect(root / "metadata.db") as rows:
                    record(rows, Event(EventKind.TAG_DELETED, NAME, 1, "other"))
                rows.close()

            await trio.to_thread.run_sync(elsewhere)
            with trio.fail_after(WAIT_SECS_MAX):
                await feed.wait(0)
            assert [event.actor for event in (await feed.read(0)).events] == ["other"]

    run(main)


def test_caller_has_so_many_places_and_no_more(root: Path) -> None:
    async def main() -> None:
        async with opened(root) as storage:
            feed = Feed(storage)
            places = [feed.place("alice") for _ in range(EVENTS_LISTENERS_MAX)]
            for place in places:
                place.__enter__()
            with pytest.raises(OciError) as refused:
                feed.require_place("alice")
            assert refused.value.status == 429
            feed.require_place("bob")
            for place in places:
                place.__exit__(None, None, None)
            feed.require_place("alice")

    run(main)
