"""Pulls that one process saw: gathered in memory and written every few seconds, so that each costs
a look into a dictionary and a tuple."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import trio

from angos_trio.clock import epoch_seconds
from angos_trio.identity import NOWHERE, Origin
from angos_trio.limits.storage import (
    CLEANUP_SECS_MAX,
    PULL_LINES_WAITING_MAX,
    PULLS_MAX,
    PULLS_SECS,
)
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName
from angos_trio.storage.metadata import pull_history, pulls
from angos_trio.storage.metadata.pull_history import Line
from angos_trio.storage.metadata.pulls import Pulled, Pulls
from angos_trio.storage.stats import Stats
from angos_trio.storage.transactions import Rows
from angos_trio.telemetry.log import logger

_log = logger("registry.pull_times")


class PullTimes:
    """What was pulled since it was last written."""

    def __init__(self, stats: Stats, now: Callable[[], int] = epoch_seconds) -> None:
        self._stats = stats
        self._now = now
        self._gathered: dict[Pulled, tuple[int, int]] = {}
        self._lines = _lines_of()
        """Of the newest pulls who it was and how; those that there is no room for are counted."""
        self._is_missing = False
        """Whether there was no room for some: what is not in the rows may have been pulled."""
        self._was_on: bool | None = None
        self._is_failing = False

    def note(
        self,
        name: RepositoryName,
        reference: Reference,
        digest: Digest,
        by: str = "",
        origin: Origin = NOWHERE,
    ) -> None:
        """A manifest was pulled by somebody, by this tag or digest; a tag's pull is one of its
        digest too."""
        now = self._now()
        is_counted = self._add((name, digest), now)
        tag = None if reference == digest else reference
        if tag is not None:
            self._add((name, tag), now)
        if is_counted:  # what has no count is never looked at again, to be forgotten
            line = Line(name, digest, tag, now, by, origin.client, origin.address)
            self._lines.append(line)

    def _add(self, key: Pulled, now: int) -> bool:
        gathered = self._gathered
        known = gathered.get(key)
        if known is not None:
            gathered[key] = (known[0] + 1, now)
        elif len(gathered) < PULLS_MAX:
            gathered[key] = (1, now)
        else:
            self._is_missing = True
            return False
        return True

    async def run(self, is_on: Callable[[], bool]) -> None:
        """Write every few seconds until cancelled, and then what is left, as long as the disk lets
        us; `is_on` says whether pulls are noted now."""
        try:
            while True:
                await self.flush(is_on=is_on())
                await trio.sleep(PULLS_SECS)
        finally:
            with trio.move_on_after(CLEANUP_SECS_MAX, shield=True):
                await self.flush(is_on=is_on())

    async def flush(self, *, is_on: bool = True) -> None:
        """Write what was gathered in one change; what cannot be written waits for the next time."""
        gathered, lines = self._gathered, self._lines
        if not gathered and is_on == self._was_on and not self._is_missing:
            return
        is_missing, now = self._is_missing, self._now()
        self._gathered, self._lines, self._is_missing = {}, _lines_of(), False
        pulled = {key: Pulls(*value) for key, value in gathered.items()}

        def step(rows: Rows) -> None:
            pulls.add(rows, pulled)
            pull_history.record(rows, pulled, lines, now)
            if is_on:
                pulls.begin(rows, now, anew=is_missing)
            else:
                pulls.end(rows)

        try:
            await self._stats.run(step)
            self._was_on, gathered, is_missing, self._is_failing = is_on, {}, False, False
            lines = _lines_of()
        except OciError as error:
            if not self._is_failing:  # told once
                _log.warning("pulls.unwritten", error=str(error.__cause__ or error))
            self._is_failing = True
        finally:
            self._is_missing |= is_missing
            self._lines = _lines_of([*lines, *self._lines])
            for key, (count, at) in gathered.items():
                self._put_back(key, count, at)

    def _put_back(self, key: Pulled, count: int, at: int) -> None:
        """What was not written and what came meanwhile."""
        known = self._gathered.get(key)
        if known is not None:
            self._gathered[key] = (known[0] + count, max(known[1], at))
        elif len(self._gathered) < PULLS_MAX:
            self._gathered[key] = (count, at)
        else:
            self._is_missing = True


def _lines_of(lines: Iterable[Line] = ()) -> deque[Line]:
    """The newest of some, in order of time."""
    return deque(lines, PULL_LINES_WAITING_MAX)
