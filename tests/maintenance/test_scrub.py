"""Scrub beside what goes on: what it must not touch, and what it must not conclude.

The kinds of damage, one by one and together, are `make damage`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.maintenance.collect import Collector
from angos_trio.maintenance.schedule import scrub_if_due, scrubber_of
from angos_trio.maintenance.scrub import Scrubbed, Scrubber, Wish
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.policy.integrity import BlobBytes, BlobRow, Flaw, judge_blob
from angos_trio.records import replace
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.registry.pull import find_blob, find_manifest, read_body
from angos_trio.registry.read_only import begin_read_only, end_read_only
from angos_trio.storage.files import Files
from angos_trio.storage.inspection import Pace
from angos_trio.storage.metadata import integrity
from angos_trio.storage.transactions import Transaction
from angos_trio.telemetry.metrics import Metrics
from tests.maintenance.support import collector_of
from tests.oci.refusals import refused
from tests.registry.support import (
    ANYBODY,
    Clock,
    image,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
)
from tests.storage.support import NAME, ScriptedFiles, blob_path, failing, published, run, until

OTHER = type(NAME)("team/other")
Scene = Callable[[Registry, Scrubber, Clock], Awaitable[None]]


def played(root: Path, scene: Scene, files: Files | None = None) -> None:
    """Play a scene with a registry and its scrubber."""

    async def test() -> None:
        clock = Clock()
        async with opened_registry(root, files, clock=clock) as registry:
            collector = collector_of(registry, clock)
            await scene(registry, scrubber_of(collector, Metrics()), clock)

    run(test)


def spoil(root: Path, digest: Digest, content: bytes = b"spoilt") -> None:
    """Write other bytes into a blob's file."""
    path = blob_path(root, digest)
    path.chmod(0o640)
    path.write_bytes(content)


def found(scrubbed: Scrubbed) -> dict[str, int]:
    return {flaw.value: count for flaw, count in scrubbed.findings.items()}


def test_what_cannot_be_read_is_counted_and_nothing_is_concluded(root: Path) -> None:
    files = ScriptedFiles()

    async def scene(registry: Registry, scrubber: Scrubber, clock: Clock) -> None:
        digests = {await push_bytes(registry, bytes([number]) * 9) for number in range(5)}
        files.at["open_to_read"] = failing(errno.EIO, times=2)
        scrubbed = await scrubber.scrub(Wish())
        assert (scrubbed.failed, found(scrubbed)) == (2, {})
        assert scrubbed.blobs == 3
        for digest in digests:
            await find_blob(registry, NAME, digest)
        assert set(published(root)) == digests

    played(root, scene, files)


def test_push_that_heals_between_the_look_and_the_repair_has_won(root: Path) -> None:
    async def scene(registry: Registry, scrubber: Scrubber, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        spoil(root, digest)
        async with trio.open_nursery() as nursery, scrubber.collector.paused():
            done: list[Scrubbed] = []

            async def scrub() -> None:
                done.append(await scrubber.scrub(Wish()))

            nursery.start_soon(scrub)
            await until(lambda: scrubber.collector._turn.statistics().tasks_waiting > 0)
            assert blob_path(root, digest).read_bytes() == b"spoilt", "not while it is paused"
            await push_bytes(registry, b"layer")
        assert found(done[0]) == {}
        await find_blob(registry, NAME, digest)
        assert blob_path(root, digest).read_bytes() == b"layer"
        assert os.listdir(root / "quarantine") == []

    played(root, scene)


def test_lost_manifest_is_absent_everywhere_until_one_namespace_pushes_it(root: Path) -> None:
    async def scene(registry: Registry, scrubber: Scrubber, clock: Clock) -> None:
        body = image(annotations={"a": "b"})
        await push(registry, "v1", body)
        digest = await push_untagged(registry, body, name=OTHER)

        def tear(transaction: Transaction) -> None:
            rows = transaction.rows
            rows.execute("UPDATE manifest_bodies SET body = ? WHERE digest = ?", (b"x", digest))

        await registry.storage.write(tear)
        assert found(await scrubber.scrub(Wish(is_dry=True))) == {"manifest_corrupt": 1}
        assert found(await scrubber.scrub(Wish())) == {"manifest_corrupt": 1}
        for name in (NAME, OTHER):
            with refused(Code.MANIFEST_UNKNOWN, 404):
                await find_manifest(registry, name, digest)
        (kept,) = os.listdir(root / "quarantine")
        assert (root / "quarantine" / kept).read_bytes() == b"x"

        await push_untagged(registry, body, name=OTHER)
        for name in (NAME, OTHER):
            assert await read_body(registry, await find_manifest(registry, name, digest)) == body
        assert found(await scrubber.scrub(Wish())) == {}

    played(root, scene)


def test_body_that_is_not_its_digest_is_not_served_and_not_kept_in_memory(root: Path) -> None:
    async def scene(registry: Registry, scrubber: Scrubber, clock: Clock) -> None:
        body = image(annotations={"c": "d"})
        await push(registry, "v1", body)
        digest = digest_of(body)
        registry.storage.bodies._bodies.clear()

        def tear(transaction: Transaction) -> None:
            rows = transaction.rows
            rows.execute("UPDATE manifest_bodies SET body = ? WHERE digest = ?", (b"x", digest))

        await registry.storage.write(tear)
        held = await find_manifest(registry, NAME, digest)
        with refused(Code.UNAVAILABLE, 503):
            await read_body(registry, held)
        assert registry.storage.bodies.get(digest) is None

    played(root, scene)


def test_scheduled_scrub_comes_an_interval_after_the_last_and_goes_on_where_it_was(
    root: Path,
) -> None:
    async def scene(registry: Registry, scrubber: Scrubber, clock: Clock) -> None:
        limits = replace(registry.limits, scrub_secs=1000)
        registry = replace(registry, limits=limits)
        scrubber = scrubber_of(Collector(lambda: registry), Metrics())
        first, last = sorted([await push_bytes(registry, b"1"), await push_bytes(registry, b"2")])
        await scrub_if_due(scrubber)
        assert await registry.storage.read(integrity.state) == ("", 1_000_000)
        spoil(root, last)
        clock.now += 999
        await scrub_if_due(scrubber)
        await find_blob(registry, NAME, last)
        clock.now += 1
        await scrub_if_due(scrubber)
        with refused(Code.BLOB_UNKNOWN, 404):
            await find_blob(registry, NAME, last)
        assert await registry.storage.read(integrity.state) == ("", 1_001_000)

        await registry.storage.write(
            lambda transaction: integrity.keep_state(transaction.rows, first, 1_001_000)
        )
        spoil(root, first)
        await scrub_if_due(scrubber)
        await find_blob(registry, NAME, first)
        assert await registry.storage.read(integrity.state) == ("", 1_001_000)

    played(root, scene)


def test_pace_is_shared() -> None:
    async def test() -> float:
        pace, begun_at = Pace(1000), trio.current_time()
        async with trio.open_nursery() as readers:
            for _ in range(5):
                readers.start_soon(pace.spend, 500)
        return trio.current_time() - begun_at

    assert trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0)) == 2.0


RIGHT, WRONG = BlobBytes(5, is_right=True), BlobBytes(5, is_right=False)


@pytest.mark.parametrize(
    ("row", "bytes_", "flaw"),
    [
        (BlobRow(5, is_present=True, is_held=True), RIGHT, None),
        (BlobRow(5, is_present=True, is_held=True), WRONG, Flaw.BLOB_CORRUPT),
        (BlobRow(5, is_present=True, is_held=True), None, Flaw.BLOB_MISSING),
        (BlobRow(6, is_present=True, is_held=True), RIGHT, Flaw.BLOB_SIZE_WRONG),
        (BlobRow(5, is_present=False, is_held=True), None, None),
        (BlobRow(5, is_present=False, is_held=True), RIGHT, Flaw.BLOB_BACK),
        (BlobRow(5, is_present=False, is_held=True), WRONG, Flaw.BLOB_CORRUPT),
        (BlobRow(None, is_present=False, is_held=True), RIGHT, Flaw.BLOB_ROW_MISSING),
        (BlobRow(None, is_present=False, is_held=True), None, Flaw.BLOB_ROW_MISSING),
        (BlobRow(5, is_present=True, is_held=False), None, Flaw.BLOB_UNHELD),
        (BlobRow(None, is_present=False, is_held=False), None, None),
    ],
)
def test_blob_is_judged_by_row_and_bytes(
    row: BlobRow, bytes_: BlobBytes | None, flaw: Flaw | None
) -> None:
    assert judge_blob(row, bytes_) is flaw


def test_scrub_of_a_read_only_registry_looks_and_does_not_repair(root: Path) -> None:
    async def scene(registry: Registry, scrubber: Scrubber, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        spoil(root, digest)
        await begin_read_only(registry, ANYBODY)
        assert found(await scrubber.scrub(Wish(is_dry=True))) == {"blob_corrupt": 1}
        with pytest.raises(ReadOnlyError):
            await scrubber.scrub(Wish())
        assert blob_path(root, digest).read_bytes() == b"spoilt"

        await end_read_only(registry, ANYBODY)
        assert found(await scrubber.scrub(Wish())) == {"blob_corrupt": 1}

    played(root, scene)


def test_quarantine_that_was_removed_is_made_again(root: Path) -> None:
    async def scene(registry: Registry, scrubber: Scrubber, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        spoil(root, digest)
        shutil.rmtree(root / "quarantine")
        assert found(await scrubber.scrub(Wish())) == {"blob_corrupt": 1}
        assert published(root) == []
        assert len(list((root / "quarantine").iterdir())) == 1
        assert found(await scrubber.scrub(Wish())) == {}
        for path in (root / "quarantine").iterdir():
            path.unlink()

    played(root, scene)
