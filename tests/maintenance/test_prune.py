"""Retention: the list tells what the run then does; what changed meanwhile, and doubt, keep."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from angos_trio.limits.housekeeping import PRUNE_FIRST_SECS
from angos_trio.maintenance.collect import Collector
from angos_trio.maintenance.forget import forget_gone
from angos_trio.maintenance.prune import ACTOR, Deleting, Pruned, Pruner
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.policy.immutability import TagRules
from angos_trio.policy.retention import RetentionRules, compile_keep_rules
from angos_trio.records import replace
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_manifest
from angos_trio.registry.pull import find_manifest
from angos_trio.registry.pull_times import PullTimes
from angos_trio.registry.push_blob import start_upload
from angos_trio.registry.push_manifest import PushOutcome
from angos_trio.registry.read_only import begin_read_only, end_read_only
from angos_trio.storage.files import Files
from angos_trio.storage.metadata import pull_history, pulls
from angos_trio.storage.transactions import Rows, Transaction
from tests.maintenance.support import Rules, collector_of, held
from tests.oci.refusals import refused
from tests.registry.support import (
    ANYBODY,
    IMMUTABLE,
    LEASE_SECS,
    Clock,
    descriptor,
    image,
    index,
    numbered,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
)
from tests.storage.support import NAME, ScriptedFiles, failing, rows_of, run

pytestmark = pytest.mark.slow

OTHER = RepositoryName("other/app")
LATER = LEASE_SECS + 1
TAGS_ONLY = "image.tag != null"


class Stage:
    """A registry with its rules, its pruner and its clock."""

    def __init__(self, registry: Registry, clock: Clock, texts: Sequence[str]) -> None:
        self.clock = clock
        self.registry = registry
        self.keep(*texts)
        self.pruner = Pruner(lambda: self.registry, monotonic=lambda: float(clock.now))
        self.collector: Collector = collector_of(registry, clock, Rules())
        self.pull_times = PullTimes(registry.storage.stats, clock)

    def keep(self, *texts: str, **by_repository: str) -> None:
        """From now on these rules are in force, for all and of repositories."""
        own = {name: compile_keep_rules([text], name) for name, text in by_repository.items()}
        rules = RetentionRules(compile_keep_rules(texts, "all"), own)
        self.registry = replace(self.registry, retention=rules)

    async def entries(self, plan: str) -> list[dict[str, Any]]:
        page = await self.registry.storage.plans.page(plan)
        found: list[dict[str, Any]] = []
        while page is not None:
            found += map(json.loads, page.lines)
            if page.next is None:
                break
            page = await self.registry.storage.plans.page(plan, page.next)
        return found

    async def planned(self) -> tuple[Pruned, dict[str, str]]:
        """What a dry run says: of each tag or digest on which ground it stays or goes."""
        pruned = await self.pruner.prune(dry_run=True)
        return pruned, {
            entry["tag"] or entry["digest"]: entry["ground"]
            for entry in await self.entries(pruned.plan)
        }

    async def going(self) -> set[str]:
        """What goes: the dry run says it, and a run after it does just that."""
        before = rows_of_all(self.root)
        dry, grounds = await self.planned()
        assert rows_of_all(self.root) == before, "a dry run changes nothing"
        done = await self.pruner.prune()
        again = await self.pruner.prune()
        assert (done.tags_deleted, done.manifests_deleted) == (dry.tags_going, dry.manifests_going)
        assert (done.changed, again.tags_going, again.manifests_going) == (0, 0, 0)
        return {name for name, ground in grounds.items() if ground == "nothing"}

    @property
    def root(self) -> Path:
        return self.registry.storage.settings.root


async def push_as(
    registry: Registry, body: bytes, *tags: str, name: RepositoryName = NAME
) -> PushOutcome:
    """An image with several tags at once."""
    return await push(registry, digest_of(body), body, *tags, name=name)


def rows_of_all(root: Path) -> list[list[tuple[Any, ...]]]:
    return [
        rows_of(root, f"SELECT * FROM {table}")
        for table in ("tags", "manifests", "namespace_blobs", "events", "tag_history")
    ]


def tags_of(root: Path) -> set[str]:
    return {row[0] for row in rows_of(root, "SELECT name FROM tags")}


Scene = Callable[[Stage], Awaitable[None]]


def played(root: Path, scene: Scene, *texts: str, files: Files | None = None) -> None:
    async def test() -> None:
        clock = Clock()
        async with opened_registry(root, files, clock=clock) as registry:
            await scene(Stage(registry, clock, texts))

    run(test)


def test_without_rules_everything_is_listed_and_stays(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        await push(stage.registry, "v1", image())
        pruned, grounds = await stage.planned()
        assert grounds == {"v1": "no_rules"}
        assert (pruned.tags_kept, pruned.tags_going) == (1, 0)
        assert await stage.going() == set()

    played(root, scene)


def test_rules_for_all_and_of_the_repository_keep_together(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        for name in (NAME, OTHER):
            await push_as(stage.registry, image(), "v1", "v2", "v3", name=name)
        stage.keep("image.tag == 'v1'", team="image.tag == 'v2'")
        pruned = await stage.pruner.prune()
        assert (pruned.tags_deleted, pruned.tags_kept) == (3, 3)
        found = rows_of(
            root, "SELECT n.name, t.name FROM tags t JOIN namespaces n ON n.id = t.namespace"
        )
        assert {*found} == {(NAME, "v1"), (NAME, "v2"), (OTHER, "v1")}

    played(root, scene)


def test_newest_pushed_stay(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        for number in range(5):
            await push(stage.registry, f"v{number}", numbered(number))
            stage.clock.now += 10
        await push(stage.registry, "v0", numbered(0))  # again
        assert await stage.going() == {"v1", "v2", "v3"}
        assert tags_of(root) == {"v0", "v4"}

    played(root, scene, "top_pushed(2)")


def test_newest_pulled_stay_by_tag_or_by_digest(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.pull_times.flush()
        digests = {}
        for number in range(4):
            digests[number] = (await push(stage.registry, f"v{number}", numbered(number))).digest
        for number, reference in ((0, Tag("v0")), (1, digests[1]), (2, Tag("v2"))):
            stage.clock.now += 10
            stage.pull_times.note(NAME, reference, digests[number])
        await stage.pull_times.flush()
        assert await stage.going() == {"v0", "v3"}

    played(root, scene, "top_pulled(2)")


def test_what_was_pulled_before_pulls_were_noted_is_not_known(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        await push(stage.registry, "old", image())
        _, grounds = await stage.planned()
        assert grounds == {"old": "failure"}, "nobody noted anything yet"

        stage.clock.now += 100
        await stage.pull_times.flush()
        await push(stage.registry, "new", numbered(1))
        stage.clock.now += 900
        assert await stage.going() == {"new"}
        stage.clock.now += 101
        assert await stage.going() == {"old"}

    played(root, scene, "image.last_pulled_at > now() - 1001")


def test_count_of_pulls_is_not_known_of_what_was_there_before(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        await push(stage.registry, "old", image())
        stage.clock.now += 1
        await stage.pull_times.flush()
        for tag in ("new", "used"):
            digest = (await push(stage.registry, tag, image(annotations={"a": tag}))).digest
        stage.pull_times.note(NAME, Tag("used"), digest)
        stage.pull_times.note(NAME, digest, digest)
        await stage.pull_times.flush()
        assert await stage.going() == {"new"}
        pruned, grounds = await stage.planned()
        assert grounds == {"old": "failure", "used": "rule"}
        assert [key[0] for key in pruned.problems] == ["all[0]"]

    played(root, scene, "image.pull_count >= 2")


def test_lost_pull_times_keep_what_they_are_asked_about(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.pull_times.flush()
        await push(stage.registry, "v1", image())
        stage.clock.now += 1000
        (root / "stats.db").write_bytes(b"no database" * 1000)
        _, grounds = await stage.planned()
        assert grounds == {"v1": "failure"}
        stage.pull_times.note(NAME, Tag("other"), digest_of(b""))
        await stage.pull_times.flush()
        _, grounds = await stage.planned()
        assert grounds == {"v1": "rule"}

    played(root, scene, "image.last_pulled_at > now() - 100")


def test_size_is_of_all_that_is_named_once(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        registry = stage.registry
        shared, own = await push_bytes(registry, b"x" * 1000), await push_bytes(registry, b"y" * 10)
        bodies = [image(shared, config=shared), image(shared, own, config=shared)]
        children = [await push_untagged(registry, body) for body in bodies]
        await push(registry, "one", bodies[0])
        await push(registry, "both", index(*children))
        whole = 1010 + sum(map(len, bodies))
        stage.keep("image.tag == 'one' && image.size == 1000", f"image.size == {whole}")
        assert await stage.going() == set()
        stage.keep(f"image.size > {whole}", "image.size < 1000")
        assert await stage.going() == {"one", "both"}

    played(root, scene)


def test_platform_is_read_from_the_config_or_the_index(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        registry = stage.registry
        config = await push_bytes(registry, b'{"os": "linux", "architecture": "arm64"}')
        child = (await push(registry, "arm", image(config=config))).digest
        parts = [
            {**descriptor(child), "platform": {"os": "linux", "architecture": arch}}
            for arch in ("amd64", "arm64")
        ]
        document = {**json.loads(index(child)), "manifests": parts}
        await push(registry, "both", json.dumps(document).encode())
        await push(registry, "lost", image(config=digest_of(b"elsewhere")))
        stage.keep("image.platform == 'linux/arm64'", "image.platform == 'linux/amd64,linux/arm64'")
        _, grounds = await stage.planned()
        assert grounds == {"arm": "rule", "both": "rule", "lost": "failure"}
        stage.keep("image.platform == 'windows/amd64'")
        assert await stage.going() == {"arm", "both"}

    played(root, scene)


def test_immutable_tag_stays_and_the_list_says_so(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        stage.registry = replace(stage.registry, tag_rules=TagRules(IMMUTABLE, {}))
        await push_as(stage.registry, image(), "v1", "latest")
        pruned, grounds = await stage.planned()
        assert grounds == {"v1": "immutable", "latest": "nothing"}
        assert (pruned.immutable, pruned.tags_kept, pruned.tags_going) == (1, 1, 1)
        assert await stage.going() == {"latest"}
        assert tags_of(root) == {"v1"}

        free = replace(IMMUTABLE, is_deletable=True)
        stage.registry = replace(stage.registry, tag_rules=TagRules(free, {}))
        assert await stage.going() == {"v1"}

    played(root, scene, "false")


def deleting(stage: Stage, entries: list[dict[str, Any]]) -> Deleting:
    registry = stage.registry
    return Deleting(entries, registry.tag_rules, (), registry.now(), registry.lease_until())


@pytest.mark.parametrize("again", [image(), image(annotations={"new": "one"})])
def test_tag_that_was_pushed_or_moved_after_it_was_judged_stays(root: Path, again: bytes) -> None:
    async def scene(stage: Stage) -> None:
        await push_as(stage.registry, image(), "v1", "v2")
        pruned = await stage.pruner.prune(dry_run=True)
        entries = await stage.entries(pruned.plan)
        stage.clock.now += 1
        await push(stage.registry, "v1", again)
        done = await stage.registry.storage.write(deleting(stage, entries).step)
        assert done == {"changed": 1, "tag": 1}
        assert tags_of(root) == {"v1"}
        done = await stage.registry.storage.write(deleting(stage, entries).step)
        assert done == {"changed": 2}

    played(root, scene, "false")


def test_untagged_image_that_found_a_keeper_after_it_was_judged_stays(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        bodies = [numbered(number) for number in range(4)]
        digests = [await push_untagged(stage.registry, body) for body in bodies]
        stage.clock.now += LATER
        pruned = await stage.pruner.prune(dry_run=True)
        assert pruned.manifests_going == 4
        entries = await stage.entries(pruned.plan)
        await push(stage.registry, "v1", bodies[0])
        await push(stage.registry, "v2", index(digests[1]))
        await push_untagged(stage.registry, bodies[2])
        await delete_manifest(stage.registry, ANYBODY, NAME, digests[3])
        done = await stage.registry.storage.write(deleting(stage, entries).step)
        assert done == {"changed": 4}

    played(root, scene, TAGS_ONLY)


def test_event_says_who_did_it_and_the_image_has_a_lease(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        digest = (await push(stage.registry, "v1", image())).digest
        assert await stage.going() == {"v1"}
        await find_manifest(stage.registry, NAME, digest)
        stage.clock.now += LEASE_SECS - 1
        assert await stage.going() == set()
        stage.clock.now += 1
        assert await stage.going() == {digest}
        with refused(Code.MANIFEST_UNKNOWN, 404):
            await find_manifest(stage.registry, NAME, digest)
        found = rows_of(root, "SELECT kind FROM events WHERE actor = ? ORDER BY id", ACTOR)
        assert found == [("tag.deleted",), ("manifest.deleted",)]

    played(root, scene, "false")


def test_parts_and_referrers_stay_with_what_is_kept_and_go_after_it(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        layer = await push_bytes(stage.registry, b"layer")
        part = await push_untagged(stage.registry, image(layer))
        inner = await push_untagged(stage.registry, index(part))
        outer = (await push(stage.registry, "v1", index(inner))).digest
        await push_untagged(stage.registry, image(subject=outer))
        stage.clock.now += LATER
        assert await stage.going() == set()
        assert len(held(root)) == 5

        stage.keep("false")
        assert await stage.going() == {"v1"}
        stage.clock.now += LATER
        assert await stage.going() == {outer}
        await stage.collector.collect()
        stage.clock.now += LATER
        await stage.collector.collect()
        assert held(root) == set()

    played(root, scene, "image.tag == 'v1'")


def test_tagged_part_of_an_index_loses_its_tag_and_stays_a_part(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        part = (await push(stage.registry, "part", image())).digest
        await push(stage.registry, "v1", index(part))
        assert await stage.going() == {"part"}
        stage.clock.now += LATER
        await stage.collector.collect()
        assert await stage.going() == set()
        await find_manifest(stage.registry, NAME, part)

    played(root, scene, "image.tag == 'v1'")


@pytest.mark.parametrize("is_collected", [False, True])
def test_untagged_images_are_judged_once_their_lease_is_over(
    root: Path, is_collected: bool
) -> None:
    async def scene(stage: Stage) -> None:
        old = await push_untagged(stage.registry, numbered(1))
        stage.clock.now += LATER
        await push_untagged(stage.registry, numbered(2))
        if is_collected:
            await stage.collector.collect()
        _, grounds = await stage.planned()
        assert grounds == {old: "rule"}
        stage.keep("image.tag != null || image.pushed_at > now() - 1000")
        assert await stage.going() == {old}

    played(root, scene, "image.tag == null")


def test_untagged_image_of_a_namespace_with_an_upload_stays(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        await push_untagged(stage.registry, image())
        stage.clock.now += LATER
        await start_upload(stage.registry, ANYBODY, NAME, "sha256")
        assert await stage.going() == set()

    played(root, scene, "false")


def test_failing_rule_is_told_and_keeps(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        for tag in ("v1", "w1", "w2"):
            await push(stage.registry, tag, image())
        pruned = await stage.pruner.prune()
        assert (pruned.tags_kept, pruned.tags_deleted) == (3, 0)
        assert pruned.document()["problems"] == [
            {"rule": "all[0]", "reason": "the rule fails: 'x'", "count": 2}
        ]

    played(root, scene, "image.annotations['x'] == 'y'", "image.tag == 'v1'")


def test_list_of_the_hourly_run_has_only_what_goes_and_takes_no_other_list_away(
    root: Path,
) -> None:
    async def scene(stage: Stage) -> None:
        await push_as(stage.registry, image(), "v1", "v2")
        asked = await stage.pruner.prune(dry_run=True)
        hourly = await stage.pruner.prune(lists_all=False)
        assert {entry["tag"] for entry in await stage.entries(asked.plan)} == {"v1", "v2"}
        assert [entry["tag"] for entry in await stage.entries(hourly.plan)] == ["v2"]
        newer = await stage.pruner.prune()
        assert await stage.registry.storage.plans.page(asked.plan) is None
        assert await stage.registry.storage.plans.page(newer.plan) is not None

    played(root, scene, "image.tag == 'v1'")


def test_disk_without_room_for_the_list_deletes_nothing(root: Path) -> None:
    files = ScriptedFiles()

    async def scene(stage: Stage) -> None:
        await push(stage.registry, "v1", image())
        files.at["append"] = failing(errno.ENOSPC)
        with refused(Code.UNAVAILABLE, 507):
            await stage.pruner.prune()
        assert tags_of(root) == {"v1"}
        del files.at["append"]
        assert await stage.going() == {"v1"}

    played(root, scene, "false", files=files)


def test_read_only_registry_tells_and_deletes_nothing(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        await push(stage.registry, "v1", image())
        await begin_read_only(stage.registry, ANYBODY)
        pruned = await stage.pruner.prune(dry_run=True)
        assert pruned.tags_going == 1
        with refused(Code.UNSUPPORTED, 405):
            await stage.pruner.prune()
        assert tags_of(root) == {"v1"}
        await end_read_only(stage.registry, ANYBODY)
        assert await stage.going() == {"v1"}

    played(root, scene, "false")


def test_pull_times_of_what_is_gone_are_forgotten(root: Path) -> None:
    async def scene(stage: Stage) -> None:
        digest = (await push_as(stage.registry, image(), "v1", "v2")).digest
        for tag in ("v1", "v2"):
            stage.pull_times.note(NAME, Tag(tag), digest)
        stage.pull_times.note(OTHER, digest, digest)
        await stage.pull_times.flush()
        await delete_manifest(stage.registry, ANYBODY, NAME, Tag("v2"))
        storage = stage.registry.storage
        assert await forget_gone(storage) == 2, "a tag, and the manifest that is elsewhere"
        assert await forget_gone(storage) == 0
        left = await storage.stats.run(partial(pulls.page, after=("", ""), limit=9))
        assert [row[:2] for row in left] == [(NAME, digest), (NAME, "v1")]

        def told(rows: Rows, name: RepositoryName) -> int:
            return len(pull_history.lines_of(rows, name, digest, stage.pull_times._now()))

        assert await storage.stats.run(partial(told, name=NAME)) == 2
        assert await storage.stats.run(partial(told, name=OTHER)) == 0

    played(root, scene)


@pytest.mark.slow
def test_service_runs_a_minute_after_the_start_and_then_each_interval(root: Path) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0.2)

    async def test() -> None:
        async with opened_registry(root) as registry:
            stage = Stage(registry, Clock(), ["false"])
            runs: list[float] = []

            def current() -> Registry:
                runs.append(trio.current_time())
                return replace(stage.registry, retention=RetentionRules())

            with trio.move_on_after(700):
                await Pruner(current, monotonic=lambda: 0.0).run(lambda: 300)
            assert sorted({round(at) for at in runs}) == [0, PRUNE_FIRST_SECS, 360, 660]

    run(test, clock=clock)


def test_service_lets_nothing_go_because_the_clock_was_set(root: Path) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0.2)
    wall = Clock()

    async def test() -> None:
        async with opened_registry(root, clock=wall) as registry:
            rules = Stage(registry, wall, ["false"]).registry
            await push(rules, "v1", image())

            def current() -> Registry:
                wall.now = 1_000_000 + int(trio.current_time())
                if trio.current_time() > 30:
                    wall.now += 10_000_000
                return rules

            with trio.move_on_after(PRUNE_FIRST_SECS + 10):
                await Pruner(current, monotonic=trio.current_time).run(lambda: 300)
            await find_manifest(rules, NAME, Tag("v1"))
            with trio.move_on_after(400):
                await Pruner(current, monotonic=trio.current_time).run(lambda: 300)
            with refused(Code.MANIFEST_UNKNOWN, 404):
                await find_manifest(rules, NAME, Tag("v1"))

    run(test, clock=clock)


async def push_tags(registry: Registry, count: int) -> Digest:
    """So many tags of one image, past the pushes."""
    digest = (await push(registry, "first", image())).digest

    def step(transaction: Transaction) -> None:
        transaction.rows.executemany(
            "INSERT INTO tags (namespace, name, digest, updated_at, updated_by, sort_key) "
            "SELECT namespace, ?1, digest, ?2, 'me', natural_key(?1) FROM tags "
            "WHERE name = 'first'",
            [(f"v{number:06}", 1_000_000 + number) for number in range(count)],
        )

    await registry.storage.write(step)
    return digest


@pytest.mark.slow
def test_ten_thousand_tags_of_a_namespace_take_seconds_and_no_memory(root: Path) -> None:
    import tracemalloc

    async def scene(stage: Stage) -> None:
        await push_tags(stage.registry, 10_000)
        await stage.pull_times.flush()
        await stage.pruner.prune(dry_run=True)  # what is imported once is there
        tracemalloc.start()
        begun_at = time.process_time()
        pruned = await stage.pruner.prune(dry_run=True)
        secs, (_, peak) = time.process_time() - begun_at, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (pruned.tags_kept, pruned.tags_going) == (100, 9901)
        assert peak < 4 * 1024 * 1024
        assert secs < 20, "and tracing makes it slow"
        assert len(await stage.entries(pruned.plan)) == 10_001
        done = await stage.pruner.prune()
        assert done.tags_deleted == 9901
        assert len(tags_of(root)) == 100

    played(root, scene, "top_pushed(100)")
