"""Copies of the database that are kept: which, when they are made, and when not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.limits.housekeeping import COPY_SECS
from angos_trio.maintenance import copies
from angos_trio.maintenance.copies import superfluous
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import digest_of
from angos_trio.registry.pull import find_blob
from angos_trio.storage.connections import open_copy
from angos_trio.storage.snapshots import kept_copies
from tests.oci.refusals import refused
from tests.registry.support import Clock, push_bytes, registry_of
from tests.storage.support import NAME, opened, run

pytestmark = pytest.mark.slow

HOUR = 3600


def after(hours: int, changes: Callable[[int], bool]) -> Iterator[list[int]]:
    """The ages in hours of what is kept, hour by hour, when copies are made of these."""
    made_at: list[int] = []
    for hour in range(hours):
        now = hour * HOUR + 1234
        made_at += [now] if changes(hour) else []
        made_at = [at for at in made_at if at not in superfluous(made_at, now)]
        yield [(now - at) // HOUR for at in made_at]


def test_with_a_copy_each_hour_some_are_kept_of_about_6_and_24_hours() -> None:
    for hour, ages in enumerate(after(200, lambda hour: True)):
        assert 0 in ages
        assert len(ages) <= 5
        if hour >= 40:
            assert [age for age in ages if 6 <= age <= 12]
            assert [age for age in ages if 24 <= age <= 36]


@given(st.sets(st.integers(0, 99), min_size=1))
def test_what_is_kept_has_the_database_as_it_was_hours_ago(changed: set[int]) -> None:
    """Where nothing changed no copy is made, and the one before is as good."""
    for hour, ages in enumerate(after(100, lambda hour: hour in changed)):
        for least, most in ((6, 13), (24, 37)):
            known = {
                max((at for at in changed if at <= hour - ago), default=None)
                for ago in range(least, most + 1)
            }
            kept = {hour - age for age in ages}
            assert known & (kept | {None}), (hour, ages)


@given(st.sets(st.integers(0, 100 * HOUR), min_size=1), st.integers(0, 50 * HOUR))
def test_the_newest_copy_is_always_kept(made_at: set[int], later: int) -> None:
    gone = superfluous(sorted(made_at), max(made_at) + later)
    assert max(made_at) not in gone
    assert set(gone) <= made_at
    assert len(made_at) - len(gone) <= 5


def test_copy_is_made_when_something_changed_and_an_hour_has_passed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "COPY_LOOK_SECS", 0.01)

    async def test() -> None:
        async with opened(root) as storage:
            clock = Clock()
            registry = registry_of(storage, clock=clock)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(copies.copy, registry)
                await made(root, 1)
                clock.now += 6 * COPY_SECS
                await trio.sleep(0.1)
                assert len(os.listdir(root / "copies")) == 1

                await push_bytes(registry, b"new")
                names = await made(root, 2)
                nursery.cancel_scope.cancel()
        rows = open_copy(root / "copies" / max(names))
        assert rows.execute("SELECT count(*) FROM blobs").fetchone() == (1,)
        rows.close()

    run(test)


async def made(root: Path, count: int) -> list[str]:
    """The names of the copies once there are so many."""
    while True:
        names = os.listdir(root / "copies") if (root / "copies").exists() else []
        if len(names) == count and all(name.endswith("Z.db") for name in names):
            return names
        await trio.sleep(0.01)


def test_where_the_disk_is_short_none_is_made_and_all_but_the_newest_go(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "COPY_LOOK_SECS", 0.01)

    async def test() -> None:
        async with opened(root) as storage:
            for moment in (1, 2, 3):
                await storage.keep_copy(moment)
        async with opened(root, reserve=1 << 60) as storage:
            assert kept_copies(storage.receiver.directory) == [1, 2, 3]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(copies.copy, registry_of(storage))
                await made(root, 1)
                await trio.sleep(0.1)
                nursery.cancel_scope.cancel()
            assert kept_copies(storage.receiver.directory) == [3]

    run(test)


def test_names_that_are_not_ours_are_no_copies_and_stay(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await storage.keep_copy(5)
            for name in ("metadata-20261399T000000Z.db", "letter", "metadata-5.db"):
                (root / "copies" / name).touch()
            assert await storage.kept_copies() == [5]
            await storage.drop_copies([5])
            assert len(os.listdir(root / "copies")) == 3

    run(test)


def go_back_to(root: Path, name: str) -> None:
    for path in root.glob("metadata.db*"):
        path.unlink()
    shutil.copy(root / "copies" / name, root / "metadata.db")


def test_copy_in_the_place_of_the_database_is_served(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            digest = await push_bytes(registry_of(storage), b"before")
            await storage.keep_copy(5)
            await push_bytes(registry_of(storage), b"after")
        go_back_to(root, "metadata-19700101T000005Z.db")
        async with opened(root) as storage:
            registry = registry_of(storage)
            await find_blob(registry, NAME, digest)
            with refused(Code.BLOB_UNKNOWN, 404):
                await find_blob(registry, NAME, digest_of(b"after"))
            await push_bytes(registry, b"after")

    run(test)
