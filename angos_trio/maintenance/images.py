"""What retention rules see of images: rows, pull times, sizes, platforms; and what they say."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import trio

from angos_trio.limits.housekeeping import COLLECT_ROWS, CONFIG_BLOB_BYTES_MAX
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Tag
from angos_trio.oci.platform import platform_of_config, platforms_of
from angos_trio.policy.immutability import TagRule
from angos_trio.policy.retention import (
    TOP_PULLED,
    TOP_PUSHED,
    Ground,
    Image,
    Judge,
    Ranks,
    RetentionPolicy,
    Verdict,
    last_pulled_at,
)
from angos_trio.records import Frozen, Mutable, field
from angos_trio.storage.metadata import manifests, pulls, retention
from angos_trio.storage.metadata.pulls import NEVER, Pulls
from angos_trio.storage.metadata.retention import Candidate
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows
from angos_trio.telemetry.log import logger

_log = logger("maintenance.images")


class Noted(Frozen):
    """What is known of pulls: since when none was missed, None where that is not known."""

    began_at: int | None = None
    by_reference: Mapping[str, Pulls] = field(default_factory=dict)

    def of(self, candidate: Candidate) -> tuple[int | None, int | None]:
        """When it was pulled last, and how often; a tag is pulled by its digest too."""
        names = [candidate.digest] if candidate.tag is None else [candidate.tag, candidate.digest]
        noted = [self.by_reference.get(name, NEVER) for name in names]
        at = max(each.last_at for each in noted)
        is_counted = self.began_at is not None and candidate.pushed_at >= self.began_at
        count = max(each.count for each in noted) if is_counted else None
        return last_pulled_at(at, candidate.pushed_at, self.began_at), count


class Scene(Mutable):
    """A namespace in a run of retention at `now`, in epoch seconds."""

    storage: Storage
    number: int
    name: str
    policy: RetentionPolicy
    tag_rule: TagRule
    now: int
    is_ranked: bool = True
    """Whether it is about tags, which alone have ranks."""
    _judge: Judge | None = None

    async def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """A verdict on each."""
        if self._judge is None:
            ranks = await self._ranks() if self.is_ranked else Ranks()
            self._judge = Judge(self.policy, self.now, ranks)
        noted = await self._noted(candidates)
        decide = partial(self._decide, judge=self._judge, candidates=candidates, noted=noted)
        return await self.storage.read(decide)

    def _decide(
        self, rows: Rows, judge: Judge, candidates: Sequence[Candidate], noted: Noted
    ) -> list[Verdict]:
        """Runs in a reader's thread."""
        return [
            self._guarded(candidate, judge.decide(self._image(rows, candidate, noted)))
            for candidate in candidates
        ]

    def _guarded(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        is_fixed = candidate.tag is not None and not self.tag_rule.may_delete(Tag(candidate.tag))
        return Verdict(Ground.IMMUTABLE) if is_fixed and not verdict.is_kept else verdict

    def _image(self, rows: Rows, candidate: Candidate, noted: Noted) -> Image:
        names, digest = self.policy.names, candidate.digest
        pulled_at, count = noted.of(candidate)
        return Image(
            tag=candidate.tag,
            digest=digest,
            pushed_at=candidate.pushed_at if candidate.pushed_at > 0 else None,
            media_type=candidate.media_type,
            artifact_type=candidate.artifact_type or "",
            annotations=candidate.annotations,
            last_pulled_at=pulled_at,
            pull_count=count,
            size=retention.named_bytes(rows, self.number, digest) if names("size") else None,
            platform=self._platform(rows, Digest(digest)) if names("platform") else None,
        )

    def _platform(self, rows: Rows, digest: Digest) -> str | None:
        body = manifests.read_body(rows, digest)
        stated = None if body is None else platforms_of(body)
        if stated is not None or body is None:
            return stated
        config = retention.config_of(rows, self.number, digest)
        if config is None:
            return None
        content = self.storage.read_blob_blocking(config, CONFIG_BLOB_BYTES_MAX)
        return None if content is None else platform_of_config(content)

    async def _noted(self, candidates: Iterable[Candidate]) -> Noted:
        if not self.policy.needs_pulls:
            return Noted()
        names = {candidate.digest for candidate in candidates}
        names |= {candidate.tag for candidate in candidates if candidate.tag is not None}

        def query(rows: Rows) -> Noted:
            return Noted(pulls.began_at(rows), pulls.of(rows, self.name, sorted(names)))

        try:
            return await self.storage.stats.run(query)
        except OciError:
            _log.warning("retention.pulls_unknown", namespace=self.name)
            return Noted()  # rules about pulls keep

    async def _ranks(self) -> Ranks:
        pushed = {}
        for rank in self.policy.tops(TOP_PUSHED):
            query = partial(retention.newest_pushed, namespace=self.number, rank=rank)
            pushed[rank] = await self.storage.read(query)
        return Ranks(pushed, await self._pulled())

    async def _pulled(self) -> dict[int, int]:
        """The time of the so many newest pulled tag, for each number that a rule asks for."""
        wanted = self.policy.tops(TOP_PULLED)
        newest: list[int] = []
        after = ""
        while wanted:
            page = partial(
                retention.tags_after, namespace=self.number, after=after, limit=COLLECT_ROWS
            )
            candidates = await self.storage.read(page)
            if not candidates:
                break
            noted = await self._noted(candidates)
            for candidate in candidates:
                newest = newest_with(newest, noted.of(candidate)[0], wanted[-1])
            after = candidates[-1].tag or ""
            await trio.lowlevel.checkpoint()
        ranked = sorted(newest, reverse=True)
        return {rank: ranked[rank - 1] if rank <= len(ranked) else 0 for rank in wanted}


def newest_with(newest: list[int], at: int | None, count_max: int) -> list[int]:
    """The so many newest times, a heap, with one more; None and 0 are no times."""
    if not at:
        return newest
    if len(newest) < count_max:
        heapq.heappush(newest, at)
    else:
        heapq.heappushpop(newest, at)
    return newest
