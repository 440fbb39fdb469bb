"""The steward's look at free space and at the switch: told once, and once more when it is over."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.app.watching import Watch
from angos_trio.limits.processes import WATCH_STORAGE_SECS
from angos_trio.registry.read_only import begin_read_only, end_read_only
from angos_trio.storage.files import Files
from tests.registry.support import ANYBODY, opened_registry, registry_of
from tests.server.log_lines import LogLines
from tests.storage.support import opened, run, until


class Disk(Files):
    """Real files on a disk that has as much room as the test says."""

    free = 1000

    def free_bytes(self, path: str | Path) -> int:
        return self.free


def told(log_lines: LogLines) -> list[str]:
    """What has been said of both."""
    return [
        line["event"]
        for line in log_lines.all()
        if line["event"].startswith(("storage.", "read_only."))
    ]


@pytest.mark.parametrize("free", [99, 100])
def test_full_disk_is_told_once_and_its_end_once(
    tmp_path: Path, log_lines: LogLines, free: int
) -> None:
    async def test() -> None:
        disk = Disk()
        disk.free = free
        async with opened(tmp_path / "data", disk, reserve=100) as storage:
            watch = Watch(registry_of(storage))
            for _ in range(3):
                watch.see_space(storage.space())
            disk.free = 500
            for _ in range(3):
                watch.see_space(storage.space())

    run(test)
    full = ["storage.full", "storage.has_room"] if free < 100 else []
    assert told(log_lines) == full
    for line in log_lines.of("storage.full"):
        assert (line["free_bytes"], line["reserve_bytes"], line["level"]) == (99, 100, "error")
    for line in log_lines.of("storage.has_room"):
        assert (line["free_bytes"], line["reserve_bytes"], line["level"]) == (500, 100, "info")


def test_switch_is_told_also_when_it_was_on_before(tmp_path: Path, log_lines: LogLines) -> None:
    async def test() -> None:
        async with opened_registry(tmp_path / "data") as registry:
            switched = await begin_read_only(registry, ANYBODY)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Watch(registry).run)
                await until(lambda: told(log_lines) == ["read_only.on"])
                await end_read_only(registry, ANYBODY)
                await trio.sleep(2 * WATCH_STORAGE_SECS)
                nursery.cancel_scope.cancel()
        assert told(log_lines) == ["read_only.on", "read_only.off"]
        (line,) = log_lines.of("read_only.on")
        assert (line["since"], line["by"]) == (switched.since, switched.by)

    run(test, clock=trio.testing.MockClock(rate=100))
