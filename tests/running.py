"""A registry in a process of its own, for tests and for the outside suites.

Only the standard library is used. What is started here is stopped here, by its process id.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.processes import family, wait_until_gone
from tests.zipapp.built import REPOSITORY, one_file

HOST = "127.0.0.1"
START_SECS_MAX = 60.0
"""Ends a wait for what never starts; a loaded machine needs long for what takes a second."""
STOP_SECS_MAX = 30.0
POLL_SECS = 0.02


class RegistryDidNotStart(Exception):
    """The process ended, or was not ready in time; the message holds its log."""


class RegistryDidNotStop(Exception):
    """The process outlived SIGTERM and was killed; the message holds its log."""


@dataclass(frozen=True)
class RunningRegistry:
    """A started registry: `base_url` without a slash at its end, `address` as HOST:PORT."""

    address: str
    data_dir: Path
    log_file: Path
    process: subprocess.Popen[bytes]
    probe: str | None = None

    @property
    def base_url(self) -> str:
        return f"{'http' if self.probe is None else 'https'}://{self.address}"

    @property
    def log(self) -> str:
        """Everything that the process has written so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End the process at once, as a power cut would, and wait until it is gone."""
        pids = family(self.process.pid)
        self.process.kill()
        self.process.wait()
        wait_until_gone(pids)

    def stop(self) -> int:
        """Ask the process to end and return its exit code; nothing happens when it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RegistryDidNotStop(self.log) from None


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def program() -> list[str]:
    """The command installed beside this Python, or else the module. Where `ZIPAPP` in the
    environment names a Python, it is the one file that `make zipapp` built, run by that Python."""
    python = os.environ.get("ZIPAPP")
    if python:
        return [python, str(one_file())]
    installed = Path(sys.executable).parent / "angos-trio"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "angos_trio"]


def program_as(module: str) -> tuple[list[str], dict[str, str]]:
    """The program with `main` of a module of these tests in its place: words and environment."""
    if os.environ.get("ZIPAPP"):
        entry = {"SHIV_ENTRY_POINT": f"{module}:main", "PYTHONPATH": str(tests_alone())}
        return program(), entry
    return [sys.executable, "-m", module], {"PYTHONPATH": str(REPOSITORY)}


def tests_alone() -> Path:
    """A directory with these tests and without the sources: what runs is the file's."""
    folder = REPOSITORY / ".cache" / "tests-alone"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (folder / "tests").symlink_to(REPOSITORY / "tests")
    return folder


def worker_arguments(scratch: Path, *, is_configured: bool = False) -> list[str]:
    """Options for as many workers as `WORKERS` in the environment says; they name themselves in
    each answer. Without it none, or for one worker where another configuration follows."""
    count = os.environ.get("WORKERS")
    if not count and not is_configured:
        return []
    file = scratch / "workers.toml"
    lines = f"[server]\nworkers = {int(count or 1)}\n[observability]\nworker_header = true\n"
    file.write_text(lines, encoding="utf-8")
    return ["-c", str(file)]


def has_its_workers(pid: int) -> bool:
    """Whether there are as many processes as `WORKERS` in the environment makes: with several
    workers a supervisor and a steward beside them. So no suite takes one process for many."""
    count = int(os.environ.get("WORKERS") or 1)
    return count == 1 or len(family(pid)) == count + 2


def start_registry(
    data_dir: Path,
    log_file: Path,
    *,
    address: str | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    probe: str | None = None,
) -> RunningRegistry:
    """Start a registry and return when it is ready; the caller stops it.

    It listens on `address`, HOST:PORT, or on a free port of this host. One with TLS is asked at
    `probe`, the HOST:PORT of its `[server.health]`. The log is appended to, so that a restart on
    the same files keeps it.
    """
    address = address or f"{HOST}:{free_port()}"
    options = ["--listen", address, "--data-dir", str(data_dir)]
    command = [*program(), "serve", *worker_arguments(log_file.parent), *options, *arguments]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    registry = RunningRegistry(address, data_dir, log_file, process, probe)
    try:
        _wait_until_ready(registry)
    except BaseException:
        registry.kill()
        raise
    return registry


@contextmanager
def running_registry(
    data_dir: Path | None = None,
    *,
    address: str | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    probe: str | None = None,
) -> Iterator[RunningRegistry]:
    """A registry for the length of a `with` block, by default on an empty data directory."""
    with tempfile.TemporaryDirectory(prefix="angos-trio-") as scratch:
        registry = start_registry(
            data_dir or Path(scratch) / "data",
            Path(scratch) / "registry.log",
            address=address,
            arguments=arguments,
            environment=environment,
            probe=probe,
        )
        try:
            yield registry
        finally:
            registry.stop()


def _wait_until_ready(registry: RunningRegistry) -> None:
    deadline = time.monotonic() + START_SECS_MAX
    while not (
        _is_ready(registry.probe or registry.address) and has_its_workers(registry.process.pid)
    ):
        code = registry.process.poll()
        if code is not None:
            raise RegistryDidNotStart(f"the registry ended with code {code}:\n{registry.log}")
        if time.monotonic() > deadline:
            raise RegistryDidNotStart(
                f"the registry was not ready after {START_SECS_MAX:.0f} s:\n{registry.log}"
            )
        time.sleep(POLL_SECS)


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
