"""An examination of a host: checks, each with a deadline, and what they found."""

from __future__ import annotations

import queue
import threading
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
    measures. A check that takes longer than `secs_max`, or fails, is a finding of its own."""
    for name, look in checks.items():
        for finding in _found(look, secs_max):
            yield name, finding


def _found(look: Look, secs_max: float) -> list[Finding]:
    answers: queue.SimpleQueue[list[Finding]] = queue.SimpleQueue()
    # A daemon: what hangs in the kernel must not keep the command from ending.
    threading.Thread(target=lambda: answers.put(_looked(look)), daemon=True).start()
    try:
        return answers.get(timeout=secs_max)
    except queue.Empty:
        return [
            warn(
                f"nothing was found out within {secs_max:.0f} s",
                "look whether a disk or a server of names does not answer, then ask again",
            )
        ]


def _looked(look: Look) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(look())  # what was found before it failed stays
    except PermissionError as error:
        what = f"{error.filename}: " if error.filename else ""
        found.append(
            note(f"cannot be seen by this user: {what}{error.strerror}", "ask again as root")
        )
    except Exception as error:
        found.append(
            warn(
                f"the check itself failed: {type(error).__name__}: {error}",
                "look at this by hand, and tell the makers of angos-trio",
            )
        )
    return found
