"""What is told of pulls one by one goes when it is old, or when there is too much of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from angos_trio.limits.storage import PULL_LINE_SECS_MAX
from angos_trio.maintenance import forget
from angos_trio.maintenance.forget import expire_pulls
from angos_trio.storage.metadata import pull_history
from angos_trio.storage.metadata.pull_history import Line
from angos_trio.storage.metadata.pulls import Pulls
from angos_trio.storage.store import Storage
from tests.storage.support import NAME, opened, run

DIGEST = "sha256:" + "a" * 64


async def note(storage: Storage, *times: int) -> None:
    """Pulls at these times, of one manifest."""
    lines = [Line(NAME, DIGEST, None, at, "basic::alice", "", "192.0.2.1") for at in times]
    counted = {(str(NAME), DIGEST): Pulls(len(times), times[-1])}
    step = partial(pull_history.record, counted=counted, lines=lines, now=times[-1])
    await storage.stats.run(step)


async def times_of(storage: Storage, now: int) -> list[int]:
    lines = await storage.stats.run(
        partial(pull_history.lines_of, namespace=NAME, digest=DIGEST, now=now)
    )
    return [line.at for line in lines]


def test_old_pulls_go_where_nothing_is_pulled_any_more(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await note(storage, 100, 200)
            await expire_pulls(storage, 101 + PULL_LINE_SECS_MAX)
            assert await times_of(storage, 200) == [200]

    run(test)


def test_of_too_many_pulls_the_oldest_go(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "PULL_LINES_MAX", 3)
    monkeypatch.setattr(forget, "PULL_LINES_AT_ONCE", 2)

    async def test() -> None:
        async with opened(root) as storage:
            await note(storage, *range(100, 110))
            await expire_pulls(storage, 110)
            assert await times_of(storage, 110) == [109, 108, 107]

    run(test)
