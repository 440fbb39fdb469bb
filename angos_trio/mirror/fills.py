"""Blobs that are on their way: each is fetched once, whoever and however many ask, in whichever
process, and whoever asks reads along in what has arrived.

A fill is a push by the upstream: its bytes arrive in an upload session, are verified there and take
their final name in the one way that there is. Those who read along are sent from its file: all but
the last 64 KiB of what they want as they arrive, and the rest once all is verified, before it is
synced; in another process, once it has its name. Where it fails their connection is ended.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Final

import trio

from angos_trio.limits.mirror import (
    FILL_LOOK_SECS,
    FILL_SPAN_BYTES,
    FILLS_MAX,
    HELD_BACK_BYTES,
)
from angos_trio.limits.storage import CLEANUP_SECS_MAX
from angos_trio.mirror.failures import NotThere, Unsaved, UpstreamError
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.records import Frozen, Mutable, field
from angos_trio.registry.pull import BrokenOffError, Span
from angos_trio.storage.metadata import blobs, fills
from angos_trio.storage.metadata.fills import OngoingFill
from angos_trio.storage.store import Storage
from angos_trio.telemetry.log import logger

_log = logger("mirror")
Told = Callable[[SessionId, int | None], Awaitable[None]]
"""Is told in which session the bytes arrive, and how many there will be, if that is known."""


class Progress(Frozen):
    """Who is told how a blob comes: in which session, how far, and that all of it is right."""

    told: Told
    arrived: Callable[[int], Awaitable[None]]
    verified: Callable[[], None]


Fetch = Callable[[Progress], Awaitable[None]]
"""Fetches a blob and makes it visible. Raises NotThere, Unsaved, UpstreamError or OciError."""
FORESEEN: Final = (NotThere, Unsaved, UpstreamError, BrokenOffError, OciError)


class Fill(Mutable, eq=False):
    """One blob on its way, as this process sees it. `available` are the bytes that have arrived."""

    name: RepositoryName
    digest: Digest
    size: int | None = None
    session: SessionId | None = None
    available: int = 0
    is_done: bool = False
    is_verified: bool = False
    """Whether all its bytes are in the file and right, though the disk may still be at it."""
    is_read: bool = False
    """Whether somebody may have been given some of it."""
    error: Exception | None = None
    descriptor: int = -1
    _moved: trio.Event = field(default_factory=trio.Event)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self.is_done or self.error is not None

    def begin(self, session: SessionId, size: int | None) -> None:
        """Bytes arrive."""
        self.session, self.size = session, size

    def forget(self) -> None:
        """What arrived is worth nothing, and nobody was given any of it."""
        self.session, self.size, self.available, self.is_verified = None, None, 0, False
        self.close()

    def arrive(self, available: int) -> None:
        """So many bytes are in the file."""
        if available != self.available:
            self.available = available
            self.wake()

    def verify(self) -> None:
        """All bytes are right: who reads along need not wait for the disk."""
        self.is_verified = True
        self.wake()

    def end(self, error: Exception | None) -> None:
        """All is here and right; or not, and why."""
        if error is None:
            self.is_done = True
        else:
            self.error = error
        self.wake()

    def wake(self) -> None:
        """Something has changed, for all who wait."""
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    async def change(self) -> None:
        """Wait for something to change."""
        await self._moved.wait()

    def close(self) -> None:
        """Nobody looks any more; who reads along has a descriptor of their own."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Fills:
    """All fills of this process; `run` owns them, so that no client who leaves ends one."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._ongoing: dict[tuple[RepositoryName, Digest], Fill] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Let fills go on, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def join(self, name: RepositoryName, digest: Digest, fetch: Fetch) -> Reading | None:
        """A way through the fill of a blob, begun if nobody does so yet, once there is something to
        send; None when the blob is here by then.

        Raises what `fetch` raised where it ended before that; UNAVAILABLE (503) where too many are
        on their way.
        """
        key = (name, digest)
        fill = self._ongoing.get(key)
        if fill is None:
            if self._nursery is None or len(self._ongoing) >= FILLS_MAX:
                message = "no more blobs can be fetched now"
                raise OciError(Code.UNAVAILABLE, status=503, message=message)
            fill = self._ongoing[key] = Fill(name, digest)
            self._nursery.start_soon(self._run, fill, fetch)
        while not fill.is_over and fill.available <= HELD_BACK_BYTES:
            await fill.change()  # nobody could be sent anything yet
        if fill.error is not None:
            raise fill.error
        if fill.is_done:
            return None
        fill.is_read = True
        return Reading(fill, os.dup(fill.descriptor))

    async def _run(self, fill: Fill, fetch: Fetch) -> None:
        error: Exception | None = UpstreamError("the registry is stopping", status=503)
        try:
            await self._fetch_or_follow(fill, fetch)
            error = None
        except Exception as raised:
            error = raised
            if not isinstance(error, FORESEEN):
                _log.exception("fill.crashed", namespace=fill.name, digest=fill.digest)
        finally:
            del self._ongoing[fill.name, fill.digest]
            fill.end(error)
            fill.close()
        if isinstance(error, (UpstreamError, BrokenOffError, OciError)):
            reason = str(error)
            _log.warning("fill.failed", namespace=fill.name, digest=fill.digest, reason=reason)

    async def _fetch_or_follow(self, fill: Fill, fetch: Fetch) -> None:
        shared = self._storage.shared
        while True:
            found = await shared.run(partial(fills.find, name=fill.name, digest=fill.digest))
            if found is not None and shared.is_alive(found.holder):
                if await self._follow(fill, found):
                    return
                continue
            held_by = None if found is None else found.holder
            claim = partial(
                fills.claim,
                name=fill.name,
                digest=fill.digest,
                holder=shared.me,
                held_by=held_by,
            )
            if await shared.run(claim):
                await self._fetch(fill, fetch)
                return

    async def _fetch(self, fill: Fill, fetch: Fetch) -> None:
        shared = self._storage.shared
        name, digest, me = fill.name, fill.digest, shared.me

        async def told(session: SessionId, size: int | None) -> None:
            fill.begin(session, size)
            await shared.run(
                lambda rows: fills.tell(rows, name, digest, me, session=session, size=size)
            )

        async def arrived(available: int) -> None:
            if await self._has_file(fill):
                fill.arrive(available)

        try:
            await fetch(Progress(told, arrived, fill.verify))
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECS_MAX):
                await shared.run(lambda rows: fills.release(rows, name, digest, me))

    async def _follow(self, fill: Fill, found: OngoingFill | None) -> bool:
        """Wait for another process; whether the blob is here then. Raises UpstreamError when it
        failed after somebody here had begun to read along."""
        shared = self._storage.shared
        while found is not None and shared.is_alive(found.holder):
            if found.session is not None and fill.session is None:
                fill.begin(found.session, found.size)
            await trio.sleep(FILL_LOOK_SECS)
            if await self._has_file(fill):
                fill.arrive(os.fstat(fill.descriptor).st_size)
            found = await shared.run(partial(fills.find, name=fill.name, digest=fill.digest))
        held = await self._storage.read_point(
            lambda rows: blobs.find_held(rows, fill.name, fill.digest)
        )
        if held is None and fill.is_read:
            raise UpstreamError("the process that fetched it could not", status=502)
        if held is None:
            fill.forget()
        return held is not None

    async def _has_file(self, fill: Fill) -> bool:
        """Whether the file that the bytes arrive in is open, for all who read along."""
        if fill.descriptor < 0 and fill.session is not None:
            found = await trio.to_thread.run_sync(self._storage.open_arriving, fill.session)
            fill.descriptor = -1 if found is None else found
        return fill.descriptor >= 0


class Reading(Mutable):
    """One client's way through a fill: a blob that is `Arriving`, by a descriptor of its own."""

    fill: Fill
    descriptor: int

    @property
    def size(self) -> int | None:
        """Bytes, if the upstream said so."""
        return self.fill.size

    async def pieces(self, offset: int, end: int | None) -> AsyncGenerator[Span, None]:
        """Where the bytes from an offset to an end are, or to the end that the blob will have.

        Raises BrokenOffError where it does not become whole, or is not right.
        """
        while True:
            until = self._until(end)
            if offset < until:
                length = min(FILL_SPAN_BYTES, until - offset)
                yield Span(self.descriptor, offset, length)
                offset += length
            elif self.fill.is_done or self.fill.is_verified:
                return
            else:
                await self.fill.change()

    async def wait(self) -> None:
        """Return when the blob is here. Raises BrokenOffError where it does not become whole."""
        while not self.fill.is_over:
            await self.fill.change()
        if self.fill.error is not None:
            raise BrokenOffError(str(self.fill.error)) from self.fill.error

    def _until(self, end: int | None) -> int:
        """How far may be read now. Raises BrokenOffError."""
        fill = self.fill
        if fill.is_done or fill.is_verified:  # whatever becomes of it on the disk
            whole = os.fstat(self.descriptor).st_size
            return whole if end is None else min(end, whole)
        if fill.error is not None:
            raise BrokenOffError(str(fill.error)) from fill.error
        if end is None:
            return fill.available - HELD_BACK_BYTES
        return min(fill.available, end - HELD_BACK_BYTES)

    def close(self) -> None:
        """Close the descriptor; twice is fine."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
