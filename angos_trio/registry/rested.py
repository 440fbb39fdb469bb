"""Looks at the whole registry: dear to take, and good enough a little later."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

from angos_trio.limits.lists import STORAGE_USE_REST, STORAGE_USE_SECS

Look = TypeVar("Look")


class Rested(Generic[Look]):
    """The last look is good for half a minute, and for twenty times what it took; while one is
    taken anew, everybody else has the last one."""

    def __init__(self) -> None:
        self._last: tuple[Look] | None = None
        self._stale_at = 0.0
        self._lock = trio.Lock()

    async def look(self, take: Callable[[], Awaitable[Look]]) -> Look:
        """The last look, or a new one. Raises as taking it does."""
        if self._last is None or (self._is_stale() and not self._lock.locked()):
            async with self._lock:
                if self._last is None or self._is_stale():
                    began = time.monotonic()
                    self._last = (await take(),)
                    took = time.monotonic() - began
                    rest_secs = max(STORAGE_USE_SECS, STORAGE_USE_REST * took)
                    self._stale_at = began + took + rest_secs
        (last,) = self._last
        return last

    def _is_stale(self) -> bool:
        return time.monotonic() >= self._stale_at
