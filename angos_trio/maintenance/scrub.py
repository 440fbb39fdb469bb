"""Scrub: every row against every other and against the bytes, every byte against its digest.

One plan: what is found without changing anything is found again, under the write lock, by the same
judgement before it is repaired. A dry run leaves out the second half. What cannot be read is
counted as that, and nothing is concluded from it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from angos_trio.events.model import EventKind
from angos_trio.limits.housekeeping import SCRUB_REST
from angos_trio.maintenance.collect import Collector
from angos_trio.maintenance.resting import read_and_rest
from angos_trio.maintenance.told import tell_ended
from angos_trio.policy.integrity import Flaw
from angos_trio.records import Frozen, Mutable, field
from angos_trio.registry.context import Registry
from angos_trio.storage.inspection import Pace
from angos_trio.storage.transactions import Outcome, Rows, Transaction
from angos_trio.telemetry.log import logger

_log = logger("maintenance.scrub")
ACTOR: Final = "registry::scrub"
"""Who did it, in events and in histories."""


class Scrubbed(Mutable):
    """What a run has looked at, found, and could not look at."""

    blobs: int = 0
    bytes: int = 0
    manifests: int = 0
    files: int = 0
    failed: int = 0
    findings: Counter[Flaw] = field(default_factory=Counter)

    def describe(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "blobs": self.blobs,
            "bytes": self.bytes,
            "manifests": self.manifests,
            "files": self.files,
            "failed": self.failed,
            "findings": {flaw.value: self.findings[flaw] for flaw in Flaw if self.findings[flaw]},
        }


class Wish(Frozen):
    """What is asked for: `after` is the blob to go on behind, and `passed` is told each time that
    all blobs up to one were looked at."""

    is_dry: bool = False
    bytes_per_sec: int | None = None
    after: str = ""
    passed: Callable[[str], Awaitable[None]] | None = None


Repair = Callable[[Transaction], bool]
"""Looks again and repairs; False when nothing is wrong any more."""


class Run(Mutable):
    """One pass, as its parts know it."""

    registry: Registry
    collector: Collector
    wish: Wish
    noted: Callable[[Flaw], None]
    pace: Pace
    found: Scrubbed = field(default_factory=Scrubbed)

    async def note(
        self, flaw: Flaw, what: object, confirm: Callable[[Rows], bool], repair: Repair
    ) -> None:
        """A finding, if it still is one: counted, told, and unless the run is dry repaired."""
        if self.wish.is_dry:
            is_so = await self.registry.storage.read(confirm)
        else:
            async with self.collector.paused():
                is_so = await self.registry.change(repair)
        if is_so:
            self.tell(flaw, what)

    def tell(self, flaw: Flaw, what: object) -> None:
        """Count it, and say so in the log."""
        self.found.findings[flaw] += 1
        if not self.wish.is_dry:
            self.noted(flaw)
        _log.warning("scrub.found", flaw=flaw.value, what=str(what), dry_run=self.wish.is_dry)

    @asynccontextmanager
    async def guarded(self, what: object) -> AsyncIterator[None]:
        """What goes wrong with one thing does not end the run: it is counted and told."""
        try:
            yield
        except Exception as error:
            self.found.failed += 1
            problem = f"{type(error).__name__}: {error}"
            _log.error("scrub.failed", what=str(what), error=problem)

    async def read(self, query: Callable[[Rows], Outcome]) -> Outcome:
        """One page of rows, and a rest for everybody else."""
        return await read_and_rest(self.registry.storage, query, SCRUB_REST)


Part = Callable[[Run], Awaitable[None]]
"""One part of a pass."""


class Scrubber(Mutable):
    """One for the instance; `noted` counts what was found."""

    collector: Collector
    parts: tuple[tuple[str, Part], ...]
    noted: Callable[[Flaw], None]
    _turn: trio.Lock = field(default_factory=trio.Lock)

    async def scrub(self, wish: Wish, found: Scrubbed | None = None) -> Scrubbed:
        """One pass over everything; what it found, which grows meanwhile where it is given.

        Raises ReadOnlyError (405) for one that may repair while the registry is read-only.
        """
        async with self._turn:
            registry = self.collector.current()
            if not wish.is_dry:
                await registry.require_changeable()
            pace = Pace(wish.bytes_per_sec)
            run = Run(registry, self.collector, wish, self.noted, pace, found or Scrubbed())
            begun_at = time.monotonic()
            for name, part in self.parts:
                async with run.guarded(name):
                    await part(run)
            counts = run.found.describe()
            _log.info(
                "scrub.ended",
                dry_run=wish.is_dry,
                blobs=run.found.blobs,
                bytes=run.found.bytes,
                findings=counts["findings"],
                failed=run.found.failed,
                duration_secs=round(time.monotonic() - begun_at, 3),
            )
            # One that found all well is told by the page of health: it changes nothing at all.
            if not wish.is_dry and (counts["findings"] or run.found.failed):
                await tell_ended(registry, EventKind.SCRUB_ENDED, ACTOR, counts)
            return run.found
