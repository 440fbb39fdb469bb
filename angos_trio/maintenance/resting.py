"""Looks at many rows, a page at a time, that leave everybody else their turn."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Outcome, Rows


async def read_and_rest(storage: Storage, query: Callable[[Rows], Outcome], rest: float) -> Outcome:
    """One page; then a rest of so many times as long as it took."""
    begun_at = time.monotonic()
    found = await storage.read(query)
    await trio.sleep(rest * (time.monotonic() - begun_at))
    return found
