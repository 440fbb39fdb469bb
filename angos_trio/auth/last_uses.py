"""When API keys were last used: gathered in memory and written now and then, so that no pull ever
waits for the write lock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from angos_trio.clock import epoch_seconds
from angos_trio.limits.callers import LAST_USE_SECS, LAST_USES_MAX
from angos_trio.limits.storage import CLEANUP_SECS_MAX
from angos_trio.oci.codes import OciError
from angos_trio.storage.metadata import api_keys
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Transaction


class LastUses:
    """What one process saw of keys that were used since it last wrote."""

    def __init__(self, storage: Storage, now: Callable[[], int] = epoch_seconds) -> None:
        self._storage = storage
        self._now = now
        self._used_at: dict[str, int] = {}

    def note(self, key_id: str) -> None:
        """The key of this id, which was found and is right, is used now."""
        if key_id in self._used_at or len(self._used_at) < LAST_USES_MAX:
            self._used_at[key_id] = self._now()

    async def run(self) -> None:
        """Write each minute until cancelled, and then what is left, as long as the disk lets us."""
        try:
            while True:
                await trio.sleep(LAST_USE_SECS)
                await self.flush()
        finally:
            with trio.move_on_after(CLEANUP_SECS_MAX, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write what was gathered in one step; what cannot be written waits for the next time."""
        used_at = dict(self._used_at)
        if not used_at:
            return

        def step(transaction: Transaction) -> None:
            api_keys.touch(transaction.rows, used_at)

        with suppress(OciError):
            await self._storage.write(step)
            self._used_at = {key: at for key, at in self._used_at.items() if at != used_at.get(key)}
