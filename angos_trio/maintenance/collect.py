"""Online collection: what nothing refers to and whose lease is over goes, a little at a time.

Each step is a short transaction that looks at what is due (see `storage.metadata.leases`) and
judges it again under the write lock, so that a push, a mount or a promise that came first has won.
What a manifest alone referred to is due as soon as that is gone: nested indexes go in one run.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar, Final

import trio

from angos_trio.events.model import Event, EventKind, record
from angos_trio.limits.housekeeping import (
    CLOCK_STEP_SECS,
    COLLECT_REST,
    COLLECT_ROWS,
    COLLECT_SECS,
    COLLECT_STEP_SECS,
    SKIPPED_SECS,
)
from angos_trio.maintenance.told import tell_ended
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.policy.reclaim import Hold, Keeper, Terms, Verdict, judge
from angos_trio.records import Mutable, asdict, field
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.storage.metadata import blobs, leases, manifests, namespaces, reclaims
from angos_trio.storage.metadata.leases import FIRST, NOTHING_GONE, Due
from angos_trio.storage.reclaiming import reclaim_unheld, settle
from angos_trio.storage.transactions import Rows, Transaction
from angos_trio.telemetry.log import logger

_log = logger("maintenance.collect")
ACTOR: Final = "registry::collection"
"""Who did it, in events."""


class Collected(Mutable):
    """What a run has given back: manifests and holds of namespaces, blobs that nobody holds any
    more, and their bytes."""

    manifests: int = 0
    holds: int = 0
    blobs: int = 0
    bytes: int = 0

    def add(self, other: Collected) -> None:
        """Count another's too."""
        self.manifests += other.manifests
        self.holds += other.holds
        self.blobs += other.blobs
        self.bytes += other.bytes

    @property
    def is_any(self) -> bool:
        """Whether there is something."""
        return bool(self.manifests or self.holds or self.blobs)


def terms_of(registry: Registry, *, early_secs: int = 0) -> Terms:
    """The rules of a collection that begins now."""
    return Terms(registry.now(), early_secs, registry.limits.untagged_secs)


class _Looked(Mutable):
    """What a step came to: the last that it looked at, None when nothing was due."""

    last: Due | None
    secs: float
    found: Collected


class Collector(Mutable):
    """One for the instance. `current` gives the registry with the limits in force; `monotonic` is
    the clock that nobody sets."""

    current: Callable[[], Registry]
    monotonic: Callable[[], float] = time.monotonic
    count: Callable[[int, int, int, int], None] = lambda *counts: None
    """Told of manifests, holds, blobs and bytes that went."""
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _clocks: tuple[int, float] | None = None

    async def run(self) -> None:
        """Collect again and again, until cancelled; not while the registry is read-only."""
        while True:
            with suppress(ReadOnlyError):
                await self.collect()
            await trio.sleep(COLLECT_SECS)

    async def collect(self, *, early_secs: int = 0) -> Collected:
        """One run to its end; what it gave back.

        Raises UNAVAILABLE when the disk refuses, ReadOnlyError (405) while, or as soon as, the
        registry is read-only.
        """
        async with self._turn:
            begun_at = self.monotonic()
            await self.current().require_changeable()
            # First: on a full disk an earlier run may have ended before it came to that.
            await self._empty_trash()
            found = Collected()
            await self._settle()
            terms = terms_of(self.current(), early_secs=early_secs)
            await self._notice_clock(terms.now)
            while await self._pass(terms, found):
                await trio.lowlevel.checkpoint()
            await self._settle()
            await self._empty_trash()
            if found.is_any:
                self.count(found.manifests, found.holds, found.blobs, found.bytes)
                _log.info(
                    "collected",
                    manifests=found.manifests,
                    holds=found.holds,
                    blobs=found.blobs,
                    bytes=found.bytes,
                    duration_secs=round(self.monotonic() - begun_at, 3),
                )
                await tell_ended(self.current(), EventKind.GC_ENDED, ACTOR, asdict(found))
            return found

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Meanwhile no file leaves `blobs/`, and none is unlinked."""
        async with self._turn:
            yield

    async def _empty_trash(self) -> None:
        """A file that cannot be unlinked stops nothing: what is in the trash is nobody's."""
        try:
            await self.current().storage.empty_trash()
        except OciError as error:
            _log.warning("trash.not_emptied", error=str(error.__cause__ or error))

    async def _notice_clock(self, now: int) -> None:
        """A clock that was set may have ended every lease: all begin anew. `now` is the time by
        which the run that follows judges."""
        clocks = now, self.monotonic()
        before, self._clocks = self._clocks, clocks
        if before is None:
            return
        step_secs = (clocks[0] - before[0]) - (clocks[1] - before[1])
        if abs(step_secs) < CLOCK_STEP_SECS:
            return
        _log.warning("clock.stepped", secs=round(step_secs))
        lease_until = clocks[0] + self.current().limits.lease_secs

        def step(transaction: Transaction) -> int:
            return leases.extend(transaction.rows, lease_until, COLLECT_ROWS)

        try:
            while await self.current().change(step, makes_room=True):
                await trio.lowlevel.checkpoint()
        except BaseException:
            self._clocks = before  # it is noticed again
            raise

    async def _settle(self) -> None:
        """See to files that should have gone to the trash: after a crash, or a disk's refusal."""
        after = ""
        while True:
            find = partial(reclaims.pending, after=after, limit=COLLECT_ROWS)
            pending = await self.current().storage.read(find)
            if not pending:
                return
            await self.current().change(partial(settle, digests=pending), makes_room=True)
            after = pending[-1]

    async def _pass(self, terms: Terms, found: Collected) -> bool:
        """Look at all that is due once; whether manifests went, whose parts may be due now."""
        before = found.manifests
        look_secs = self.current().limits.lease_secs // 2
        await self._sweep(_Manifests(terms, look_secs), found)
        if terms.untagged_secs is not None:
            await self._sweep(_Untagged(terms, look_secs), found)
        await self._sweep(_Blobs(terms, look_secs), found)
        return found.manifests > before

    async def _sweep(self, sweep: _Sweep, found: Collected) -> None:
        storage, after = self.current().storage, FIRST
        while await storage.read(partial(sweep.due, after=after, limit=1)):
            uploading = await storage.sessions.namespaces()
            step = partial(self._step, sweep=sweep, after=after, uploading=uploading)
            looked = await self.current().change(step, makes_room=True)
            if looked.last is None:
                return
            found.add(looked.found)
            after = looked.last
            await trio.sleep(COLLECT_REST * looked.secs)

    def _step(
        self, transaction: Transaction, sweep: _Sweep, after: Due, uploading: Collection[str]
    ) -> _Looked:
        """Runs in the writer thread."""
        begun_at, last, found = self.monotonic(), None, Collected()
        name_of = cache(partial(namespaces.name_of, transaction.rows))
        for due in sweep.due(transaction.rows, after, COLLECT_ROWS):
            last, name = due, name_of(due.namespace)
            if name is None:  # damage, which scrub sees to
                continue
            try:
                namespace, has_upload = RepositoryName(name), name in uploading
                found.add(sweep.look(transaction, namespace, due, has_upload=has_upload))
            except OciError as error:  # damage too: it must not stop the rest
                _log.warning("collect.skipped", namespace=name, digest=due.digest, error=str(error))
                sweep.skip(transaction.rows, due)
            if self.monotonic() - begun_at > COLLECT_STEP_SECS:
                break
        return _Looked(last, self.monotonic() - begun_at, found)


@dataclass(frozen=True, slots=True)
class _Sweep(ABC):
    """One way through what is due."""

    terms: Terms
    upload_look_secs: int
    is_manifest: ClassVar[bool] = True

    @abstractmethod
    def due(self, rows: Rows, after: Due, limit: int) -> list[Due]:
        """What to look at, in order."""

    @abstractmethod
    def hold(self, rows: Rows, due: Due, *, has_upload: bool) -> Hold | None:
        """All that may keep it; None when it is gone."""

    @abstractmethod
    def keep(self, rows: Rows, due: Due, hold: Hold, verdict: Verdict, look_at: int) -> None:
        """It stays; look again then, 0: once a reference goes."""

    @abstractmethod
    def drop(self, transaction: Transaction, name: RepositoryName, due: Due) -> Collected:
        """It goes."""

    def skip(self, rows: Rows, due: Due) -> None:
        """It cannot be judged: look again in a day."""
        until = self.terms.due_before + SKIPPED_SECS
        leases.postpone(rows, due, is_manifest=self.is_manifest, until=until)

    def look(
        self, transaction: Transaction, name: RepositoryName, due: Due, *, has_upload: bool
    ) -> Collected:
        """Judge one, and let it go or say when to look again."""
        hold = self.hold(transaction.rows, due, has_upload=has_upload)
        if hold is None:
            return Collected()
        verdict = judge(hold, self.terms)
        if not verdict.is_kept:
            return self.drop(transaction, name, due)
        if verdict.keeper is not Keeper.LEASE:
            is_uploading = verdict.keeper is Keeper.UPLOAD
            look_at = self.terms.due_before + self.upload_look_secs if is_uploading else 0
            self.keep(transaction.rows, due, hold, verdict, look_at)
        return Collected()


class _Manifests(_Sweep):
    """Manifests whose lease is over."""

    __slots__ = ()

    def due(self, rows: Rows, after: Due, limit: int) -> list[Due]:
        return leases.due_manifests(rows, self.terms.due_before, after, limit)

    def hold(self, rows: Rows, due: Due, *, has_upload: bool) -> Hold | None:
        return leases.hold_of_manifest(rows, due, gone=NOTHING_GONE, has_upload=has_upload)

    def keep(self, rows: Rows, due: Due, hold: Hold, verdict: Verdict, look_at: int) -> None:
        untagged_at = None if verdict.is_referred_to else hold.untagged_at
        leases.keep_manifest(rows, due, look_at, untagged_at)

    def drop(self, transaction: Transaction, name: RepositoryName, due: Due) -> Collected:
        drop_manifest(transaction, name, due, self.terms.now)
        return Collected(manifests=1)


class _Untagged(_Manifests):
    """Those that policy has kept so far."""

    __slots__ = ()

    def due(self, rows: Rows, after: Due, limit: int) -> list[Due]:
        before = self.terms.now - (self.terms.untagged_secs or 0)
        return leases.untagged_manifests(rows, before, after, limit)


class _Blobs(_Sweep):
    """Holds of namespaces on blobs whose lease is over."""

    __slots__ = ()
    is_manifest = False

    def due(self, rows: Rows, after: Due, limit: int) -> list[Due]:
        return leases.due_blobs(rows, self.terms.due_before, after, limit)

    def hold(self, rows: Rows, due: Due, *, has_upload: bool) -> Hold | None:
        return leases.hold_of_blob(rows, due, gone=NOTHING_GONE, has_upload=has_upload)

    def keep(self, rows: Rows, due: Due, hold: Hold, verdict: Verdict, look_at: int) -> None:
        leases.keep_blob(rows, due, look_at)

    def drop(self, transaction: Transaction, name: RepositoryName, due: Due) -> Collected:
        digest = Digest(due.digest)
        blobs.release(transaction.rows, due.namespace, digest)
        size = reclaim_unheld(transaction, digest)
        return Collected(holds=1, blobs=int(size is not None), bytes=size or 0)


def drop_manifest(
    transaction: Transaction, name: RepositoryName, due: Due, now: int, by: str = ACTOR
) -> None:
    """Remove a manifest that nothing keeps; what it alone referred to is due at once."""
    rows, digest = transaction.rows, Digest(due.digest)
    leases.lose_manifest(rows, due.namespace, digest, now)
    manifests.delete(rows, due.namespace, digest)
    record(rows, Event(EventKind.MANIFEST_DELETED, name, now, by, {"digest": digest}))
