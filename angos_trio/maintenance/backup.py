"""A backup: the databases as of one moment, then the files of their rows.

While it is made no file leaves the registry: whoever makes it holds the collection up, and makes
sure that this was so to the end before the new backup takes the place of an earlier one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import trio

from angos_trio import __version__
from angos_trio.errors import OperatorError, cause_and_cure, only_error
from angos_trio.limits.housekeeping import BACKUP_DAMAGE_TOLD_MAX, BACKUP_PREFIXES, BACKUP_THREADS
from angos_trio.limits.storage import CLEANUP_SECS_MAX
from angos_trio.maintenance.collect import Collector
from angos_trio.oci.digest import Digest
from angos_trio.records import Frozen, Mutable, field
from angos_trio.storage import backup_databases, backup_files, backup_place
from angos_trio.storage.backup_files import PREFIXES, Taken, Taker
from angos_trio.storage.backup_place import BackupPlace, BackupRecord, DatabaseFile
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files, is_disk_full
from angos_trio.storage.metadata import backups
from angos_trio.storage.metadata.backups import Counts
from angos_trio.storage.snapshots import METADATA, Snapshot
from angos_trio.storage.transactions import Rows, Transaction

Outcome = TypeVar("Outcome")
_SECONDS_OF_NOTHING: Final = 1e-9


class Progress(Mutable):
    """How far a command is: of so many blobs and bytes."""

    blobs: int = 0
    bytes: int = 0
    blobs_done: int = 0
    bytes_read: int = 0
    begun_at: float = field(default_factory=time.monotonic)

    def expect(self, counts: Counts) -> None:
        """So much there is to do."""
        self.blobs, self.bytes = counts.blobs, counts.bytes

    def passed(self, size: int) -> None:
        """So many bytes of files went by. Called in threads: a count that is told may lag."""
        self.bytes_read += size

    @property
    def bytes_per_sec(self) -> int:
        """Read so far."""
        return int(self.bytes_read / (time.monotonic() - self.begun_at + _SECONDS_OF_NOTHING))


class Held(Frozen):
    """What a backup is made from: a snapshot, and a registry from which no file goes meanwhile.

    `confirm` raises OperatorError when that has not been so all the time.
    """

    directory: DataDirectory
    snapshot: Snapshot
    confirm: Callable[[], Awaitable[None]]


class Made(Mutable):
    """A backup that was made. `lost` are the first of those that could not be taken."""

    record: BackupRecord
    kept: int = 0
    linked: int = 0
    copied: int = 0
    copied_bytes: int = 0
    dropped: int = 0
    lost: list[Digest] = field(default_factory=list)

    def add(self, taken: Taken) -> None:
        """Count what was taken of a prefix."""
        self.kept += taken.kept
        self.linked += taken.linked
        self.copied += taken.copied
        self.copied_bytes += taken.copied_bytes
        self.lost += taken.lost[: BACKUP_DAMAGE_TOLD_MAX - len(self.lost)]


@asynccontextmanager
async def held_snapshot(collector: Collector) -> AsyncIterator[Snapshot]:
    """A snapshot, while no file leaves the registry. Raises UNAVAILABLE: 507 where there is no room
    for the copies."""
    registry = collector.current()
    storage = registry.storage
    async with collector.paused():
        await storage.write(_nothing)  # what the collection has asked for before has come to pass
        snapshot = await storage.take_snapshot(registry.now())
        try:
            yield snapshot
        finally:
            with trio.CancelScope(shield=True) as scope:
                scope.deadline = trio.current_time() + CLEANUP_SECS_MAX
                await storage.drop_snapshot(snapshot)


def _nothing(transaction: Transaction) -> None:
    """A step that changes nothing."""


async def create(place: BackupPlace, held: Held, progress: Progress, files: Files) -> Made:
    """Make a backup, or bring the one that is in the place up to date. Raises OperatorError; then
    the earlier one is as it was."""
    try:
        with backup_place.locked_to_write(place, files) as earlier:
            _require_same(place, earlier, held)
            return await _create(place, held, progress, files)
    except OSError as error:
        raise _refusal(place, error) from error


def _require_same(place: BackupPlace, earlier: BackupRecord | None, held: Held) -> None:
    if earlier is not None and earlier.instance != held.snapshot.instance:
        raise OperatorError(f"{place.root}: holds a backup of another registry, {earlier.instance}")


async def _create(place: BackupPlace, held: Held, progress: Progress, files: Files) -> Made:
    await in_thread(backup_place.clear_leftovers, place, files)
    take = partial(backup_databases.take_databases, held.directory, held.snapshot, place, files)
    databases = await in_thread(take)
    await in_thread(_require_sound, place, databases[METADATA])
    counts = await in_thread(count_rows, place, databases[METADATA])
    progress.expect(counts)
    made = Made(_record(held.snapshot, databases, counts))
    taker = Taker(held.directory, place, files, progress.passed)
    damaged = 0

    async def gather(taken: Taken) -> None:
        nonlocal damaged
        made.add(taken)
        damaged += len(taken.lost)
        progress.blobs_done += taken.kept + taken.linked + taken.copied

    await over_prefixes(place, databases[METADATA], taker.take, gather)
    await held.confirm()
    made.record = _record(held.snapshot, databases, counts, damaged)
    await in_thread(backup_place.write_record, place, files, made.record)
    await _drop_what_is_old(place, made, files)
    return made


def _require_sound(place: BackupPlace, file: DatabaseFile) -> None:
    """A damaged database does not take the place of one that can be restored."""
    problem = backup_databases.database_problem(place, METADATA, file)
    if problem is not None:
        raise OperatorError(
            f"the registry's database is damaged, and the earlier backup stays as it is: {problem}"
        )


async def _drop_what_is_old(place: BackupPlace, made: Made, files: Files) -> None:
    """The new backup counts: what only an earlier one named may go."""
    await in_thread(backup_place.clear_leftovers, place, files)

    def drop(rows: Rows, prefix: str) -> int:
        return backup_files.drop_unnamed(rows, place, files, prefix)

    async def gather(dropped: int) -> None:
        made.dropped += dropped

    await over_prefixes(place, made.record.databases[METADATA], drop, gather)


def _record(
    snapshot: Snapshot, databases: dict[str, DatabaseFile], counts: Counts, damaged: int = 0
) -> BackupRecord:
    return BackupRecord(
        format=backup_place.FORMAT,
        instance=snapshot.instance,
        version=__version__,
        created_at=snapshot.taken_at,
        databases=databases,
        namespaces=counts.namespaces,
        manifests=counts.manifests,
        tags=counts.tags,
        blobs=counts.blobs - counts.missing,
        bytes=counts.bytes,
        damaged=damaged,
    )


def count_rows(place: BackupPlace, database: DatabaseFile) -> Counts:
    """What a database of a backup tells of; blocks. Raises OperatorError."""
    with backup_databases.opened_copy(place, database) as rows:
        return backups.counts(rows)


async def over_prefixes(
    place: BackupPlace,
    database: DatabaseFile,
    work: Callable[[Rows, str], Outcome],
    gather: Callable[[Outcome], Awaitable[None]],
) -> None:
    """Do the work for every directory of blobs, some at the same time, each in a thread with the
    database of the backup. Raises what the work raises first."""
    prefixes = iter(PREFIXES)

    def do(some: Sequence[str]) -> list[Outcome]:
        with backup_databases.opened_copy(place, database) as rows:
            return [work(rows, prefix) for prefix in some]

    async def worker() -> None:
        while some := tuple(islice(prefixes, BACKUP_PREFIXES)):
            for outcome in await in_thread(do, some):
                await gather(outcome)

    try:
        async with trio.open_nursery() as nursery:
            for _ in range(BACKUP_THREADS):
                nursery.start_soon(worker)
    except BaseExceptionGroup as group:
        raise only_error(group) from None


async def in_thread(work: Callable[..., Outcome], *arguments: object) -> Outcome:
    """A command that is told to stop does not wait for a large file."""
    return await trio.to_thread.run_sync(work, *arguments, abandon_on_cancel=True)


def _refusal(place: BackupPlace, error: OSError) -> OperatorError:
    if is_disk_full(error):
        return OperatorError(
            f"{place.root}: no space is left; a backup that was there before is as it was"
        )
    return OperatorError(f"{error.filename or place.root}: {cause_and_cure(error)}")
