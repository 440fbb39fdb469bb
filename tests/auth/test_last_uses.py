"""When keys were last used is written now and then, in one step, and nobody waits for it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import trio
import trio.testing

from angos_trio.auth.last_uses import LastUses
from angos_trio.limits.callers import LAST_USE_SECS, LAST_USES_MAX
from angos_trio.storage.metadata import api_keys
from angos_trio.storage.metadata.api_keys import ApiKey
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Transaction
from tests.registry.support import Clock
from tests.storage.support import ScriptedFiles, failing, opened, quiet, run

IDS = ("a", "b", "c")


async def make_keys(storage: Storage) -> None:
    def step(transaction: Transaction) -> None:
        for name in IDS:
            api_keys.insert(transaction.rows, ApiKey(name, name, "alice", "0", (), (), 1, "me"))

    await storage.write(step)


async def used(storage: Storage) -> dict[str, int | None]:
    found = await storage.read(lambda rows: api_keys.list_after(rows, "", 10))
    return {key.id: key.last_used_at for key in found}


def test_uses_are_written_once_a_minute_and_at_the_end(root: Path) -> None:
    clock = trio.testing.MockClock()

    async def test() -> None:
        now = Clock(100)
        async with opened(root) as storage, trio.open_nursery() as services:
            await make_keys(storage)
            noted = LastUses(storage, now)
            services.start_soon(noted.run)
            noted.note("a")
            now.now = 110
            noted.note("a")
            noted.note("b")
            await quiet(storage)
            assert await used(storage) == {"a": None, "b": None, "c": None}

            await trio.testing.wait_all_tasks_blocked()
            clock.jump(LAST_USE_SECS)
            await trio.testing.wait_all_tasks_blocked()
            await quiet(storage)
            assert await used(storage) == {"a": 110, "b": 110, "c": None}

            now.now = 120
            noted.note("c")
            services.cancel_scope.cancel()
        async with opened(root) as storage:
            assert await used(storage) == {"a": 110, "b": 110, "c": 120}

    run(test, clock=clock)


def test_nothing_used_is_nothing_written(root: Path) -> None:
    async def test() -> None:
        files = ScriptedFiles()
        async with opened(root, files) as storage:
            noted = LastUses(storage)
            await noted.flush()
            assert files.count("commit.before") == 0

    run(test)


def test_all_that_was_used_is_one_change(root: Path) -> None:
    async def test() -> None:
        files = ScriptedFiles()
        async with opened(root, files) as storage:
            await make_keys(storage)
            before = files.count("commit.before")
            noted = LastUses(storage, Clock(7))
            for name in IDS:
                noted.note(name)
            await noted.flush()
            assert files.count("commit.before") == before + 1
            assert await used(storage) == dict.fromkeys(IDS, 7)

    run(test)


def test_note_does_not_wait_for_the_write_lock(root: Path) -> None:
    """`note` is no coroutine; and what another process holds up is written after it."""

    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            await make_keys(storage)
            lock = os.open(root / "write.lock", os.O_RDWR)
            fcntl.flock(lock, fcntl.LOCK_EX)
            noted = LastUses(storage, Clock(7))
            noted.note("a")
            nursery.start_soon(noted.flush)
            await trio.testing.wait_all_tasks_blocked()
            noted.note("b")
            os.close(lock)
        async with opened(root) as storage:
            assert (await used(storage))["a"] == 7

    run(test)


def test_what_could_not_be_written_is_written_the_next_time(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await make_keys(storage)
        files = ScriptedFiles(**{"commit.before": failing(errno.EIO, times=1)})
        async with opened(root, files) as storage:
            now = Clock(7)
            noted = LastUses(storage, now)
            noted.note("a")
            noted.note("b")
            await noted.flush()
            assert (await used(storage))["a"] is None
            now.now = 9
            noted.note("b")
            await noted.flush()
            assert await used(storage) == {"a": 7, "b": 9, "c": None}

    run(test)


def test_memory_of_uses_is_bounded_while_nothing_can_be_written(root: Path) -> None:
    async def test() -> None:
        files = ScriptedFiles(**{"commit.before": failing(errno.EIO, times=1)})
        async with opened(root, files) as storage:
            noted = LastUses(storage, Clock(7))
            noted.note("before")
            async with trio.open_nursery() as nursery:
                lock = os.open(root / "write.lock", os.O_RDWR)
                fcntl.flock(lock, fcntl.LOCK_EX)
                nursery.start_soon(noted.flush)
                await trio.testing.wait_all_tasks_blocked()
                for number in range(LAST_USES_MAX):
                    noted.note(str(number))
                os.close(lock)
            assert len(noted._used_at) == LAST_USES_MAX
            assert "before" in noted._used_at

    run(test)


def test_memory_of_uses_is_bounded(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            noted = LastUses(storage, Clock(7))
            for number in range(LAST_USES_MAX + 10):
                noted.note(str(number))
            noted.note("0")
            assert len(noted._used_at) == LAST_USES_MAX

    run(test)
