"""`angos-trio serve` below a service manager: what it says in each part of its life."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from angos_trio.limits.processes import CHILD_ALIVE_SECS, CHILD_SILENT_SECS_MAX
from tests.cli.commands import write_config
from tests.managed import Listening, below, listening
from tests.processes import family
from tests.running import HOST, RunningRegistry, running_registry, start_registry

pytestmark = pytest.mark.slow
SECS_MAX = 60.0
WATCHDOG_SECS = 1.0


@contextmanager
def managed(
    folder: Path, workers: int, watchdog_secs: float | None = None
) -> Iterator[tuple[RunningRegistry, Listening]]:
    """A registry whose manager we are."""
    config = write_config(folder, workers=workers)
    with listening(below(folder)) as manager:
        arguments = ["-c", str(config)]
        environment = manager.environment(watchdog_secs)
        with running_registry(arguments=arguments, environment=environment) as registry:
            yield registry, manager


@pytest.mark.parametrize("workers", [1, 3])
def test_a_life_is_told_from_the_start_to_the_end(tmp_path: Path, workers: int) -> None:
    with managed(tmp_path, workers) as (registry, manager):
        port = registry.address.rpartition(":")[2]
        by = "in one process" if workers == 1 else f"with {workers} workers"
        assert manager.wait_for() == {"STATUS": "starting"}
        assert manager.wait_for()["EXTEND_TIMEOUT_USEC"] == "30000000"
        ready = manager.wait_for(READY="1")
        # Workers answer before all are ready: who asked whether they do may be connected.
        assert ready["STATUS"].startswith(f"serving {port} {by}, ")
        assert ready["MAINPID"] == str(registry.process.pid)

        with httpx.Client(base_url=registry.base_url) as client:
            assert client.get("/v2/").status_code == 200
            manager.wait_for(STATUS=f"serving {port} {by}, 1 connection")
        manager.wait_for(STATUS=f"serving {port} {by}, 0 connections")

        registry.process.send_signal(signal.SIGTERM)
        assert manager.wait_for(STOPPING="1")["STATUS"] == "stopping"
        assert registry.process.wait(SECS_MAX) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_reload_is_over_when_all_took_it_or_nobody_did(tmp_path: Path, workers: int) -> None:
    with managed(tmp_path, workers) as (registry, manager):
        config = tmp_path / "registry.toml"
        good = config.read_text()
        for text, outcome in [(good, "reloaded at 2"), (f"{good}nonsense = 1\n", "reload refused")]:
            config.write_text(text)
            manager.hear()
            registry.process.send_signal(signal.SIGHUP)
            assert manager.wait_for(RELOADING="1")["MONOTONIC_USEC"].isdecimal()
            assert outcome in manager.wait_for(READY="1")["STATUS"]


@pytest.mark.parametrize("workers", [1, 2])
def test_drain_is_told_and_gets_the_time_that_it_was_promised(tmp_path: Path, workers: int) -> None:
    with managed(tmp_path, workers) as (registry, manager):
        host, _, port = registry.address.rpartition(":")
        by = "in one process" if workers == 1 else f"with {workers} workers"
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(
                b"POST /v2/a/blobs/uploads/?digest=sha256:" + b"0" * 64 + b" HTTP/1.1\r\n"
                b"Host: " + registry.address.encode() + b"\r\nContent-Length: 9\r\n"
                b"Expect: 100-continue\r\n\r\n"
            )
            assert slow.recv(100).startswith(b"HTTP/1.1 100 ")
            manager.wait_for(STATUS=f"serving {port} {by}, 1 connection")
            registry.process.send_signal(signal.SIGTERM)
            stopping = manager.wait_for(STOPPING="1")["STATUS"]
            # The one that asked whether it is ready may still be among them.
            assert re.fullmatch("stopping: [12] connections?, for 30 s at most", stopping)
            assert any(
                int(message.get("EXTEND_TIMEOUT_USEC", 0)) >= 60_000_000
                for message in manager.heard
            )
            manager.wait_for(STATUS="stopping: 1 connection, for 2")
        assert registry.process.wait(SECS_MAX) == 0


def test_what_is_wrong_stands_in_the_status(tmp_path: Path) -> None:
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        with managed(folder, workers) as (registry, manager):
            control = str(registry.data_dir / "control.sock")
            with httpx.Client(transport=httpx.HTTPTransport(uds=control)) as operator:
                answer = operator.put(
                    "http://localhost/v2/_ext/_read_only", json={"read_only": True}
                )
                assert answer.status_code < 300, answer.text
            deadline = time.monotonic() + SECS_MAX
            while "read-only since" not in (line := manager.wait_for(STATUS="serving ")["STATUS"]):
                assert time.monotonic() < deadline, line


def test_watchdog_is_fed_while_the_registry_answers(tmp_path: Path) -> None:
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        with managed(folder, workers, WATCHDOG_SECS) as (_, manager):
            for _ in range(5):
                assert manager.is_fed(WATCHDOG_SECS)


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_process_feeds_no_watchdog(tmp_path: Path, workers: int) -> None:
    with managed(tmp_path, workers, WATCHDOG_SECS) as (registry, manager):
        registry.process.send_signal(signal.SIGSTOP)
        assert not manager.is_fed(2 * WATCHDOG_SECS)
        registry.process.send_signal(signal.SIGCONT)
        assert manager.is_fed(WATCHDOG_SECS)


def _stop_and_see(registry: RunningRegistry, manager: Listening, pids: list[int]) -> bool:
    """Whether the watchdog is still fed once these are stopped for longer than they may be silent;
    they go on afterwards."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        manager.hear(10 + CHILD_ALIVE_SECS)
        return manager.is_fed(2 * WATCHDOG_SECS)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_one_worker_is_enough_for_the_watchdog_and_none_is_not(tmp_path: Path) -> None:
    with managed(tmp_path, 2, WATCHDOG_SECS) as (registry, manager):
        manager.wait_for(READY="1")  # one worker answers before all are ready
        first, second, steward = family(registry.process.pid)[1:]
        assert _stop_and_see(registry, manager, [first])
        assert any("with 1 of 2 workers" in each.get("STATUS", "") for each in manager.heard)
        manager.wait_for(STATUS=f"serving {registry.address.rpartition(':')[2]} with 2 workers")
        assert not _stop_and_see(registry, manager, [first, second])
        assert manager.is_fed(2 * WATCHDOG_SECS)
        assert not _stop_and_see(registry, manager, [steward])
        assert manager.is_fed(2 * WATCHDOG_SECS)


def test_a_pause_of_the_whole_host_is_no_silence_of_a_process(tmp_path: Path) -> None:
    with managed(tmp_path, 2) as (registry, manager):
        manager.wait_for(READY="1")  # one worker answers before all are ready
        before = family(registry.process.pid)
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(CHILD_SILENT_SECS_MAX + 2)
        for pid in reversed(before):
            os.kill(pid, signal.SIGCONT)
        manager.hear(5)
        assert family(registry.process.pid) == before


def test_worker_that_is_started_anew_is_counted_again(tmp_path: Path) -> None:
    with managed(tmp_path, 2) as (registry, manager):
        manager.wait_for(READY="1")  # one worker answers before all are ready
        os.kill(family(registry.process.pid)[1], signal.SIGSTOP)
        manager.wait_for(STATUS=f"serving {registry.address.rpartition(':')[2]} with 1 of 2")
        os.kill(family(registry.process.pid)[1], signal.SIGKILL)
        manager.wait_for(STATUS=f"serving {registry.address.rpartition(':')[2]} with 2 workers")


@pytest.mark.parametrize("workers", [1, 2])
def test_start_that_is_refused_says_why(tmp_path: Path, workers: int) -> None:
    config = write_config(tmp_path, workers=workers)
    with socket.socket() as taken, listening(below(tmp_path)) as manager:
        taken.bind((HOST, 0))
        taken.listen()
        address = f"{HOST}:{taken.getsockname()[1]}"
        with pytest.raises(Exception, match="in use"):
            start_registry(
                tmp_path / "data",
                tmp_path / "log",
                address=address,
                arguments=["-c", str(config)],
                environment=manager.environment(),
            )
        said = manager.hear(0.1)

    assert said[-1]["STATUS"].startswith(f"refused to start: cannot listen on {HOST} port ")
    assert not any("READY" in message for message in said)
