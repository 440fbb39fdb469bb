"""`angos-trio backup create`, `backup verify` and `backup restore`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from angos_trio.app.holding import while_held
from angos_trio.app.plan import Plan, make_plan
from angos_trio.cli.asking import Place, size_of, time_of
from angos_trio.cli.progress import Stage, beside
from angos_trio.cli.serve import PRIVATE_UMASK
from angos_trio.cli.streams import say
from angos_trio.clock import epoch_seconds
from angos_trio.config.overrides import load_with_overrides
from angos_trio.errors import OperatorError
from angos_trio.maintenance import backup, restore
from angos_trio.maintenance.backup import Held, Made, Progress
from angos_trio.maintenance.restore import Found, Target
from angos_trio.oci.digest import Digest
from angos_trio.storage.backup_place import BackupPlace
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.telemetry import log

Outcome = TypeVar("Outcome")


def create(place: Place, directory: str) -> int:
    """Make a backup, or bring the one in the directory up to date; 1 when blobs are lost."""
    plan, target, progress = _plan(place), BackupPlace(Path(directory)), Progress()
    _require_apart(target.root, plan.storage.root)

    async def work(held: Held) -> Made:
        return await backup.create(target, held, progress, Files())

    made = _run(partial(while_held, plan, work), progress)
    record = made.record
    print(
        f"{target.root}: {record.tags} tags, {record.manifests} manifests, {record.blobs} blobs, "
        f"{size_of(record.bytes)}; {made.linked} linked, {made.copied} copied "
        f"({size_of(made.copied_bytes)}), {made.kept} kept, {made.dropped} removed, "
        f"{record.damaged} lost"
    )
    _tell_damage([(digest, "not whole in the registry") for digest in made.lost], record.damaged)
    return 1 if record.damaged else 0


def verify(directory: str) -> int:
    """Read all of a backup; 1 when something is not as it should be."""
    place, progress = BackupPlace(Path(directory)), Progress()
    log.configure("warning")
    found = _run(partial(restore.verify, place, progress, Files()), progress)
    print(
        f"{place.root}: {_described(found)}; {len(found.problems)} databases and {found.damaged} "
        f"blobs are damaged; made {time_of(found.record.created_at)}"
    )
    for problem in found.problems:
        say(problem)
    _tell_damage(found.damage, found.damaged)
    return 0 if found.is_whole else 1


def bring_back(place: Place, directory: str) -> int:
    """Restore a backup into an empty data directory; 1 when blobs could not be brought."""
    plan, source, progress = _plan(place), BackupPlace(Path(directory)), Progress()
    _require_apart(source.root, plan.storage.root)
    lease_until = epoch_seconds() + plan.limits.lease_secs
    target = Target(DataDirectory(plan.storage.root), lease_until)
    found = _run(partial(restore.restore, source, target, progress, Files()), progress)
    print(f"{plan.storage.root}: {_described(found)} restored; {found.damaged} could not be")
    _tell_damage(found.damage, found.damaged)
    return 0 if found.is_whole else 1


def _plan(place: Place) -> Plan:
    config = load_with_overrides(place.files, None, place.data_dir, reads_files=False).config
    plan = make_plan(config, is_configured=bool(place.files))
    os.umask(PRIVATE_UMASK)
    log.configure("warning")
    return plan


def _require_apart(backups: Path, data: Path) -> None:
    """Neither is in the other."""
    one, other = backups.resolve(), data.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise OperatorError(f"{backups}: a backup and a data directory cannot be in each other")


def _described(found: Found) -> str:
    record = found.record
    return (
        f"{record.tags} tags, {record.manifests} manifests, {found.blobs} blobs, "
        f"{size_of(found.bytes)}"
    )


def _tell_damage(damage: Sequence[tuple[Digest, str]], count: int) -> None:
    for digest, reason in damage:
        say(f"{digest}: {reason}")
    if count > len(damage):
        say(f"and {count - len(damage)} more")


def _run(work: Callable[[], Awaitable[Outcome]], progress: Progress) -> Outcome:
    """Do the work, and say on standard error how far it is."""
    return trio.run(beside, work, partial(_stage, progress))


def _stage(progress: Progress) -> Stage:
    text = (
        f"{progress.blobs_done} of {progress.blobs} blobs; {size_of(progress.bytes_read)} read "
        f"of {size_of(progress.bytes)}, {size_of(progress.bytes_per_sec)} a second"
    )
    return Stage(text, progress.blobs_done, progress.blobs)
