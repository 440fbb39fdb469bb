"""Collection: what nothing keeps goes, with its bytes; what anything keeps stays."""

from __future__ import annotations

import errno
import itertools
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.limits.housekeeping import COLLECT_ROWS
from angos_trio.maintenance.collect import Collected, Collector, terms_of
from angos_trio.maintenance.preview import preview
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob, delete_manifest
from angos_trio.registry.mount import mount_blob
from angos_trio.registry.pull import find_blob, find_manifest, promise_blob, promise_manifest
from angos_trio.registry.push_blob import finish_upload, publish_step, start_upload
from angos_trio.registry.read_only import begin_read_only, end_read_only
from angos_trio.storage.files import Files
from angos_trio.storage.transactions import StagedBlob
from angos_trio.telemetry.metrics import Metrics
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
from tests.storage.support import (
    NAME,
    ScriptedFiles,
    Source,
    failing,
    published,
    rows_of,
    run,
    until,
)

pytestmark = pytest.mark.slow

OTHER = RepositoryName("team/other")
LATER = LEASE_SECS + 1
Scene = Callable[[Registry, Collector, Clock], Awaitable[None]]


def played(
    root: Path, scene: Scene, *, rules: Rules | None = None, files: Files | None = None
) -> None:
    """Play a scene with a registry and its collector."""

    async def test() -> None:
        clock = Clock()
        async with opened_registry(root, files, clock=clock) as registry:
            await scene(registry, collector_of(registry, clock, rules), clock)

    run(test)


async def collected(registry: Registry, collector: Collector, early_secs: int = 0) -> Collected:
    """What a run gives back, after a preview that must have said the same."""
    terms = terms_of(collector.current(), early_secs=early_secs)
    expected = await preview(registry.storage, terms)
    found = await collector.collect(early_secs=early_secs)
    assert expected.is_whole
    assert expected.collected == found
    return found


def test_blob_that_no_manifest_names_goes_after_its_lease(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        clock.now += LEASE_SECS - 1
        assert await collected(registry, collector) == Collected()
        assert published(root) == [digest]

        clock.now += 1
        assert await collected(registry, collector) == Collected(holds=1, blobs=1, bytes=5)
        with refused(Code.BLOB_UNKNOWN, 404):
            await find_blob(registry, NAME, digest)
        assert published(root) == in_trash(root) == []
        assert rows_of(root, "SELECT * FROM reclaims") == []
        assert await collected(registry, collector) == Collected()

    played(root, scene)


def test_blob_of_a_manifest_stays_and_is_not_looked_at_again(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        await push(registry, "v1", image(layer))
        clock.now += LATER
        assert await collected(registry, collector) == Collected()

        assert published(root) == [layer]
        assert rows_of(root, "SELECT lease_until FROM namespace_blobs") == [(0,)]
        assert rows_of(root, "SELECT lease_until, untagged_at FROM manifests") == [(0, None)]

    played(root, scene)


def test_blob_of_two_namespaces_stays_while_one_needs_it(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        assert await mount_blob(registry, ANYBODY, OTHER, layer, NAME)
        await push(registry, "v1", image(layer), name=OTHER)
        clock.now += LATER
        assert await collected(registry, collector) == Collected(holds=1)

        assert published(root) == [layer]
        assert held(root) >= {f"{OTHER}@{layer}"}
        assert f"{NAME}@{layer}" not in held(root)

    played(root, scene)


def test_deleted_blob_gives_its_bytes_back_at_the_next_run_unless_another_holds_it(
    root: Path,
) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        await mount_blob(registry, ANYBODY, OTHER, layer, NAME)
        await delete_blob(registry, ANYBODY, NAME, layer)
        await collector.collect()
        assert published(root) == [layer]

        await delete_blob(registry, ANYBODY, OTHER, layer)
        assert published(root) == [layer]
        await collector.collect()
        assert published(root) == in_trash(root) == []
        assert rows_of(root, "SELECT * FROM blobs") == []

    played(root, scene)


def test_no_file_goes_while_the_collection_is_paused(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layers = [await push_bytes(registry, body) for body in (b"one", b"two")]
        clock.now += LATER
        async with trio.open_nursery() as nursery, collector.paused():
            nursery.start_soon(collector.collect)
            await delete_blob(registry, ANYBODY, NAME, layers[0])
            await trio.testing.wait_all_tasks_blocked()
            assert published(root) == sorted(layers)
        assert published(root) == []

    played(root, scene)


def test_deleted_index_goes_with_its_parts_in_one_run_after_their_lease(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layers = [await push_bytes(registry, body) for body in (b"one", b"two")]
        children = [await push_untagged(registry, image(layer)) for layer in layers]
        inner = await push_untagged(registry, index(children[0]))
        outer = (await push(registry, "v1", index(inner, children[1]))).digest
        clock.now += LATER
        assert await collected(registry, collector) == Collected()

        await delete_manifest(registry, ANYBODY, NAME, outer)
        assert await collected(registry, collector) == Collected()
        clock.now += LATER
        found = await collected(registry, collector)
        assert found == Collected(manifests=3, holds=2, blobs=2, bytes=6)
        assert held(root) == set()
        assert rows_of(root, "SELECT * FROM manifest_bodies") == []

    played(root, scene)


def test_part_of_another_image_stays_when_an_index_is_deleted(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        child = await push_untagged(registry, image(layer))
        going = (await push(registry, "going", index(child))).digest
        await push(registry, "staying", index(child, annotations={"a": "b"}))
        clock.now += LATER
        await delete_manifest(registry, ANYBODY, NAME, going)
        clock.now += LATER
        assert await collected(registry, collector) == Collected()
        assert {f"{NAME}@{child}", f"{NAME}@{layer}"} <= held(root)

    played(root, scene)


def test_cache_index_that_lists_layers_as_manifests_keeps_them(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layers = [await push_bytes(registry, body) for body in (b"one", b"two")]
        await push(registry, "cache", index(*layers))
        clock.now += LATER
        assert await collected(registry, collector) == Collected()
        assert sorted(layers) == published(root)

    played(root, scene)


def test_untagged_image_stays_unless_a_time_is_set(root: Path) -> None:
    rules = Rules()

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        old = (await push(registry, "v1", image(layer))).digest
        clock.now += LATER
        await push(registry, "v1", image(layer, annotations={"new": "one"}))
        moved_at = clock.now
        clock.now += 10 * LATER
        assert await collected(registry, collector) == Collected()
        assert rows_of(root, "SELECT untagged_at FROM manifests WHERE digest = ?", old) == [
            (moved_at,)
        ]

        rules.untagged_secs = 11 * LATER
        assert await collected(registry, collector) == Collected()
        clock.now += LATER
        assert await collected(registry, collector) == Collected(manifests=1)
        with refused(Code.MANIFEST_UNKNOWN, 404):
            await find_manifest(registry, NAME, old)
        assert published(root) == [layer]

    played(root, scene, rules=rules)


def test_manifest_that_was_tagged_again_is_no_untagged_one(root: Path) -> None:
    rules = Rules(untagged_secs=5 * LATER)

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        body = image(layer)
        digest = await push_untagged(registry, body)
        clock.now += LATER
        await collected(registry, collector)
        await push(registry, "v1", body)
        clock.now += 10 * LATER
        assert await collected(registry, collector) == Collected()
        assert rows_of(root, "SELECT untagged_at FROM manifests") == [(None,)]

        await delete_manifest(registry, ANYBODY, NAME, Tag("v1"))
        clock.now += 4 * LATER
        assert await collected(registry, collector) == Collected()
        await find_manifest(registry, NAME, digest)
        clock.now += LATER
        assert (await collected(registry, collector)).manifests == 1

    played(root, scene, rules=rules)


def test_manifest_that_lost_its_tag_has_a_lease(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        digest = (await push(registry, "v1", image(layer))).digest
        clock.now += LATER
        await collected(registry, collector)
        await delete_manifest(registry, ANYBODY, NAME, Tag("v1"))
        clock.now += LEASE_SECS - 1
        assert await collected(registry, collector) == Collected()
        clock.now += 1
        assert await collected(registry, collector) == Collected(1, 1, 1, 5)
        with refused(Code.MANIFEST_UNKNOWN, 404):
            await find_manifest(registry, NAME, digest)

    played(root, scene, rules=Rules(untagged_secs=1))


def test_referrer_goes_with_its_subject_and_stays_with_it(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        subject = (await push(registry, "v1", image())).digest
        referrer = await push_untagged(registry, image(subject=subject))
        of_referrer = await push_untagged(registry, image(subject=referrer))
        clock.now += LATER
        assert await collected(registry, collector) == Collected()

        await delete_manifest(registry, ANYBODY, NAME, subject)
        assert await collected(registry, collector) == Collected()
        clock.now += LATER
        assert await collected(registry, collector) == Collected(manifests=2)
        assert f"{NAME}@{of_referrer}" not in held(root)

    played(root, scene)


def test_tagged_referrer_without_a_subject_stays(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        await push(registry, "sbom", image(subject=digest_of(b"elsewhere")))
        clock.now += LATER
        assert await collected(registry, collector) == Collected()

    played(root, scene)


def test_what_was_promised_outlives_the_manifest_that_named_it(root: Path) -> None:
    """A client asks whether a blob is there, and pushes a manifest that names it later."""

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        await push_untagged(registry, image(layer))
        clock.now += LATER
        await promise_blob(registry, NAME, layer)
        assert await collected(registry, collector) == Collected(manifests=1)
        clock.now += LEASE_SECS // 2
        assert await collected(registry, collector) == Collected()
        await find_blob(registry, NAME, layer)

    played(root, scene, rules=Rules(untagged_secs=1))


def test_manifest_that_was_promised_outlives_its_index(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        child = await push_untagged(registry, image(layer))
        await push_untagged(registry, index(child))
        clock.now += LATER
        await promise_manifest(registry, NAME, child)
        assert await collected(registry, collector) == Collected(manifests=1)
        clock.now += LEASE_SECS // 2
        assert await collected(registry, collector) == Collected()
        await push(registry, "v1", index(child))

    played(root, scene, rules=Rules(untagged_secs=1))


def test_promise_of_what_a_tag_keeps_writes_nothing(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        layer = await push_bytes(registry, b"layer")
        digest = (await push(registry, "v1", image(layer))).digest
        clock.now += LATER
        await collected(registry, collector)
        await promise_blob(registry, NAME, layer)
        await promise_manifest(registry, NAME, digest)
        assert rows_of(root, "SELECT lease_until FROM namespace_blobs") == [(0,)]
        assert rows_of(root, "SELECT lease_until FROM manifests") == [(0,)]

    played(root, scene)


def test_open_upload_keeps_what_its_namespace_was_sent_before(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        first = await push_bytes(registry, b"first")
        session = await start_upload(registry, ANYBODY, NAME, "sha256")
        await push_bytes(registry, b"other", OTHER)
        clock.now += LATER
        assert await collected(registry, collector) == Collected(holds=1, blobs=1, bytes=5)
        await find_blob(registry, NAME, first)

        second = digest_of(b"second")
        await finish_upload(registry, ANYBODY, NAME, session.id, second, content(b"second"))
        clock.now += LEASE_SECS // 2 - 1
        assert await collected(registry, collector) == Collected()
        await push(registry, "v1", image(first, second))
        clock.now += LATER
        assert await collected(registry, collector) == Collected()

    played(root, scene)


def test_early_run_ends_leases_before_their_time(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        await push_bytes(registry, b"old")
        clock.now += 400
        young = await push_bytes(registry, b"young")
        early_secs = LEASE_SECS - 300
        found = await collected(registry, collector, early_secs)
        assert found == Collected(holds=1, blobs=1, bytes=3)
        assert published(root) == [young]

    played(root, scene)


def test_clock_that_was_set_ends_no_lease(root: Path) -> None:
    async def test() -> None:
        clock, monotonic = Clock(), Clock(0)
        async with opened_registry(root, clock=clock) as registry:
            collector = Collector(lambda: registry, monotonic=lambda: float(monotonic.now))
            await push_bytes(registry, b"layer")
            await collector.collect()
            clock.now += 100 * LATER
            assert await collector.collect() == Collected()
            monotonic.now += LATER
            clock.now += LATER
            assert (await collector.collect()).blobs == 1

    run(test)


def test_many_are_collected_in_small_steps(root: Path) -> None:
    count = 2 * COLLECT_ROWS + 3

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        for number in range(count):
            await push_bytes(registry, b"%08d" % number)
        clock.now += LATER
        assert await collected(registry, collector) == Collected(0, count, count, 8 * count)
        assert published(root) == in_trash(root) == []

    played(root, scene)


def test_file_that_could_not_be_moved_is_moved_later(root: Path) -> None:
    files = ScriptedFiles()

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        clock.now += LATER
        files.at["move"] = failing(errno.EIO, times=2)
        assert (await collector.collect()).blobs == 1
        assert published(root) == [digest]
        assert rows_of(root, "SELECT digest FROM reclaims") == [(digest,)]
        await collector.collect()
        assert published(root) == []
        await collector.collect()
        assert rows_of(root, "SELECT digest FROM reclaims") == []

    played(root, scene, files=files)


def test_blob_that_is_pushed_again_in_the_same_commit_stays(root: Path) -> None:
    """Collected and published by two steps of one batch, in either process."""

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        await push_bytes(registry, b"layer")
        clock.now += LATER
        results: list[Digest] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collector.collect)

            async def again() -> None:
                results.append(await push_bytes(registry, b"layer"))

            for _ in range(5):
                nursery.start_soon(again)
        assert published(root) == [results[0]]
        await find_blob(registry, NAME, results[0])
        await collector.collect()
        assert published(root) == [results[0]]
        assert rows_of(root, "SELECT * FROM reclaims") == []

    played(root, scene)


@pytest.mark.parametrize("is_there", [True, False])
def test_start_sees_to_what_a_crash_left(root: Path, is_there: bool) -> None:
    """Killed between the commit and the move: the row is gone, and the file may be another's."""

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        if not is_there:
            await delete_blob(registry, ANYBODY, NAME, digest)
            path = root / "blobs" / "sha256" / digest.hex[:2] / digest.hex
            path.write_bytes(b"layer")
        await registry.storage.write(
            lambda tx: tx.rows.execute("INSERT OR IGNORE INTO reclaims VALUES (?)", (digest,))
        )
        await collector.collect()
        assert published(root) == ([digest] if is_there else [])
        await collector.collect()
        assert rows_of(root, "SELECT * FROM reclaims") == []

    played(root, scene)


def test_upload_that_a_crash_cut_short_is_not_completed_without_its_bytes(root: Path) -> None:
    """Its file was collected between the look for it and the commit of its rows."""

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        session = registry.storage.sessions.new(NAME, "me", "me", "sha256", 1)
        staged = StagedBlob(digest_of(b"gone"), 4, "", is_published=True)
        with refused(Code.UNAVAILABLE, 503):
            await registry.storage.write(publish_step(registry, session, staged, "me"))
        assert held(root) == set()

    played(root, scene)


def test_collected_manifest_is_an_event(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        await push_untagged(registry, image())
        clock.now += LATER
        await collector.collect()
        (row,) = rows_of(root, "SELECT actor, namespace FROM events WHERE kind LIKE '%.deleted'")
        assert row == ("registry::collection", NAME)

    played(root, scene, rules=Rules(untagged_secs=1))


def test_source_of_a_slow_upload_is_waited_for(root: Path) -> None:
    """An upload that took longer than half a lease renews what its namespace waits for."""

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        first = await push_bytes(registry, b"first")
        session = await start_upload(registry, ANYBODY, NAME, "sha256")
        clock.now += LEASE_SECS - 1
        digest = digest_of(b"second")
        await finish_upload(registry, ANYBODY, NAME, session.id, digest, content(Source(b"second")))
        clock.now += LEASE_SECS - 1
        assert await collected(registry, collector) == Collected()
        await find_blob(registry, NAME, first)

    played(root, scene)


def test_metrics_count_what_was_given_back(root: Path) -> None:
    async def test() -> None:
        clock, metrics = Clock(), Metrics()
        async with opened_registry(root, clock=clock) as registry:
            collector = Collector(
                lambda: registry, monotonic=lambda: float(clock.now), count=metrics.collected
            )
            await push_bytes(registry, b"layer")
            clock.now += LATER
            await collector.collect()
            await collector.collect()
        text = metrics.exposition().decode()
        assert 'gc_collected_total{kind="blobs"} 1.0' in text
        assert 'gc_collected_total{kind="holds"} 1.0' in text
        assert "gc_collected_bytes_total 5.0" in text

    run(test)


def test_nothing_is_collected_while_the_registry_is_read_only(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digest = await push_bytes(registry, b"layer")
        clock.now += LATER
        waits = f"{digest.hex}.{'0' * 32}"
        (root / "trash" / waits).touch()
        await begin_read_only(registry, ANYBODY)
        with refused(Code.UNSUPPORTED, 405):
            await collector.collect()
        assert published(root) == [digest]
        assert in_trash(root) == [waits]
        await end_read_only(registry, ANYBODY)
        assert (await collector.collect()).blobs == 1
        assert in_trash(root) == []

    played(root, scene)


def test_run_that_is_under_way_stops_where_the_registry_becomes_read_only(root: Path) -> None:
    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        for number in range(3 * COLLECT_ROWS):
            await push_bytes(registry, b"%08d" % number)
        clock.now += LATER
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_read_only, collector)
            await until(lambda: len(published(root)) <= 2 * COLLECT_ROWS)
            await begin_read_only(registry, ANYBODY)
        left = published(root)
        assert 0 < len(left) <= 2 * COLLECT_ROWS
        await end_read_only(registry, ANYBODY)
        assert (await collector.collect()).blobs == len(left)

    async def _until_read_only(collector: Collector) -> None:
        with refused(Code.UNSUPPORTED, 405):
            await collector.collect()

    files = ScriptedFiles()
    files.at["discard.after"] = lambda: time.sleep(0.005)
    played(root, scene, files=files)


def test_full_disk_ends_a_run_and_the_next_has_the_space_that_it_gave_back(root: Path) -> None:
    """What was moved to the trash takes space until it is unlinked: the next run begins there."""
    files = ScriptedFiles()

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        for number in range(2 * COLLECT_ROWS):
            await push_bytes(registry, b"%08d" % number)
        clock.now += LATER
        full = failing(errno.ENOSPC)
        commits = itertools.count()
        files.at["commit.before"] = lambda: full() if next(commits) else None
        with refused(Code.UNAVAILABLE, 507):
            await collector.collect()
        assert 0 < len(in_trash(root)) == 2 * COLLECT_ROWS - len(published(root))

        def while_full() -> None:
            if in_trash(root):
                full()

        files.at["commit.before"] = while_full
        while left := published(root):
            with suppress(OciError):
                await collector.collect()
            assert len(published(root)) < len(left), "each run comes further"
        await collector.collect()
        assert published(root) == in_trash(root) == []

    played(root, scene, files=files)


def test_hold_on_a_blob_without_a_row_stops_no_collection(root: Path) -> None:
    """Damage, which a scrub would mend: meanwhile the rest goes on."""

    async def scene(registry: Registry, collector: Collector, clock: Clock) -> None:
        digests = [await push_bytes(registry, body) for body in (b"one", b"two", b"three")]
        clock.now += LATER
        with closing(sqlite3.connect(root / "metadata.db")) as rows:
            rows.execute("DELETE FROM blobs WHERE digest = ?", (digests[1],))
            rows.commit()
        assert await collector.collect() == Collected(holds=3, blobs=2, bytes=8)
        assert held(root) == set()

    played(root, scene)
