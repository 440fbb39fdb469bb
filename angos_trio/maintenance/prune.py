"""Retention: what the rules let go, planned as a whole and then carried out from the plan.

The plan is a file, so that it can be of any length; a dry run ends with it. What has changed since
it was looked at stays: each deletion compares again, under the write lock.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import trio

from angos_trio.limits.housekeeping import (
    CLOCK_STEP_SECS,
    COLLECT_REST,
    COLLECT_ROWS,
    PRUNE_FIRST_SECS,
    RULE_PROBLEMS_MAX,
)
from angos_trio.maintenance.collect import drop_manifest
from angos_trio.maintenance.images import Scene
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.policy.immutability import TagRules
from angos_trio.policy.reclaim import Keeper, Terms, judge
from angos_trio.policy.retention import Ground, Verdict
from angos_trio.records import Frozen, Mutable, field
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.registry.delete import Deletion
from angos_trio.storage.metadata import leases, namespaces, retention
from angos_trio.storage.metadata.leases import FIRST, NOTHING_GONE, Due
from angos_trio.storage.metadata.retention import Candidate
from angos_trio.storage.plans import Plan
from angos_trio.storage.transactions import Rows, Transaction
from angos_trio.telemetry.log import logger

_log = logger("maintenance.prune")
ACTOR: Final = "registry::retention"
"""Who did it, in events."""
Entry = dict[str, Any]


class Pruned(Mutable):
    """What a run came to: verdicts on tags and on manifests without one, and what was deleted.

    `plan` is the name of the list; `immutable` tags are kept though no rule keeps them; `changed`
    are those that were not what they had been when it was their turn. `problems` counts what is
    wrong with rules.
    """

    plan: str
    tags_kept: int = 0
    tags_going: int = 0
    manifests_kept: int = 0
    manifests_going: int = 0
    immutable: int = 0
    tags_deleted: int = 0
    manifests_deleted: int = 0
    changed: int = 0
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, candidate: Candidate, verdict: Verdict) -> None:
        """Count a verdict."""
        kind = "manifests" if candidate.tag is None else "tags"
        name = f"{kind}_{'kept' if verdict.is_kept else 'going'}"
        setattr(self, name, getattr(self, name) + 1)
        self.immutable += verdict.ground is Ground.IMMUTABLE
        if verdict.ground is Ground.FAILURE:
            key = (verdict.rule or "", verdict.reason)
            if key in self.problems or len(self.problems) < RULE_PROBLEMS_MAX:
                self.problems[key] += 1

    def document(self) -> Entry:
        """As it is told to whoever asked for the run."""
        counts = {
            name: getattr(self, name)
            for name in self.__struct_fields__
            if name not in ("problems", "plan")
        }
        problems = [
            {"rule": rule, "reason": reason, "count": count}
            for (rule, reason), count in self.problems.most_common()
        ]
        return {"plan": self.plan, **counts, "problems": problems}


class Pruner(Mutable):
    """One for the instance. `current` gives the registry with the rules in force; `monotonic` is
    the clock that nobody sets; `deleted` is told how many of a kind went. Nothing goes by itself
    while `is_time_known` says no: what was pushed last may look older than the rest."""

    current: Callable[[], Registry]
    monotonic: Callable[[], float] = time.monotonic
    deleted: Callable[[str, int], None] = lambda kind, count: None
    is_time_known: Callable[[], bool] = lambda: True
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _clocks: tuple[int, float] | None = None

    async def run(self, interval_secs: Callable[[], int]) -> None:
        """Let go what the rules let go, a minute after a start and then each interval, until
        cancelled. Without a rule nothing is looked at."""
        self._was_clock_set()
        await trio.sleep(min(PRUNE_FIRST_SECS, interval_secs()))
        while True:
            was_clock_set = self._was_clock_set()
            if self.current().retention.is_any and not was_clock_set and self.is_time_known():
                with suppress(ReadOnlyError):
                    await self.prune(lists_all=False)
            waited_secs = 0
            while waited_secs < interval_secs():  # which a reload may change
                secs = min(PRUNE_FIRST_SECS, interval_secs() - waited_secs)
                await trio.sleep(secs)
                waited_secs += secs

    def _was_clock_set(self) -> bool:
        """Whether the wall clock was set since the last look: nothing goes because of that."""
        clocks = self.current().now(), self.monotonic()
        before, self._clocks = self._clocks or clocks, clocks
        return abs((clocks[0] - before[0]) - (clocks[1] - before[1])) >= CLOCK_STEP_SECS

    async def prune(self, *, dry_run: bool = False, lists_all: bool = True) -> Pruned:
        """One run to its end. Raises UNAVAILABLE (503, 507) when the disk refuses, and
        ReadOnlyError (405) where something would go while the registry is read-only.

        `lists_all`: the plan has what stays too.
        """
        async with self._turn:
            begun_at, registry = self.monotonic(), self.current()
            plan = registry.storage.plans.new("asked" if lists_all else "scheduled")
            await plan.begin()
            planning = _Planning(registry, plan, Pruned(plan.name), lists_all=lists_all)
            await planning.tags()
            await planning.untagged()
            pruned = planning.pruned
            if not dry_run and pruned.tags_going + pruned.manifests_going:
                await self._carry_out(registry, pruned)
            problems = {} if lists_all else pruned.problems  # whoever asked is told
            for (rule, reason), count in problems.items():
                _log.warning("retention.rule_failed", rule=rule, reason=reason, images=count)
            if pruned.tags_deleted or pruned.manifests_deleted:
                _log.info(
                    "pruned",
                    tags=pruned.tags_deleted,
                    manifests=pruned.manifests_deleted,
                    changed=pruned.changed,
                    duration_secs=round(self.monotonic() - begun_at, 3),
                )
            return pruned

    async def _carry_out(self, registry: Registry, pruned: Pruned) -> None:
        storage, offset = registry.storage, 0
        while True:
            page = await storage.plans.page(pruned.plan, offset)
            lines = () if page is None else page.lines
            entries = [entry for entry in map(json.loads, lines) if not entry["keep"]]
            for at in range(0, len(entries), COLLECT_ROWS):
                begun_at = self.monotonic()
                deleting = Deleting(
                    entries[at : at + COLLECT_ROWS],
                    registry.tag_rules,
                    await storage.sessions.namespaces(),
                    registry.now(),
                    registry.lease_until(),
                )
                done = await registry.change(deleting.step, makes_room=True)
                self._count(pruned, done)
                await trio.sleep(COLLECT_REST * (self.monotonic() - begun_at))
            if page is None or page.next is None:
                return
            offset = page.next

    def _count(self, pruned: Pruned, done: Counter[str]) -> None:
        pruned.tags_deleted += done["tag"]
        pruned.manifests_deleted += done["manifest"]
        pruned.changed += done["changed"]
        for kind in ("tag", "manifest"):
            if done[kind]:
                self.deleted(kind, done[kind])


class _Planning(Mutable):
    """A plan that grows."""

    registry: Registry
    plan: Plan
    pruned: Pruned
    lists_all: bool
    now: int = 0
    _uploading: Collection[str] = ()
    _scene: Scene | None = None
    """Of the untagged manifest before."""

    def __post_init__(self) -> None:
        self.now = self.registry.now()

    async def tags(self) -> None:
        """Judge every tag, namespace by namespace."""
        storage, after = self.registry.storage, ""
        while names := await storage.read(
            partial(namespaces.list_with_content, after=after, limit=COLLECT_ROWS)
        ):
            for name in names:
                number = await storage.read(partial(namespaces.find, name=RepositoryName(name)))
                if number is not None:
                    await self._tags_of(self._new_scene(number, name, is_ranked=True))
            after = names[-1]

    async def _tags_of(self, scene: Scene) -> None:
        if not self.lists_all and not scene.policy.rules:
            return
        after = ""
        while candidates := await scene.storage.read(
            partial(retention.tags_after, namespace=scene.number, after=after, limit=COLLECT_ROWS)
        ):
            await self._judge(scene, candidates)
            after = candidates[-1].tag or ""

    async def untagged(self) -> None:
        """Judge every manifest that nothing but policy keeps: no tag, no index, no subject, no
        lease and no upload. What nothing keeps at all is the collection's."""
        self._uploading = await self.registry.storage.sessions.namespaces()
        await self._sweep(partial(leases.due_manifests, before=self.now), is_leased=True)
        await self._sweep(partial(leases.untagged_manifests, before=self.now), is_leased=False)

    async def _sweep(self, due: Callable[..., list[Due]], *, is_leased: bool) -> None:
        storage, after = self.registry.storage, FIRST

        def query(rows: Rows, after: Due) -> tuple[list[Due], list[tuple[Due, str, Candidate]]]:
            page = due(rows, after=after, limit=COLLECT_ROWS)
            found = [self._untagged(rows, each, is_leased=is_leased) for each in page]
            return page, [each for each in found if each is not None]

        while True:
            page, found = await storage.read(partial(query, after=after))
            if not page:
                return
            after = page[-1]
            for number in dict.fromkeys(each.namespace for each, _, _ in found):
                mine = [each for each in found if each[0].namespace == number]
                scene = self._scene_of(number, mine[0][1])
                if self.lists_all or scene.policy.rules:
                    await self._judge(scene, [candidate for _, _, candidate in mine])

    def _untagged(
        self, rows: Rows, due: Due, *, is_leased: bool
    ) -> tuple[Due, str, Candidate] | None:
        name = namespaces.name_of(rows, due.namespace)
        hold = leases.hold_of_manifest(
            rows, due, gone=NOTHING_GONE, has_upload=name in self._uploading
        )
        if hold is None or name is None or bool(hold.lease_until) != is_leased:
            return None  # gone, damage, or of the other list
        if judge(hold, Terms(self.now)).keeper is not Keeper.POLICY:
            return None
        candidate = retention.manifest(rows, due.namespace, due.digest)
        return None if candidate is None else (due, name, candidate)

    def _scene_of(self, number: int, name: str) -> Scene:
        """The last one again, if it is of this namespace."""
        if self._scene is None or self._scene.number != number:
            self._scene = self._new_scene(number, name, is_ranked=False)
        return self._scene

    def _new_scene(self, number: int, name: str, *, is_ranked: bool) -> Scene:
        registry, namespace = self.registry, RepositoryName(name)
        policy = registry.retention.policy_for(namespace)
        rule = registry.tag_rules.rule_for(namespace)
        return Scene(registry.storage, number, name, policy, rule, self.now, is_ranked)

    async def _judge(self, scene: Scene, candidates: Sequence[Candidate]) -> None:
        lines, begun_at = [], time.monotonic()
        for candidate, verdict in zip(candidates, await scene.judge(candidates), strict=True):
            self.pruned.count(candidate, verdict)
            if self.lists_all or not verdict.is_kept:
                lines.append(json.dumps(_entry(scene.name, candidate, verdict)).encode())
        await self.plan.append(lines)
        await trio.sleep(COLLECT_REST * (time.monotonic() - begun_at))


def _entry(name: str, candidate: Candidate, verdict: Verdict) -> Entry:
    return {
        "namespace": name,
        "tag": candidate.tag,
        "digest": candidate.digest,
        "pushed_at": candidate.pushed_at,
        "keep": verdict.is_kept,
        "ground": verdict.ground,
        "rule": verdict.rule,
        "reason": verdict.reason,
    }


class Deleting(Frozen):
    """Entries of a plan whose turn it is at `now`; what loses its last tag is kept until the lease
    ends."""

    entries: Sequence[Entry]
    tag_rules: TagRules
    uploading: Collection[str]
    now: int
    lease_until: int

    def step(self, transaction: Transaction) -> Counter[str]:
        """Delete what is still as it was planned; how many tags and manifests, and how many have
        changed."""
        return Counter(self._delete(transaction, entry) for entry in self.entries)

    def _delete(self, transaction: Transaction, entry: Entry) -> str:
        name, digest = RepositoryName(entry["namespace"]), Digest(entry["digest"])
        namespace = namespaces.find(transaction.rows, name)
        if namespace is None:
            return "changed"
        if entry["tag"] is None:
            return self._manifest(transaction, name, Due(0, namespace, digest))
        tag, rule = Tag(entry["tag"]), self.tag_rules.rule_for(name)
        found = retention.tag_as_of(transaction.rows, namespace, tag)
        if found != (digest, entry["pushed_at"]) or not rule.may_delete(tag):
            return "changed"
        deletion = Deletion(name, rule, ACTOR, self.now, self.lease_until)
        deletion.tag(transaction.rows, namespace, tag)
        return "tag"

    def _manifest(self, transaction: Transaction, name: RepositoryName, due: Due) -> str:
        has_upload = name in self.uploading
        hold = leases.hold_of_manifest(
            transaction.rows, due, gone=NOTHING_GONE, has_upload=has_upload
        )
        if hold is None or judge(hold, Terms(self.now)).keeper is not Keeper.POLICY:
            return "changed"
        drop_manifest(transaction, name, due, self.now, ACTOR)
        return "manifest"
