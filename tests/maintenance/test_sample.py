"""The sample of each day: what it counts, when it is taken, and when it is not."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.clock import DAY_SECS
from angos_trio.limits.housekeeping import (
    SAMPLE_AGAIN_SECS,
    SAMPLE_DAYS_MAX,
    SAMPLE_FIRST_SECS,
    SAMPLE_LOOK_SECS,
)
from angos_trio.maintenance import sample as module
from angos_trio.maintenance.backup import Held, Progress, create, held_snapshot
from angos_trio.maintenance.restore import Target, restore
from angos_trio.maintenance.sample import (
    is_due,
    sample,
    take_sample,
)
from angos_trio.oci.codes import Code
from angos_trio.registry.context import Registry
from angos_trio.registry.read_only import begin_read_only, end_read_only
from angos_trio.storage.backup_place import BackupPlace
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.metadata import samples, totals
from angos_trio.storage.metadata.samples import Sample
from tests.maintenance.support import collector_of
from tests.oci.refusals import refused
from tests.registry.support import ANYBODY, Clock, image, opened_registry, push, push_bytes
from tests.storage.support import ScriptedFiles, failing, rows_of, run

pytestmark = pytest.mark.slow

DAY = 20_000
NOON = DAY * DAY_SECS + DAY_SECS // 2


async def fill(registry: Registry) -> None:
    """Five images, of which each has a layer of its own."""
    for number in range(5):
        layer = await push_bytes(registry, b"%d" % number * 100)
        await push(registry, f"v{number}", image(layer))


async def kept(registry: Registry) -> list[Sample]:
    return await registry.storage.read(partial(samples.between, first=0, last=10**6))


def test_sample_has_what_a_look_at_all_rows_says_however_small_its_pages_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened_registry(root, clock=Clock(NOON)) as registry:
            await fill(registry)
            whole = await registry.storage.read(totals.totals)
            for rows in (1, 2, 1000):
                monkeypatch.setattr(module, "SAMPLE_ROWS", rows)
                found = await take_sample(registry)
                assert (found.blob_bytes, found.named_bytes) == (500, whole.named_bytes)
                assert (found.tags, found.manifests) == (5, 5)
                assert (found.day, found.at) == (DAY, NOON)
                assert found.free_bytes > 0
            assert await kept(registry) == [found]

    run(test)


def test_no_step_of_a_sample_looks_at_more_than_a_page(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []

    async def test() -> None:
        async with opened_registry(root) as registry:
            await fill(registry)
            for name in ("sum_blobs", "sum_images", "sum_namespaces"):
                real = getattr(samples, name)

                def noted(rows: object, after: object, limit: int, real: object = real) -> object:
                    limits.append(limit)
                    return real(rows, after, limit)  # type: ignore[operator]

                monkeypatch.setattr(samples, name, noted)
            monkeypatch.setattr(module, "SAMPLE_ROWS", 2)
            await take_sample(registry)

    run(test)
    assert set(limits) == {2}
    assert len(limits) == 4 + 4 + 2  # five blobs, five images, a namespace; and the end of each


def test_sample_is_due_once_a_day_and_again_after_hours(root: Path) -> None:
    clock = Clock(NOON)

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            assert await is_due(registry)
            await take_sample(registry)
            for later, expected in (
                (0, False),
                (SAMPLE_AGAIN_SECS - 1, False),
                (SAMPLE_AGAIN_SECS, True),
                (DAY_SECS // 2, True),  # tomorrow
                (-1, True),  # the clock was ahead
            ):
                clock.now = NOON + later
                assert await is_due(registry) is expected, later

    run(test)


def test_what_is_older_than_400_days_goes_with_the_next_sample(root: Path) -> None:
    clock = Clock(NOON)

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            for day in (DAY, DAY + 1, DAY + SAMPLE_DAYS_MAX):
                clock.now = day * DAY_SECS
                await take_sample(registry)
            assert [each.day for each in await kept(registry)] == [DAY + 1, DAY + SAMPLE_DAYS_MAX]

    run(test)


def test_service_takes_a_sample_each_day_and_none_while_read_only(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0.2)
    monkeypatch.setattr(module, "SAMPLE_REST", 0.0)  # of a clock that goes on by itself
    monkeypatch.setattr(module, "SAMPLE_LOOK_SECS", DAY_SECS / 8)
    wall = Clock(NOON)

    async def test() -> None:
        async with opened_registry(root, clock=wall) as registry:
            taken: list[int] = []

            def current() -> Registry:
                wall.now = NOON + int(trio.current_time())
                return registry

            async def go_on(secs: float) -> None:
                with trio.move_on_after(secs):
                    await sample(current)
                taken.append(len(await kept(registry)))

            await begin_read_only(registry, ANYBODY)
            await go_on(SAMPLE_FIRST_SECS + DAY_SECS / 2)
            await end_read_only(registry, ANYBODY)
            await go_on(SAMPLE_FIRST_SECS / 2)
            await go_on(2 * DAY_SECS)
            assert taken == [0, 0, 2]

    run(test, clock=clock)


def test_refused_sample_ends_nothing_and_is_taken_later(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0.2)
    monkeypatch.setattr(module, "SAMPLE_REST", 0.0)
    files = ScriptedFiles()

    async def test() -> None:
        async with opened_registry(root, files, clock=Clock(NOON)) as registry:
            files.at["free_bytes"] = failing(errno.EIO)
            with refused(Code.UNAVAILABLE, 503):
                await take_sample(registry)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sample, lambda: registry)
                await trio.sleep(SAMPLE_FIRST_SECS + SAMPLE_LOOK_SECS)
                assert await kept(registry) == []
                del files.at["free_bytes"]
                await trio.sleep(2 * SAMPLE_LOOK_SECS)
                assert len(await kept(registry)) == 1
                nursery.cancel_scope.cancel()

    run(test, clock=clock)


def test_backup_and_restore_keep_samples(root: Path, tmp_path: Path) -> None:
    clock = Clock(NOON)

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            await fill(registry)
            await take_sample(registry)
            place = BackupPlace(tmp_path / "backup")
            async with held_snapshot(collector_of(registry, clock)) as snapshot:
                held = Held(DataDirectory(root), snapshot, trio.lowlevel.checkpoint)
                await create(place, held, Progress(), Files())
        await restore(place, Target(DataDirectory(tmp_path / "new"), 0), Progress(), Files())

    run(test)
    query = "SELECT * FROM storage_samples"
    assert rows_of(tmp_path / "new", query) == rows_of(root, query) != []
