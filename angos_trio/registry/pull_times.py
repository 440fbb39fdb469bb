"""Pulls that one process saw: gathered in memory and written every few seconds, so that each costs
a look into a dictionary."""

from __future__ import annotations

from collections.abc import Callable

import trio

from angos_trio.clock import epoch_seconds
from angos_trio.limits import CLEANUP_SECS_MAX, PULLS_MAX, PULLS_SECS
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName
from angos_trio.storage.metadata import pulls
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
        self._is_missing = False
        """Whether there was no room for some: what is not in the rows may have been pulled."""
        self._was_on: bool | None = None
        self._is_failing = False

    def note(self, name: RepositoryName, reference: Reference, digest: Digest) -> None:
        """A manifest was pulled, by this tag or digest; a tag's pull is one of its digest too."""
        now = self._now()
        self._add((name, digest), now)
        if reference != digest:
            self._add((name, reference), now)

    def _add(self, key: Pulled, now: int) -> None:
        gathered = self._gathered
        known = gathered.get(key)
        if known is not None:
            gathered[key] = (known[0] + 1, now)
        elif len(gathered) < PULLS_MAX:
            gathered[key] = (1, now)
        else:
            self._is_missing = True

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
        gathered = self._gathered
        if not gathered and is_on == self._was_on and not self._is_missing:
            return
        is_missing, now = self._is_missing, self._now()
        self._gathered, self._is_missing = {}, False
        pulled = {key: Pulls(*value) for key, value in gathered.items()}

        def step(rows: Rows) -> None:
            pulls.add(rows, pulled)
            if is_on:
                pulls.begin(rows, now, anew=is_missing)
            else:
                pulls.end(rows)

        try:
            await self._stats.run(step)
            self._was_on, gathered, is_missing, self._is_failing = is_on, {}, False, False
        except OciError as error:
            if not self._is_failing:  # told once
                _log.warning("pulls.unwritten", error=str(error.__cause__ or error))
            self._is_failing = True
        finally:
            self._is_missing |= is_missing
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
