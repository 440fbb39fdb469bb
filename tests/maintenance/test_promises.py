"""What a client was told is there for as long as that counts, and what is damaged stops nothing."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from angos_trio.limits.housekeeping import HURRIED_LEASE_SECS, UPLOAD_ACTIVE_SECS
from angos_trio.maintenance.collect import Collected, Collector
from angos_trio.maintenance.runs import early_secs_of
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.names import SessionId, Tag
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_manifest
from angos_trio.registry.pull import find_blob, find_manifest, promise_blob, read_body
from angos_trio.registry.push_blob import finish_upload, start_upload
from angos_trio.storage.files import Files
from tests.maintenance.support import Rules, collector_of, held, in_trash
from tests.oci.refusals import refused
from tests.registry.support import (
    ANYBODY,
    LEASE_SECS,
    Clock,
    content,
    image,
    index,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
)
from tests.storage.support import NAME, ScriptedFiles, failing, published, rows_of, run

LATER = LEASE_SECS + 1
Scene = Callable[[Registry, Collector, Clock], Awaitable[None]]


def played(root: Path, scene: Scene, files: Files | None = None, **rules: int) -> None:
    async def test() -> None:
        clock = Clock()
        async with opened_registry(root, files, clock=clock) as registry:
            await scene(registry, collector_of(registry, clock, Rules(**rules)), clock)

    run(test)


def change(root: Path, statement: str, *values: object) -> None:
    """Damage a row, past the registry."""
    with closing(sqlite3.connect(root / "metadata.db")) as rows:
        rows.execute(statement, values)
        rows.commit()


def test_promise_counts_also_for_a_collection_that_does_not_wait(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        clock.now += HURRIED_LEASE_SECS + 100
        await promise_blob(registry, NAME, digest)
        clock.now += HURRIED_LEASE_SECS // 2 - 1
        early_secs = early_secs_of(registry, {"now": True})
        assert early_secs == LEASE_SECS - HURRIED_LEASE_SECS
        assert await collector.collect(early_secs=early_secs) == Collected()
        await find_blob(registry, NAME, digest)

    played(root, scene)


def test_finish_that_was_done_before_is_a_promise_too(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        clock.now += LEASE_SECS - 1
        gone = SessionId("01234567-89ab-4cde-8f01-23456789abcd")
        await finish_upload(registry, ANYBODY, NAME, gone, digest, content(b""))
        clock.now += 2
        assert await collector.collect() == Collected()

    played(root, scene)


def test_answer_does_not_wait_for_a_disk_that_is_full(root: Path) -> None:
    """A pull may begin with that question too."""
    files = ScriptedFiles()

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        clock.now += LEASE_SECS - 1
        files.at["commit.before"] = failing(errno.ENOSPC)
        assert (await promise_blob(registry, NAME, digest)).size == 5

    played(root, scene, files)


def test_part_that_is_pushed_again_is_no_orphan(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        child = await push_untagged(registry, image())
        outer = await push_untagged(registry, index(child))
        clock.now += LATER
        await collector.collect()
        await delete_manifest(registry, ANYBODY, NAME, outer)
        await push_untagged(registry, image())
        clock.now += 10 * LATER
        assert await collector.collect() == Collected()
        await find_manifest(registry, NAME, child)

    played(root, scene)


def test_image_that_policy_kept_before_an_index_named_it_is_kept_after_it(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        child = (await push(registry, "v1", image())).digest
        await delete_manifest(registry, ANYBODY, NAME, Tag("v1"))
        clock.now += LATER
        await collector.collect()
        outer = await push_untagged(registry, index(child))
        await delete_manifest(registry, ANYBODY, NAME, outer)
        clock.now += 10 * LATER
        assert await collector.collect() == Collected()
        await find_manifest(registry, NAME, child)

    played(root, scene)


def test_untagged_image_that_is_pushed_again_has_all_its_time_again(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_untagged(registry, image())
        clock.now += 4 * LATER
        await collector.collect()
        await push_untagged(registry, image())
        clock.now += 4 * LATER
        assert await collector.collect() == Collected()
        await find_manifest(registry, NAME, digest)
        clock.now += LATER
        assert (await collector.collect()).manifests == 1

    played(root, scene, untagged_secs=5 * LATER)


def test_blob_that_waited_for_an_upload_waits_for_its_manifest_too(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        first = await push_bytes(registry, b"first")
        clock.now += LEASE_SECS - 400
        session = await start_upload(registry, ANYBODY, NAME, "sha256")
        clock.now += 401
        assert await collector.collect() == Collected()
        second = digest_of(b"second")
        await finish_upload(registry, ANYBODY, NAME, session.id, second, content(b"second"))
        clock.now += LEASE_SECS // 2 - 1
        assert await collector.collect() == Collected()
        await push(registry, "v1", image(first, second))

    played(root, scene)


def test_upload_that_nobody_goes_on_with_keeps_nothing_else(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        await push_bytes(registry, b"layer")
        session = await start_upload(registry, ANYBODY, NAME, "sha256")
        idle = "UPDATE uploads SET active_at = active_at - ? WHERE id = ?"
        values = (UPLOAD_ACTIVE_SECS + 1, session.id)
        await registry.storage.shared.run(lambda rows: rows.execute(idle, values))
        clock.now += LATER
        assert (await collector.collect()).blobs == 1

    played(root, scene)


def test_row_that_cannot_be_judged_stops_nothing_else(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        for body in (b"one", b"two", b"three"):
            await push_bytes(registry, body)
        bad = digest_of(b"one")
        change(root, "UPDATE namespace_blobs SET digest = 'sha256:0' WHERE digest = ?", bad)
        clock.now += LATER
        assert await collector.collect() == Collected(holds=2, blobs=2, bytes=8)
        assert await collector.collect() == Collected()
        assert held(root) == {f"{NAME}@sha256:0"}

    played(root, scene)


def test_file_that_cannot_be_unlinked_stops_nothing_else(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        stuck = f"{'a' * 64}.{'0' * 32}"
        (root / "trash" / stuck / "full").mkdir(parents=True)
        clock.now += LATER
        assert (await collector.collect()).blobs == 1
        assert published(root) == []
        assert in_trash(root) == [stuck]
        assert f"{NAME}@{digest}" not in held(root)
        (root / "trash" / stuck / "full").rmdir()
        (root / "trash" / stuck).rmdir()

    played(root, scene)


def test_push_heals_a_manifest_whose_bytes_are_others(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        body = image(await push_bytes(registry, b"layer"))
        digest = (await push(registry, "v1", body)).digest
        change(root, "UPDATE manifest_bodies SET body = x'41' WHERE digest = ?", digest)
        await push(registry, "v1", body)
        assert rows_of(root, "SELECT body FROM manifest_bodies") == [(body,)]
        found = await find_manifest(registry, NAME, Digest(digest))
        assert await read_body(registry, found) == body

    played(root, scene)


def test_blob_of_another_digest_is_not_promised(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        with refused(Code.BLOB_UNKNOWN, 404):
            await promise_blob(registry, NAME, digest_of(b"never"))

    played(root, scene)
