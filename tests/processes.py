"""A process and those that it started, as /proc tells of them."""

from __future__ import annotations

import time
from pathlib import Path

END_SECS_MAX = 10.0
POLL_SECS = 0.005


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        found = children.read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        found = []
    return [pid, *(member for child in found for member in family(int(child)))]


def is_running(pid: int) -> bool:
    """Whether any thread of the process is there: its first one may have ended before the others,
    which still hold files and locks. One that was not waited for is not running."""
    try:
        states = [_state(task) for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(state not in "ZX" for state in states)


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def wait_until_gone(pids: list[int]) -> None:
    """Return when none of them runs. Raises TimeoutError after 10 s."""
    deadline = time.monotonic() + END_SECS_MAX
    while left := [pid for pid in pids if is_running(pid)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} have not ended")
        time.sleep(POLL_SECS)
