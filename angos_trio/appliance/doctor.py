"""An examination of a host: checks, each with a deadline, and what they found."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum

from angos_trio.records import Frozen


class Level(StrEnum):
    """How much it matters: all is well; good to know; may go wrong; goes wrong."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"
    BAD = "bad"


class Finding(Frozen):
    """What was seen, and what to do about it where there is something to do."""

    level: Level
    saw: str
    cure: str | None = None

    @property
    def is_bad(self) -> bool:
        """Whether the registry cannot work, or loses something."""
        return self.level is Level.BAD


Look = Callable[[], Iterable[Finding]]
"""A check. It may fail in any way."""


def ok(saw: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, saw)


def note(saw: str, cure: str | None = None) -> Finding:
    """Good to know."""
    return Finding(Level.NOTE, saw, cure)


def warn(saw: str, cure: str) -> Finding:
    """It may go wrong."""
    return Finding(Level.WARN, saw, cure)


def bad(saw: str, cure: str) -> Finding:
    """It goes wrong."""
    return Finding(Level.BAD, saw, cure)


def examine(checks: Mapping[str, Look], secs_max: float) -> Iterator[tuple[str, Finding]]:
    """What each check finds, with its name, in their order; one after the other, since one of them
    measures. A check that takes longer than `secs_max`, or fails, is a finding of its own, after
    what it had found."""
    for name, look in checks.items():
        for finding in _found(look, secs_max):
            yield name, finding


def _found(look: Look, secs_max: float) -> Iterator[Finding]:
    answers: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()
    # A daemon: what hangs in the kernel must not keep the command from ending.
    threading.Thread(target=_look, args=(look, answers.put), daemon=True).start()
    ends_at = time.monotonic() + secs_max
    nothing = "nothing"
    while True:
        try:
            finding = answers.get(timeout=max(0.0, ends_at - time.monotonic()))
        except queue.Empty:
            yield warn(
                f"{nothing} was found out within {secs_max:.0f} s",
                "look whether a disk or a server of names does not answer, then ask again",
            )
            return
        if finding is None:
            return
        nothing = "nothing more"
        yield finding


def _look(look: Look, tell: Callable[[Finding | None], None]) -> None:
    """Tell what is found as it is found, and None at the end."""
    try:
        for finding in look():
            tell(finding)
    except PermissionError as error:
        what = f"{error.filename}: " if error.filename else ""
        tell(note(f"cannot be seen by this user: {what}{error.strerror}", "ask again as root"))
    except Exception as error:
        tell(
            warn(
                f"the check itself failed: {type(error).__name__}: {error}",
                "look at this by hand, and tell the makers of angos-trio",
            )
        )
    tell(None)
