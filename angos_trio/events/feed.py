"""The live feed: everybody who listens follows the outbox with a cursor of their own.

Nothing is kept for a listener but its place, so a slow one costs no memory: the table is the
buffer. One look a few times a second serves all listeners of a process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from angos_trio.limits.lists import EVENTS_LISTENERS_MAX, EVENTS_PAGE, EVENTS_POLL_SECS
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen
from angos_trio.storage.metadata import events as outbox
from angos_trio.storage.metadata.events import Stored
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows


class Page(Frozen):
    """What comes after a cursor. `newest` is the highest id there is.

    `is_broken`: what came right after the cursor is gone, or the cursor is of another database.
    """

    events: Sequence[Stored]
    newest: int
    is_broken: bool


class Feed:
    """The outbox of a process, for as many listeners as there are."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._newest = 0
        self._is_looking = False
        self._news = trio.Event()
        self._listeners: Counter[str] = Counter()

    async def newest(self) -> int:
        """The highest id there is. Raises UNAVAILABLE (503)."""
        return await self._storage.read_point(outbox.newest)

    async def read(self, cursor: int) -> Page:
        """The next events after a cursor; 0 is before everything that is kept.

        Raises UNAVAILABLE (503).
        """

        def query(rows: Rows) -> Page:
            found = outbox.after(rows, cursor, EVENTS_PAGE)
            # In this order: what is removed or comes meanwhile is told rather than missed.
            oldest, newest = outbox.oldest(rows), outbox.newest(rows)
            return Page(found, newest, cursor > newest or 0 < cursor < oldest - 1)

        return await self._storage.read(query)

    async def wait(self, cursor: int) -> None:
        """Return when there is an event after the cursor; the caller sets the deadline.

        Raises UNAVAILABLE (503). The first who waits looks for all others; when it stops, another
        does.
        """
        while self._newest <= cursor:
            if self._is_looking:
                await self._news.wait()
            else:
                await self._look_until_after(cursor)

    async def _look_until_after(self, cursor: int) -> None:
        self._is_looking = True
        try:
            while self._newest <= cursor:
                await trio.sleep(EVENTS_POLL_SECS)
                newest = await self.newest()
                if newest != self._newest:
                    self._newest = newest
                    self._tell()
        finally:
            self._is_looking = False
            self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()

    def require_place(self, who: str) -> None:
        """Raise TOOMANYREQUESTS (429) when this caller listens too often already."""
        if self._listeners[who] >= EVENTS_LISTENERS_MAX:
            raise OciError(
                Code.TOOMANYREQUESTS,
                message=f"there are {EVENTS_LISTENERS_MAX} listeners of this caller already",
                detail=EVENTS_LISTENERS_MAX,
                headers={"Retry-After": "5"},
            )

    @contextmanager
    def place(self, who: str) -> Iterator[None]:
        """A listener of this caller. Raises TOOMANYREQUESTS (429)."""
        self.require_place(who)
        self._listeners[who] += 1
        try:
            yield
        finally:
            self._listeners[who] -= 1
            if self._listeners[who] == 0:
                del self._listeners[who]
