"""Pulls are counted in memory, written now and then and at the end, and what is lost is known."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import trio
import trio.testing

from angos_trio.identity import Origin
from angos_trio.limits.storage import (
    PULL_LINES_PER_MANIFEST_MAX,
    PULL_LINES_WAITING_MAX,
    PULLS_MAX,
    PULLS_SECS,
)
from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import Tag
from angos_trio.registry.pull_times import PullTimes
from angos_trio.storage.metadata import pull_history, pulls
from angos_trio.storage.metadata.pull_history import Line
from angos_trio.storage.stats import Stats
from tests.registry.support import Clock
from tests.storage.support import NAME, ScriptedFiles, failing, opened, run

DIGEST = digest_of(b"image")
TAG = Tag("v1")
ALICE = "basic::alice"
SKOPEO = Origin("192.0.2.7", "skopeo/1.9")


def rows(root: Path) -> dict[str, tuple[int, int]]:
    """Count and time by reference, as they are on the disk."""
    with sqlite3.connect(root / "stats.db") as opened_rows:
        found = opened_rows.execute("SELECT reference, pull_count, last_pulled_at FROM pulls")
        counted = {row[0]: (row[1], row[2]) for row in found}
    opened_rows.close()
    return counted


async def lines_of(stats: Stats, now: int = 100) -> list[Line]:
    return await stats.run(lambda found: pull_history.lines_of(found, NAME, DIGEST, now))


async def began_at(stats: Stats) -> int | None:
    return await stats.run(pulls.began_at)


def test_pull_by_tag_is_one_of_its_digest_and_the_reverse_is_not(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            clock = Clock(100)
            noted = PullTimes(storage.stats, clock)
            noted.note(NAME, TAG, DIGEST)
            clock.now = 110
            noted.note(NAME, DIGEST, DIGEST)
            await noted.flush()
            assert rows(root) == {"v1": (1, 100), DIGEST: (2, 110)}

    run(test)


def test_pulls_are_written_every_few_seconds_and_at_the_end(root: Path) -> None:
    clock = trio.testing.MockClock()

    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as services:
            noted = PullTimes(storage.stats, Clock(100))
            services.start_soon(noted.run, lambda: True)
            while await began_at(storage.stats) is None:
                await trio.testing.wait_all_tasks_blocked(0.01)
            noted.note(NAME, DIGEST, DIGEST)
            assert rows(root) == {}
            clock.jump(PULLS_SECS)
            while not rows(root):
                await trio.testing.wait_all_tasks_blocked(0.01)
            noted.note(NAME, DIGEST, DIGEST)
            services.cancel_scope.cancel()
        assert rows(root) == {DIGEST: (2, 100)}

    run(test, clock=clock)


def test_several_processes_add_up(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            for at in range(8):
                noted = PullTimes(Stats(storage.stats.directory, storage.stats.files), Clock(at))
                noted.note(NAME, TAG, DIGEST)
                nursery.start_soon(noted.flush)
        assert rows(root) == {"v1": (8, 7), DIGEST: (8, 7)}

    run(test)


def test_what_could_not_be_written_is_written_the_next_time(root: Path) -> None:
    async def test() -> None:
        files = ScriptedFiles(**{"stats.open": failing(errno.EIO, times=1)})
        async with opened(root, files) as storage:
            clock = Clock(100)
            noted = PullTimes(storage.stats, clock)
            noted.note(NAME, TAG, DIGEST)
            await noted.flush()
            clock.now = 120
            noted.note(NAME, TAG, DIGEST)
            await noted.flush()
            await noted.flush()
            assert rows(root) == {"v1": (2, 120), DIGEST: (2, 120)}

    run(test)


def test_nothing_pulled_is_nothing_written(root: Path) -> None:
    async def test() -> None:
        files = ScriptedFiles()
        async with opened(root, files) as storage:
            noted = PullTimes(storage.stats, Clock(100))
            await noted.flush()
            before = files.count("stats.open")
            await noted.flush()
            assert files.count("stats.open") == before == 1

    run(test)


def test_memory_is_bounded_and_what_was_left_out_is_no_longer_taken_for_unpulled(
    root: Path,
) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            clock = Clock(100)
            noted = PullTimes(storage.stats, clock)
            await noted.flush()
            clock.now = 200
            for number in range(PULLS_MAX + 10):
                noted.note(NAME, DIGEST, digest_of(str(number).encode()))
            assert len(noted._gathered) == PULLS_MAX
            assert await began_at(storage.stats) == 100
            await noted.flush()
            assert await began_at(storage.stats) == 200
            assert len(rows(root)) == PULLS_MAX

    run(test)


def test_time_since_which_pulls_are_noted_outlives_a_restart_and_no_pause(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await PullTimes(storage.stats, Clock(100)).flush()
        async with opened(root) as storage:
            clock = Clock(200)
            noted = PullTimes(storage.stats, clock)
            await noted.flush()
            assert await began_at(storage.stats) == 100
            await noted.flush(is_on=False)
            assert await began_at(storage.stats) is None
            clock.now = 300
            await noted.flush(is_on=True)
            assert await began_at(storage.stats) == 300

    run(test)


def test_pull_is_told_with_who_and_how(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            clock = Clock(100)
            noted = PullTimes(storage.stats, clock)
            noted.note(NAME, TAG, DIGEST, ALICE, SKOPEO)
            clock.now = 101
            noted.note(NAME, DIGEST, DIGEST, ALICE)
            await noted.flush()
            by_digest, by_tag = await lines_of(storage.stats)
            assert by_tag == Line(NAME, DIGEST, TAG, 100, ALICE, SKOPEO.client, SKOPEO.address)
            assert (by_digest.tag, by_digest.client, by_digest.address) == (None, "", "")

    run(test)


def test_pull_costs_no_transaction_beyond_that_of_the_counts(root: Path) -> None:
    async def test() -> None:
        files = ScriptedFiles()
        async with opened(root, files) as storage:
            noted = PullTimes(storage.stats, Clock(100))
            await noted.flush()
            before = files.count("stats.open")
            for _ in range(50):
                noted.note(NAME, TAG, DIGEST, ALICE)
            assert files.count("stats.open") == before
            await noted.flush()
            assert files.count("stats.open") == before + 1

    run(test)


def test_full_buffer_drops_lines_and_counts_every_pull(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            noted = PullTimes(storage.stats, Clock(100))
            total = PULL_LINES_WAITING_MAX + 500
            for number in range(total):
                noted.note(NAME, DIGEST, DIGEST, ALICE, Origin(client=str(number)))
            assert len(noted._lines) == PULL_LINES_WAITING_MAX
            await noted.flush()
            assert rows(root) == {DIGEST: (total, 100)}
            lines = await lines_of(storage.stats)
            assert len(lines) == PULL_LINES_PER_MANIFEST_MAX
            assert lines[0].client == str(total - 1)

    run(test)


def test_lines_that_could_not_be_written_wait_in_order(root: Path) -> None:
    async def test() -> None:
        files = ScriptedFiles(**{"stats.open": failing(errno.EIO, times=1)})
        async with opened(root, files) as storage:
            noted = PullTimes(storage.stats, Clock(100))
            noted.note(NAME, TAG, DIGEST, ALICE, Origin(client="first"))
            await noted.flush()
            noted.note(NAME, TAG, DIGEST, ALICE, Origin(client="second"))
            await noted.flush()
            await noted.flush()
            assert [each.client for each in await lines_of(storage.stats)] == ["second", "first"]

    run(test)


def test_what_has_no_count_has_no_line(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            noted = PullTimes(storage.stats, Clock(100))
            for number in range(PULLS_MAX):
                noted._gathered[(NAME, str(number))] = (1, 100)
            noted.note(NAME, DIGEST, DIGEST, ALICE)
            await noted.flush()
            assert await lines_of(storage.stats) == []

    run(test)
