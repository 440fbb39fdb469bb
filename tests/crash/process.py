"""Starting a registry for crash tests: ready means that it answers, whatever the disk is like."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.running import (
    HOST,
    RegistryDidNotStart,
    RunningRegistry,
    has_its_workers,
    program,
    program_as,
    worker_arguments,
)
from tests.zipapp.built import REPOSITORY

START_SECS_MAX = 60.0
_FAULTY = "tests.crash.serve"
POLL_SECS = 0.01
CRASHES = ("request.crashed", "connection.crashed", "application.crashed", "Traceback")
"""What the log may never say, whatever happened."""


@dataclass(frozen=True)
class Place:
    """What a registry is started with again and again."""

    data_dir: Path
    log_file: Path
    port: int
    config: Path | None = None
    control: Path | None = None
    """With one, the registry's files can be made to fail; see faulty_files."""

    @property
    def address(self) -> str:
        """HOST:PORT"""
        return f"{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What the program needs besides."""
        return {} if self.control is None else program_as(_FAULTY)[1]

    def command(self) -> list[str]:
        """The program and its arguments."""
        words = [*program(), "serve"]
        if self.control is not None:
            words = [*program_as(_FAULTY)[0], "--control", str(self.control)]
        words += worker_arguments(self.log_file.parent, is_configured=self.config is not None)
        if self.config is not None:
            words += ["-c", str(self.config)]
        return [*words, "--listen", self.address, "--data-dir", str(self.data_dir)]


def spawn(place: Place, prefix: Sequence[str] = ()) -> RunningRegistry:
    """Start the process and do not wait for it; its log is appended to."""
    with place.log_file.open("ab") as log:
        process = subprocess.Popen(
            [*prefix, *place.command()],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **place.environment},
        )
    return RunningRegistry(place.address, place.data_dir, place.log_file, process)


def start(place: Place, prefix: Sequence[str] = ()) -> RunningRegistry:
    """Start the process and wait until it answers. Raises RegistryDidNotStart with its log."""
    size = place.log_file.stat().st_size if place.log_file.exists() else 0
    registry = spawn(place, prefix)
    deadline = time.monotonic() + START_SECS_MAX
    try:
        # A fault may end a worker just then; without faults all are there.
        is_whole = place.control is not None
        while not (_answers(place.address) and (is_whole or has_its_workers(registry.process.pid))):
            code = registry.process.poll()
            said = place.log_file.read_bytes()[size:].decode(errors="replace")
            if code is not None:
                raise RegistryDidNotStart(f"the registry ended with code {code}:\n{said}")
            if time.monotonic() > deadline:
                raise RegistryDidNotStart(f"no answer after {START_SECS_MAX:.0f} s:\n{said}")
            time.sleep(POLL_SECS)
    except BaseException:
        registry.kill()
        raise
    return registry


def _answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass
class Log:
    """A log that is looked at piece by piece."""

    path: Path
    position: int = 0

    def crash_lines(self) -> list[str]:
        """Lines since the last look that tell of an error nobody foresaw."""
        if not self.path.exists():
            return []
        content = self.path.read_bytes()[self.position :]
        self.position += len(content)
        lines = content.decode(errors="replace").splitlines()
        return [line for line in lines if any(word in line for word in CRASHES)]
