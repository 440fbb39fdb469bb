"""Files that fail, tear or stop the process at a chosen step.

A step is a verb of `Files` that changes the disk, or one of its named points. Which step fails is
said by another process, through a control file, while the registry runs; steps are counted from
the moment that file was put there. Without it this class behaves as `Files` does.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from angos_trio.storage.files import Files

KILL = "kill"
TEAR = "tear"
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS")}
SQLITE_ERRORS = {name: getattr(sqlite3, name) for name in ("SQLITE_FULL", "SQLITE_IOERR")}
"""What SQLite meets at a commit, where `Files` has no say."""

GROWING = frozenset({"make_directory", "write_new", "replace", "write_at", "allocate"})
"""What a full disk refuses; an existing file can still be opened, cut, renamed and removed."""
CHANGING = GROWING | {"open_to_append", "truncate", "sync", "flush", "sync_directory", "publish"}
CHANGING |= {"write_over", "append", "move", "remove"}
FREEING = frozenset({"remove", "truncate"})
COMMIT = "commit.before"


@dataclass(frozen=True)
class Fault:
    """What happens at the `at`-th step, counted from 1 among those of one name, or among all.

    `action` is `kill`, `tear` (half of a write, then kill) or the name of an error. Errors come to
    verbs and to the commit; one that `lasts` is what every later verb meets that such a disk
    refuses, until the control file is gone.
    """

    at: int
    action: str
    step: str = ""
    lasts: bool = False

    def may_come_to(self, name: str) -> bool:
        """Whether the step counts."""
        if self.step:
            return self.step == name
        if self.action == TEAR:
            return name == "write_at"
        if self.action in SQLITE_ERRORS:
            return name == COMMIT
        if self.action == "ENOSPC" and name in FREEING:
            return False
        return self.action == KILL or name in CHANGING or name == COMMIT

    def lasts_for(self, name: str) -> bool:
        """Whether the step fails once the fault was met, if it is one that lasts."""
        if self.action in SQLITE_ERRORS:
            return name == COMMIT
        return name in (GROWING if self.action == "ENOSPC" else CHANGING)


class Control:
    """The control file, as the tests hold it: at most one fault is set at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hit = _hit_file(path)

    def set(self, fault: Fault) -> None:
        """Put the fault there and begin to count."""
        self._hit.unlink(missing_ok=True)
        written = self.path.with_suffix(".new")
        written.write_text(json.dumps(asdict(fault)), encoding="utf-8")
        written.replace(self.path)

    def clear(self) -> None:
        """Let everything go well again; what was hit stays known, and no step adds to it later."""
        with _alone_with(self.path):
            self.path.unlink(missing_ok=True)

    @property
    def hit(self) -> str | None:
        """The step that met the fault; None when none did."""
        return self._hit.read_text(encoding="utf-8") if self._hit.exists() else None


class FaultyFiles(Files):
    """`Files` with a fault at a step. Steps are counted across all threads."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._fault: Fault | None = None
        self._count = 0

    def reached(self, point: str) -> None:
        self._step(point)

    def make_directory(self, path: Path) -> None:
        self._step("make_directory")
        super().make_directory(path)

    def write_new(self, path: str | Path, content: bytes) -> None:
        self._step("write_new")
        super().write_new(path, content)

    def replace(self, path: str | Path, content: bytes, *, sync: bool) -> None:
        self._step("replace")
        super().replace(path, content, sync=sync)

    def write_over(self, path: str | Path, content: bytes) -> None:
        self._step("write_over")
        super().write_over(path, content)

    def append(self, path: str | Path, content: bytes) -> None:
        self._step("append")
        super().append(path, content)

    def move(self, path: str | Path, target: str | Path) -> None:
        self._step("move")
        super().move(path, target)

    def open_to_append(self, path: str | Path) -> int:
        self._step("open_to_append")
        return super().open_to_append(path)

    def write_at(self, descriptor: int, content: bytes | memoryview, offset: int) -> None:
        fault = self._due("write_at")
        if fault is not None:
            super().write_at(descriptor, memoryview(content)[: len(content) // 2], offset)
            _act(fault)
        super().write_at(descriptor, content, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        self._step("truncate")
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._step("sync")
        super().sync(descriptor)

    def flush(self, descriptor: int) -> None:
        self._step("flush")
        super().flush(descriptor)

    def sync_directory(self, path: str | Path) -> None:
        self._step("sync_directory")
        super().sync_directory(path)

    def publish(self, staged: str | Path, target: str | Path) -> None:
        self._step("publish")
        super().publish(staged, target)

    def remove(self, path: str | Path) -> None:
        self._step("remove")
        super().remove(path)

    def allocate(self, path: str | Path, size: int) -> None:
        self._step("allocate")
        super().allocate(path, size)

    def _step(self, name: str) -> None:
        fault = self._due(name)
        if fault is not None:
            _act(fault)

    def _due(self, name: str) -> Fault | None:
        """The fault, if it is this step's; the tests are told before anything happens."""
        with self._lock, _alone_with(self._control):
            fault = self._look()
            if fault is None:
                return None
            if _hit_file(self._control).exists():  # here, or in another process of the registry
                return fault if fault.lasts and fault.lasts_for(name) else None
            if not fault.may_come_to(name):
                return None
            self._count += 1
            if self._count != fault.at:
                return None
            _hit_file(self._control).write_text(name, encoding="utf-8")
            return fault

    def _look(self) -> Fault | None:
        """The fault that is set now; counting begins anew with each."""
        try:
            found = os.stat(self._control)
            seen = (found.st_ino, found.st_mtime_ns)
            if seen != self._seen:
                self._fault = Fault(**json.loads(self._control.read_bytes()))
                self._seen, self._count = seen, 0
        except FileNotFoundError:
            self._seen, self._fault = None, None
        return self._fault


@contextmanager
def _alone_with(control: Path) -> Iterator[None]:
    """No step of any process finds the control file, and it is not taken away, meanwhile."""
    descriptor = os.open(control.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hit_file(control: Path) -> Path:
    return control.with_suffix(".hit")


def _act(fault: Fault) -> None:
    if fault.action in ERRORS:
        raise OSError(ERRORS[fault.action], os.strerror(ERRORS[fault.action]))
    if fault.action in SQLITE_ERRORS:
        error = sqlite3.OperationalError(fault.action)
        error.sqlite_errorcode = SQLITE_ERRORS[fault.action]
        raise error
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
