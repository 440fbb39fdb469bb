"""`angos-trio read-only`, on a stopped registry and beside one that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from angos_trio.cli.main import main
from angos_trio.telemetry import log
from tests.cli.commands import said, write_config
from tests.running import RunningRegistry, running_registry
from tests.storage.support import fresh_root, opened, run, scratch

__all__ = ["fresh_root", "scratch"]

OFF = "changes are taken\n"
WORKERS = 3
ROUNDS = 12
SECS_MAX = 60.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, workers=WORKERS)


def test_switch_of_a_stopped_registry(
    fresh_root: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> str:
        assert main(["read-only", *arguments, "-c", str(config), "--data-dir", str(root)]) == 0
        found = capsys.readouterr()
        assert found.err == ""
        return found.out

    async def begin(root: Path) -> None:
        async with opened(root):
            pass

    root = fresh_root
    run(begin, root)
    assert told("status") == OFF
    switched = told("on")
    assert switched.startswith("read-only since 20")
    assert told("status") == told("on") == switched
    assert told("off") == told("status") == told("off") == OFF
    log.configure("warning")


def test_place_without_a_registry_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["read-only", "on", "--data-dir", str(tmp_path / "none")]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.count("\n") == 1


@pytest.fixture
def registry(tmp_path: Path, config: Path) -> Iterator[RunningRegistry]:
    with running_registry(tmp_path / "data", arguments=["-c", str(config)]) as running:
        yield running


def command(registry: RunningRegistry, *arguments: str) -> str:
    return said(registry.data_dir, "read-only", *arguments)


def statuses(registry: RunningRegistry) -> set[int]:
    """Of changes, each on a new connection: whichever worker answers."""
    url = f"{registry.base_url}/v2/team/app/blobs/uploads/"
    return {httpx.post(url, timeout=SECS_MAX).status_code for _ in range(ROUNDS)}


@pytest.mark.slow
def test_every_process_refuses_from_the_answer_of_the_command_on(
    registry: RunningRegistry,
) -> None:
    assert statuses(registry) == {202}
    for _ in range(2):
        assert command(registry, "on").startswith("read-only since ")
        assert statuses(registry) == {405}
        assert command(registry, "off") == OFF
        assert statuses(registry) == {202}


@pytest.mark.slow
def test_switch_outlives_a_restart_and_is_told_in_the_log(tmp_path: Path, config: Path) -> None:
    data = tmp_path / "data"
    with running_registry(data, arguments=["-c", str(config)]) as running:
        command(running, "on")
    with running_registry(data, arguments=["-c", str(config)]) as running:
        assert statuses(running) == {405}
        ready = httpx.get(f"{running.base_url}/readyz", timeout=SECS_MAX)
        assert ready.status_code == 200
        assert any("read-only since" in told for told in ready.json()["degraded"])
        assert running.stop() == 0
        events = [json.loads(line)["event"] for line in running.log.splitlines()]
    assert "read_only.on" in events
