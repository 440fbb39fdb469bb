"""`stats.db` can be lost: it is made anew, and nothing else suffers."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from angos_trio.limits import storage as limits
from angos_trio.oci.codes import Code
from angos_trio.storage import stats
from angos_trio.storage.metadata import pulls
from angos_trio.storage.metadata.pulls import Pulls
from angos_trio.storage.stats import Stats
from angos_trio.storage.store import Storage
from tests.oci.refusals import refused
from tests.storage.support import NAME, ScriptedFiles, failing, opened, run


async def note(storage: Storage, at: int) -> None:
    await storage.stats.run(lambda rows: pulls.add(rows, {(NAME, "v1"): Pulls(1, at)}))


async def noted(storage: Storage) -> Pulls | None:
    found = await storage.stats.run(lambda rows: pulls.of(rows, NAME, ["v1"]))
    return found.get("v1")


def write_garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def tear(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def make_another(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as rows:
        rows.execute("CREATE TABLE pulls (what TEXT)")
    rows.close()


def make_later(path: Path) -> None:
    with sqlite3.connect(path) as rows:
        rows.execute("PRAGMA user_version = 99")
    rows.close()


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, write_garbage, tear, make_another, make_later],
    ids=lambda each: each.__name__,
)
def test_lost_or_damaged_file_is_made_anew(root: Path, damage: object) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await note(storage, 5)
            assert await noted(storage) == Pulls(1, 5)
            damage(root / "stats.db")  # type: ignore[operator]
            await note(storage, 7)
            assert await noted(storage) == Pulls(1, 7)
        async with opened(root) as storage:
            assert await noted(storage) == Pulls(1, 7)

    run(test)


def test_damaged_file_does_not_stop_a_start(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            write_garbage(root / "stats.db")
        async with opened(root) as storage:
            assert await noted(storage) is None

    run(test)


@pytest.mark.parametrize(("number", "status"), [(errno.EIO, 503), (errno.ENOSPC, 507)])
def test_disk_that_refuses_loses_nothing(root: Path, number: int, status: int) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            await note(storage, 5)
            files.at["stats.open"] = failing(number, times=1)
            with refused(Code.UNAVAILABLE, status):
                await note(storage, 7)
            assert await noted(storage) == Pulls(1, 5)

    run(test)


def test_step_that_fails_changes_nothing(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:

            def step(rows: sqlite3.Connection) -> None:
                pulls.add(rows, {(NAME, "v1"): Pulls(1, 5)})
                raise sqlite3.OperationalError("in the middle")

            with refused(Code.UNAVAILABLE, 503):
                await storage.stats.run(step)
            assert await noted(storage) is None

    run(test)


def test_wait_for_another_process_has_an_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "STATS_WAIT_SECS_MAX", 0.05)
    assert limits.STATS_WAIT_SECS_MAX > 1

    async def test() -> None:
        async with opened(root) as storage:
            await note(storage, 5)
            lock = os.open(root / "stats.lock", os.O_RDWR)
            fcntl.flock(lock, fcntl.LOCK_EX)
            with refused(Code.UNAVAILABLE, 503):
                await note(storage, 7)
            os.close(lock)
            await note(storage, 7)
            assert await noted(storage) == Pulls(2, 7)
            assert isinstance(storage.stats, Stats)

    run(test)
