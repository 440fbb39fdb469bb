"""Runs that ended: events of the whole registry, where something came of it."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from angos_trio.events.model import EventKind
from angos_trio.maintenance.collect import ACTOR
from angos_trio.maintenance.scrub import ACTOR as SCRUB
from angos_trio.maintenance.scrub import Run, Scrubber, Wish
from angos_trio.maintenance.told import tell_ended
from angos_trio.registry.read_only import begin_read_only
from tests.maintenance.support import collector_of
from tests.registry.support import (
    ANYBODY,
    LEASE_SECS,
    Clock,
    opened_registry,
    push_bytes,
)
from tests.storage.support import rows_of, run

pytestmark = pytest.mark.slow


def told(root: Path, kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Namespace, actor and what it came to."""
    query = "SELECT namespace, actor, payload FROM events WHERE kind = ? ORDER BY id"
    return [(row[0], row[1], json.loads(row[2])) for row in rows_of(root, query, kind)]


def test_collection_that_gives_something_back_is_told_and_no_other(root: Path) -> None:
    clock = Clock()

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            collector = collector_of(registry, clock)
            await push_bytes(registry, b"x" * 100)
            await collector.collect()
            clock.now += LEASE_SECS + 1
            await collector.collect()
            await collector.collect()

    run(test)
    came_to = {"manifests": 0, "holds": 1, "blobs": 1, "bytes": 100}
    assert told(root, "gc.ended") == [("", ACTOR, came_to)]


def test_scrub_that_found_something_is_told_and_no_other(root: Path) -> None:
    async def broken(scrub: Run) -> None:
        raise OSError(errno.EIO, "the disk broke")

    async def test() -> None:
        async with opened_registry(root) as registry:
            collector = collector_of(registry, Clock())
            await Scrubber(collector, (), lambda flaw: None).scrub(Wish())
            scrubber = Scrubber(collector, (("files", broken),), lambda flaw: None)
            await scrubber.scrub(Wish(is_dry=True))
            await scrubber.scrub(Wish())

    run(test)
    ((namespace, actor, came_to),) = told(root, "scrub.ended")
    assert (namespace, actor) == ("", SCRUB)
    assert (came_to["blobs"], came_to["failed"], came_to["findings"]) == (0, 1, {})


def test_run_that_cannot_be_told_has_still_ended(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await begin_read_only(registry, ANYBODY)
            await tell_ended(registry, EventKind.GC_ENDED, ACTOR, {"bytes": 1})

    run(test)
    assert told(root, "gc.ended") == []
