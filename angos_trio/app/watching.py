"""What a service of the steward looks at each few seconds, and says when it has changed."""

from __future__ import annotations

import trio

from angos_trio.limits.processes import WATCH_STORAGE_SECS
from angos_trio.records import Mutable
from angos_trio.registry.context import Registry
from angos_trio.registry.read_only import find_read_only
from angos_trio.storage.metadata.switches import Switched
from angos_trio.storage.store import Space
from angos_trio.telemetry.log import logger

_log = logger("steward")


class Watch(Mutable):
    """Whether new content is taken in. What is so at the first look is said if it is unusual."""

    registry: Registry
    _was_full: bool = False
    _was_read_only: bool = False

    async def run(self) -> None:
        """Look again and again, until cancelled. Raises UNAVAILABLE when the disk is silent."""
        storage = self.registry.storage
        while True:
            self.see_space(await trio.to_thread.run_sync(storage.space))
            self.see_switch(await find_read_only(self.registry))
            await trio.sleep(WATCH_STORAGE_SECS)

    def see_space(self, space: Space) -> None:
        """Say when the disk goes below the reserve, and when it has room again."""
        is_full = not space.is_enough
        if is_full and not self._was_full:
            _log.error(
                "storage.full", free_bytes=space.free_bytes, reserve_bytes=space.reserve_bytes
            )
        elif self._was_full and not is_full:
            _log.info(
                "storage.has_room", free_bytes=space.free_bytes, reserve_bytes=space.reserve_bytes
            )
        self._was_full = is_full

    def see_switch(self, found: Switched | None) -> None:
        """Say when the registry becomes read-only, and when it takes changes again."""
        if found is not None and not self._was_read_only:
            _log.warning("read_only.on", since=found.since, by=found.by)
        elif found is None and self._was_read_only:
            _log.warning("read_only.off")
        self._was_read_only = found is not None
