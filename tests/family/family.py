"""A registry of several processes that is started here, and what its log and /proc say of it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.process import CRASHES
from tests.processes import is_running
from tests.running import RunningRegistry, start_registry

WORKERS = tuple(f"worker-{number}" for number in range(1, 5))
STEWARD = "steward"
WAIT_SECS_MAX = 30.0
POLL_SECS = 0.01
CONFIG = """\
[server]
workers = 4
[observability]
worker_header = true
"""
IMMUTABLE = CONFIG + "[global]\nimmutable_tags = true\n"


class Wrong(Exception):
    """What the registry must not do; the message says what it did."""


@dataclass(frozen=True)
class Report:
    """One line about one part: its name, figures, and what was wrong."""

    name: str
    figures: str
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "WRONG" if self.wrong else "ok"
        lines = [f"{verdict:<5} {self.name}: {self.figures}"]
        return "\n".join([*lines, *(f"      {line[:500]}" for line in self.wrong[:20])])


def wait_until(condition: Callable[[], bool], what: str, secs: float = WAIT_SECS_MAX) -> float:
    """Return once the condition holds, with how long that took. Raises Wrong."""
    begun_at = time.monotonic()
    while not condition():
        if time.monotonic() - begun_at > secs:
            raise Wrong(f"not within {secs:.0f} s: {what}")
        time.sleep(POLL_SECS)
    return time.monotonic() - begun_at


def is_free(lock: Path) -> bool:
    """Whether nobody holds the lock on a file."""
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@dataclass
class Family:
    """The processes of one registry, as its log tells."""

    registry: RunningRegistry
    _read_to: int
    members: dict[str, int] = field(default_factory=dict)
    """The process ids of those that run, by name."""
    pids: set[int] = field(default_factory=set)
    """All that ever were, the supervisor too."""
    starts: dict[str, int] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    _is_started: bool = False

    @property
    def address(self) -> str:
        """HOST:PORT"""
        return self.registry.address

    def look(self) -> None:
        """Take in what the log says since the last look."""
        with self.registry.log_file.open("rb") as log:
            log.seek(self._read_to)
            content = log.read()
        content = content[: content.rfind(b"\n") + 1]
        self._read_to += len(content)
        for line in content.decode(errors="replace").splitlines():
            if any(word in line for word in CRASHES):
                self.crashes.append(line)
            if line.startswith("{"):
                self._note(json.loads(line))

    def _note(self, entry: dict[str, Any]) -> None:
        name = entry.get("process", "")
        match entry.get("event"):
            case "process.started":
                self.members[name] = entry["pid"]
                self.pids.add(entry["pid"])
                self.starts[name] = self.starts.get(name, 0) + 1
            case "process.ended":
                self.members.pop(name, None)
                self.ended.append(name)
            case "started":
                self._is_started = True

    def is_whole(self) -> bool:
        """Whether every member runs and all have been ready once."""
        self.look()
        return self._is_started and set(self.members) == {*WORKERS, STEWARD}

    def kill(self, name: str) -> int:
        """End a member at once; its process id."""
        self.look()
        pid = self.members[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_started_anew(self, name: str, pid: int) -> float:
        """Wait until a killed member has another process, as the log tells; how long that took."""

        def is_new() -> bool:
            self.look()
            return name in self.ended and self.members.get(name, pid) != pid

        return wait_until(is_new, f"{name} is started anew")

    def left(self) -> list[int]:
        """The processes that still run."""
        self.look()
        return [pid for pid in self.pids if is_running(pid)]

    def stop(self) -> list[str]:
        """End the family as an operator does; what was wrong with that, or with its log."""
        code = self.registry.stop()
        wrong = [] if code == 0 else [f"the exit code after SIGTERM is {code}"]
        if left := self.left():
            wrong.append(f"processes outlived their family: {left}")
        return wrong + [f"in the log: {line}" for line in self.crashes]

    def end(self) -> None:
        """Leave no process behind, whatever went wrong."""
        if self.registry.process.poll() is None:
            self.registry.kill()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)


def start_family(scratch: Path, config: str = CONFIG) -> Family:
    """Start a registry on the data directory below `scratch`, and wait until all members run."""
    file, log = scratch / "family.toml", scratch / "registry.log"
    file.write_text(config)
    size = log.stat().st_size if log.exists() else 0
    registry = start_registry(scratch / "data", log, arguments=["-c", str(file)])
    family = Family(registry, size, pids={registry.process.pid})
    try:
        wait_until(family.is_whole, "all members run")
    except BaseException:
        family.end()
        raise
    return family


@contextmanager
def running_family(scratch: Path, config: str = CONFIG) -> Iterator[Family]:
    """A family for the length of a `with` block."""
    family = start_family(scratch, config)
    try:
        yield family
    finally:
        family.end()
