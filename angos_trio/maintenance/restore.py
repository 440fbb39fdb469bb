"""A backup is looked at, and brought back into an empty data directory."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import trio

from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.housekeeping import BACKUP_DAMAGE_TOLD_MAX
from angos_trio.maintenance.backup import Progress, count_rows, in_thread, over_prefixes
from angos_trio.oci.digest import Digest
from angos_trio.records import Frozen, Mutable, field
from angos_trio.storage import backup_databases, backup_files, backup_place
from angos_trio.storage.backup_files import Looked, Restorer
from angos_trio.storage.backup_place import BackupPlace, BackupRecord
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files, is_disk_full
from angos_trio.storage.snapshots import METADATA
from angos_trio.storage.transactions import Rows


class Found(Mutable):
    """What was found in a backup. `problems` are those of the databases; `damage` names the first
    of the `damaged` blobs and says what each is."""

    record: BackupRecord
    blobs: int = 0
    bytes: int = 0
    damaged: int = 0
    problems: list[str] = field(default_factory=list)
    damage: list[tuple[Digest, str]] = field(default_factory=list)

    def add(self, looked: Looked) -> None:
        """Count what was found of a prefix."""
        self.blobs += looked.blobs
        self.bytes += looked.bytes
        self.damaged += len(looked.damaged)
        self.damage += looked.damaged[: BACKUP_DAMAGE_TOLD_MAX - len(self.damage)]

    @property
    def is_whole(self) -> bool:
        """Whether everything is as it should be."""
        return not self.damaged and not self.problems


async def verify(place: BackupPlace, progress: Progress, files: Files) -> Found:
    """Read all of a backup. Raises OperatorError where there is none."""
    try:
        with backup_place.locked_to_read(place) as record:
            found = await _look_at_databases(place, record)
            if found.problems:
                return found
            progress.expect(await in_thread(count_rows, place, record.databases[METADATA]))

            def work(rows: Rows, prefix: str) -> Looked:
                return backup_files.verify_blobs(rows, place, files, prefix, progress.passed)

            async def gather(looked: Looked) -> None:
                found.add(looked)
                progress.blobs_done += looked.blobs

            await over_prefixes(place, record.databases[METADATA], work, gather)
            return found
    except OSError as error:
        raise OperatorError(f"{error.filename or place.root}: {cause_and_cure(error)}") from error


class Target(Frozen):
    """Where a backup is brought to, and a time, in epoch seconds, before which no lease ends there:
    what was held when the backup was made is not collected as soon as it is back."""

    directory: DataDirectory
    lease_until: int


async def restore(place: BackupPlace, target: Target, progress: Progress, files: Files) -> Found:
    """Bring a backup back; what could not be brought is said to be missing there, and is healed by
    a push. Raises OperatorError; then the target is no data directory."""
    root = target.directory.root
    try:
        with ExitStack() as stack:
            record = stack.enter_context(backup_place.locked_to_read(place))
            found = await _look_at_databases(place, record)
            if found.problems:
                raise OperatorError(f"{place.root}: {found.problems[0]}")
            counts = await in_thread(count_rows, place, record.databases[METADATA])
            progress.expect(counts)
            stack.enter_context(backup_databases.empty_target(target.directory, files))
            _require_space(record, target.directory, files)
            await _bring(found, place, target, progress, files)
            return found
    except OSError as error:
        if is_disk_full(error):
            raise OperatorError(f"{root}: no space is left") from error
        raise OperatorError(f"{error.filename or root}: {cause_and_cure(error)}") from error


def _require_space(record: BackupRecord, target: DataDirectory, files: Files) -> None:
    needed = record.bytes + sum(file.bytes for file in record.databases.values())
    free = files.free_bytes(target.root)
    if not target.database.exists() and needed > free:
        raise OperatorError(f"{target.root}: {needed} bytes are needed, {free} are free")


async def _bring(
    found: Found, place: BackupPlace, target: Target, progress: Progress, files: Files
) -> None:
    record, directory = found.record, target.directory
    await in_thread(backup_databases.begin_target, place, record, directory, files)
    restorer = Restorer(place, directory, files, progress.passed)
    turn = trio.Lock()
    with backup_databases.opened_target(directory) as rows:
        extend = partial(backup_databases.extend_leases, rows, target.lease_until)
        await trio.to_thread.run_sync(extend)

        async def gather(looked: Looked) -> None:
            found.add(looked)
            progress.blobs_done += looked.blobs
            if looked.found or looked.lost:
                async with turn:
                    set_states = partial(backup_databases.set_states, rows)
                    await trio.to_thread.run_sync(set_states, looked.found, looked.lost)

        await over_prefixes(place, record.databases[METADATA], restorer.restore, gather)
    await in_thread(backup_databases.finish_target, record, directory, files)


async def _look_at_databases(place: BackupPlace, record: BackupRecord) -> Found:
    found = Found(record)
    for database, file in record.databases.items():
        problem = await in_thread(backup_databases.database_problem, place, database, file)
        if problem is not None:
            found.problems.append(f"{file.name} {problem}")
    return found
