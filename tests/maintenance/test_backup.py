"""A backup: taken beside changes, brought up to date, looked at; whole whatever happened to it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.errors import OperatorError
from angos_trio.maintenance.backup import Held, Made, Progress, create, held_snapshot
from angos_trio.maintenance.restore import Found, Target, restore, verify
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob
from angos_trio.registry.pull import find_blob
from angos_trio.storage import backup_place
from angos_trio.storage.backup_place import (
    BackupPlace,
    BackupRecord,
    DatabaseFile,
    decode_record,
    encode_record,
)
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.metadata import pull_history, pulls
from angos_trio.storage.metadata.pull_history import Line
from angos_trio.storage.metadata.pulls import Pulls
from angos_trio.storage.transactions import Rows
from tests.maintenance.support import collector_of
from tests.registry.support import (
    ANYBODY,
    LEASE_SECS,
    Clock,
    image,
    opened_registry,
    push,
    push_bytes,
)
from tests.storage.support import (
    NAME,
    VERBS,
    ScriptedFiles,
    failing,
    opened,
    published,
    refusal_of,
    rows_of,
    run,
)

pytestmark = pytest.mark.slow

BODIES = (b"one", b"two", b"three" * 1000)


class Stopped(BaseException):
    """As if the process ended here."""


@dataclass
class Scene:
    """A registry with some images, and the place of its backup."""

    root: Path
    place: BackupPlace
    registry: Registry
    clock: Clock = field(default_factory=Clock)
    lease_until: int = 0

    async def backup(self, files: Files | None = None, confirm: object = None) -> Made:
        """Make one."""
        async with held_snapshot(collector_of(self.registry, self.clock)) as snapshot:
            self.clock.now += 1
            held = Held(DataDirectory(self.root), snapshot, confirm or _always)  # type: ignore[arg-type]
            return await create(self.place, held, Progress(), files or Files())

    async def verified(self) -> Found:
        return await verify(self.place, Progress(), Files())

    async def restored(self, target: Path, files: Files | None = None) -> Found:
        into = Target(DataDirectory(target), self.lease_until)
        return await restore(self.place, into, Progress(), files or Files())

    def file(self, digest: Digest) -> Path:
        """A blob's file in the registry."""
        return Path(DataDirectory(self.root).blob(digest))


async def _always() -> None:
    return


Play = Callable[[Scene], Awaitable[None]]


def played(root: Path, tmp_path: Path, play: Play, *, in_memory: bool = True) -> None:
    """Play a scene; the backup is on the data directory's file system."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            for number, body in enumerate(BODIES):
                layer = await push_bytes(registry, body)
                await push(registry, f"v{number}", image(layer))
            place = root.parent / "backup" if in_memory else tmp_path / "backup"
            await play(Scene(root, BackupPlace(place), registry))

    run(test)


@pytest.fixture(autouse=True)
def _clear(root: Path) -> object:
    yield
    for name in ("backup", "target"):
        _remove(root.parent / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        for entry in path.iterdir():
            _remove(entry)
        path.rmdir()
    elif path.exists():
        path.unlink()


def blobs_in(place: BackupPlace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.root.glob("blobs/*/*/*")}


def tables_of(database: Path) -> dict[str, list[object]]:
    with closing(sqlite3.connect(database)) as rows:
        names = rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: rows.execute(f"SELECT * FROM {name}").fetchall() for (name,) in names}


def test_backup_has_all_rows_and_all_blobs_by_links(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        made = await scene.backup()

        assert (made.linked, made.copied, made.kept, made.lost) == (3, 0, 0, [])
        assert (made.record.tags, made.record.blobs, made.record.damaged) == (3, 3, 0)
        assert blobs_in(scene.place) == {digest_of(body).hex: body for body in BODIES}
        original = scene.file(digest_of(b"one")).stat()
        assert (original.st_nlink, original.st_mode & 0o777) == (2, 0o440)
        database = scene.place.root / made.record.databases["metadata"].name
        assert database.stat().st_mode & 0o077 == 0
        assert tables_of(database)["tags"] == rows_of(root, "SELECT * FROM tags")
        assert os.listdir(root / "copies") == []
        found = await scene.verified()
        assert found.is_whole
        assert found.blobs == 3

    played(root, tmp_path, play)


def test_blobs_are_copied_and_verified_where_they_cannot_be_linked(
    root: Path, tmp_path: Path
) -> None:
    async def play(scene: Scene) -> None:
        other = digest_of(b"two")
        scene.file(other).chmod(0o640)
        scene.file(other).write_bytes(b"TWO")
        made = await scene.backup(ScriptedFiles(link=failing(errno.EXDEV)))

        assert (made.linked, made.copied, made.copied_bytes) == (0, 2, 5003)
        assert (made.lost, made.record.damaged) == ([other], 1)
        assert other.hex not in blobs_in(scene.place)
        assert scene.file(digest_of(b"one")).stat().st_nlink == 1
        assert [digest for digest, _ in (await scene.verified()).damage] == [other]

        await push_bytes(scene.registry, b"two")
        assert (await scene.backup()).record.damaged == 0
        assert (await scene.verified()).is_whole

    played(root, tmp_path, play)


def test_second_backup_takes_what_is_new_and_drops_what_nothing_names(
    root: Path, tmp_path: Path
) -> None:
    async def play(scene: Scene) -> None:
        first = await scene.backup()
        loose = await push_bytes(scene.registry, b"loose")
        assert (await scene.backup()).linked == 1

        await delete_blob(scene.registry, ANYBODY, NAME, loose)
        new = await push_bytes(scene.registry, b"new")
        await collector_of(scene.registry, scene.clock).collect()
        made = await scene.backup()

        assert (made.linked, made.kept, made.dropped) == (1, 3, 1)
        assert blobs_in(scene.place).keys() == {digest_of(body).hex for body in (*BODIES, b"new")}
        assert new.hex in blobs_in(scene.place)
        assert not (scene.place.root / first.record.databases["metadata"].name).exists()
        assert len(list(scene.place.root.glob("metadata-*"))) == 1
        assert (await scene.verified()).is_whole

    played(root, tmp_path, play)


def test_collection_waits_for_a_backup_and_changes_do_not(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        loose = await push_bytes(scene.registry, b"loose")
        collector = collector_of(scene.registry, scene.clock)
        scene.clock.now += LEASE_SECS + 1
        async with trio.open_nursery() as nursery, held_snapshot(collector) as snapshot:
            nursery.start_soon(collector.collect)
            await delete_blob(scene.registry, ANYBODY, NAME, loose)
            await push_bytes(scene.registry, b"meanwhile")
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert loose in published(root)
            held = Held(DataDirectory(root), snapshot, _always)
            made = await create(scene.place, held, Progress(), Files())
        assert loose.hex in blobs_in(scene.place)
        assert digest_of(b"meanwhile").hex not in blobs_in(scene.place)
        assert made.record.blobs == 4
        assert loose not in published(root)
        assert (await scene.verified()).is_whole

    played(root, tmp_path, play)


@pytest.mark.slow
def test_backup_that_stops_at_any_step_leaves_the_one_before_it_whole(
    root: Path, tmp_path: Path
) -> None:
    async def play(scene: Scene) -> None:
        await scene.backup()
        await push_bytes(scene.registry, b"new")
        whole = ScriptedFiles()
        await scene.backup(whole)
        assert {"link", "replace", "sync_directory", "remove"} <= set(whole.met)
        for error in (Stopped(), OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken")):
            number = 0
            while True:
                number += 1
                await push_bytes(scene.registry, f"{error!r} {number}".encode())
                files = StoppingFiles(number, error)
                try:
                    await scene.backup(files)
                except (Stopped, OperatorError):
                    found = await scene.verified()
                    assert found.is_whole, (number, found)
                    continue
                break
            assert number > 8
        await scene.backup()
        assert (await scene.verified()).is_whole
        assert os.listdir(scene.place.staging) == []
        assert len(blobs_in(scene.place)) == len(published(root))

    played(root, tmp_path, play)


class StoppingFiles(ScriptedFiles):
    """Raises at the step of a number, and at every later one."""

    def __init__(self, number: int, error: BaseException) -> None:
        super().__init__()
        self._left, self._error = number, error

    def meet(self, name: str) -> None:
        if name in VERBS and name not in ("regular_size", "open_to_read"):
            self._left -= 1
            if self._left <= 0:
                raise self._error


def test_backup_during_which_the_registry_went_away_is_refused(root: Path, tmp_path: Path) -> None:
    async def gone() -> None:
        raise OperatorError("the registry went away")

    async def play(scene: Scene) -> None:
        first = await scene.backup()
        await push_bytes(scene.registry, b"new")
        with pytest.raises(OperatorError, match="went away"):
            await scene.backup(confirm=gone)
        assert (await scene.verified()).record == first.record

    played(root, tmp_path, play)


def test_what_the_registry_lost_is_kept_if_an_earlier_backup_has_it(
    root: Path, tmp_path: Path
) -> None:
    async def play(scene: Scene) -> None:
        await scene.backup()
        for digest in (digest_of(b"one"), digest_of(b"two")):
            scene.file(digest).unlink()
        await scene.registry.storage.write(
            lambda transaction: transaction.rows.execute(
                "UPDATE blobs SET state = 'missing' WHERE digest = ?", (digest_of(b"two"),)
            )
        )
        made = await scene.backup()
        assert (made.lost, made.dropped) == ([], 0)
        assert (made.record.blobs, made.record.bytes) == (2, 3 + 5000)
        assert len(blobs_in(scene.place)) == 3

        found = await scene.restored(root.parent / "target")
        assert found.is_whole
        assert found.blobs == 3
        assert rows_of(root.parent / "target", "SELECT DISTINCT state FROM blobs") == [("present",)]

    played(root, tmp_path, play)


def test_healed_blob_takes_the_place_of_the_damaged_one_and_never_the_reverse(
    root: Path, tmp_path: Path
) -> None:
    async def play(scene: Scene) -> None:
        digest = digest_of(b"one")
        await scene.backup()
        flip(scene.file(digest))
        assert (await scene.verified()).damaged == 1
        await push_bytes(scene.registry, b"one")
        assert (await scene.backup()).linked == 1
        assert (await scene.verified()).is_whole

        damaged = scene.file(digest)
        damaged.unlink()
        damaged.write_bytes(b"eno")
        assert (await scene.backup()).kept == 3
        assert (await scene.verified()).is_whole

    played(root, tmp_path, play)


def flip(path: Path, at: int = 0) -> None:
    """Another byte, in place."""
    path.chmod(0o640)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("names", [["letter"], ["backup.lock", "letter"], ["metadata.db"]])
def test_directory_with_something_else_in_it_is_refused(
    root: Path, tmp_path: Path, names: list[str]
) -> None:
    async def play(scene: Scene) -> None:
        scene.place.root.mkdir()
        for name in names:
            (scene.place.root / name).touch()
        with pytest.raises(OperatorError, match="is not empty and holds no backup"):
            await scene.backup()
        assert sorted(os.listdir(scene.place.root)) == sorted(names)

    played(root, tmp_path, play)


def test_backup_of_another_registry_is_refused(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        made = await scene.backup()
        record = scene.place.record
        record.write_text(record.read_text().replace(made.record.instance, "another"))
        with pytest.raises(OperatorError, match="of another registry, another"):
            await scene.backup()

    played(root, tmp_path, play)


def test_two_commands_do_not_write_to_one_backup(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.backup()

        async def confirm() -> None:
            for other in (scene.verified, partial_backup):
                with pytest.raises(OperatorError, match="another command works on this backup"):
                    await other()

        async def partial_backup() -> object:
            held = Held(DataDirectory(root), taken[0], _always)
            return await create(scene.place, held, Progress(), Files())

        taken = []
        async with held_snapshot(collector_of(scene.registry, scene.clock)) as snapshot:
            taken.append(snapshot)
            await create(
                scene.place, Held(DataDirectory(root), snapshot, confirm), Progress(), Files()
            )

    played(root, tmp_path, play)


def test_snapshot_never_takes_the_reserve(root: Path) -> None:
    async def test() -> None:
        async with opened(root, reserve=1 << 60) as storage:
            error = await refusal_of(storage.take_snapshot(1))
            assert error.status == 507
            assert (await refusal_of(storage.keep_copy(1))).status == 507

    run(test)


def test_snapshot_that_a_killed_process_left_is_removed_by_the_next(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            left = await storage.take_snapshot(1)
            (root / "copies" / "backup-x.metadata.db.tmp").touch()
            await storage.keep_copy(7)
            snapshot = await storage.take_snapshot(2)
            names = set(os.listdir(root / "copies"))
            assert names == {f"backup-{snapshot.id}.metadata.db", "metadata-19700101T000007Z.db"}
            assert left.id != snapshot.id

    run(test)


def test_stats_are_taken_and_restored_if_they_are_there(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        digest = digest_of(BODIES[0])
        line = Line("app", digest, "v1", 100, "basic::alice", "skopeo", "192.0.2.1")

        def note(rows: Rows) -> None:
            pulls.add(rows, {("app", "v1"): Pulls(7, 100)})
            pull_history.record(rows, {("app", digest): Pulls(7, 100)}, [line], 100)
            pulls.begin(rows, 50, anew=False)

        await scene.registry.storage.stats.run(note)
        made = await scene.backup()
        assert made.record.databases.keys() == {"metadata", "stats"}
        assert (await scene.restored(root.parent / "target")).is_whole
        # Since when no pull was missed is another time then.
        assert tables_of(root.parent / "target" / "stats.db") == {
            "pulls": [("app", "v1", 7, 100)],
            "tracking": [],
            "pulled_manifests": [(1, "app", digest)],
            "pull_lines": [(1, 1, 100, "v1", "basic::alice", "skopeo", "192.0.2.1")],
            "pull_days": [(1, 0, 7)],
        }

    played(root, tmp_path, play)


def test_damaged_stats_stop_no_backup(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        (root / "stats.db").write_bytes(b"no database" * 1000)
        made = await scene.backup()
        assert made.record.databases.keys() == {"metadata"}
        assert not list((root / "copies").glob("*stats*"))

    played(root, tmp_path, play)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone", "another"])
def test_damaged_blob_is_found_and_not_restored(root: Path, tmp_path: Path, damage: str) -> None:
    async def play(scene: Scene) -> None:
        digest, target = digest_of(BODIES[2]), root.parent / "target"
        await scene.backup(ScriptedFiles(link=failing(errno.EXDEV)))
        file = scene.place.blob(digest)
        if damage == "flipped":
            flip(file, 4000)
        elif damage == "truncated":
            os.truncate(file, 10)
        else:
            file.unlink()
            if damage == "another":
                file.symlink_to(scene.file(digest))
        found = await scene.verified()
        assert [each for each, _ in found.damage] == [digest]
        assert (found.damaged, found.blobs, found.problems) == (1, 2, [])

        brought = await scene.restored(target)
        assert (brought.damage, brought.blobs) == (found.damage, 2)
        assert len(published(target)) == 2
        assert rows_of(target, "SELECT digest FROM blobs WHERE state = 'missing'") == [(digest,)]
        async with opened_registry(target) as registry:
            await push_bytes(registry, BODIES[2])
            await find_blob(registry, NAME, digest)
        assert rows_of(target, "SELECT digest FROM blobs WHERE state = 'missing'") == []

    played(root, tmp_path, play)


def test_damaged_database_is_found_and_refused(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        made = await scene.backup()
        database = scene.place.root / made.record.databases["metadata"].name
        flip(database, database.stat().st_size - 10)
        found = await scene.verified()
        assert found.problems == [f"{database.name} is not what was written"]
        assert not found.is_whole
        with pytest.raises(OperatorError, match="is not what was written"):
            await scene.restored(root.parent / "target")
        database.unlink()
        assert (await scene.verified()).problems == [f"{database.name} is not there"]

    played(root, tmp_path, play)


def test_restored_directory_has_the_same_rows_and_blobs_of_its_own(
    root: Path, tmp_path: Path
) -> None:
    async def play(scene: Scene) -> None:
        await scene.backup()
        target = root.parent / "target"
        found = await scene.restored(target)

        assert found.is_whole
        assert tables_of(target / "metadata.db") == tables_of(root / "metadata.db")
        assert published(target) == published(root)
        assert os.stat(DataDirectory(target).blob(digest_of(b"one"))).st_nlink == 1
        assert (target / "format.json").read_text() == (root / "format.json").read_text()
        assert os.listdir(target / "trash") == []
        assert not (target / "restore.unfinished").exists()
        async with opened_registry(target) as registry:
            for body in BODIES:
                await find_blob(registry, NAME, digest_of(body))
        with pytest.raises(OperatorError, match="is not empty"):
            await scene.restored(target)

    played(root, tmp_path, play)


def test_leases_begin_anew_with_a_restore(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        loose = await push_bytes(scene.registry, b"loose")
        await scene.backup()
        scene.lease_until = 5_000_000
        target = root.parent / "target"
        await scene.restored(target)
        async with opened_registry(target, clock=Clock(4_999_999)) as registry:
            await collector_of(registry, Clock()).collect()
            assert loose in published(target)
        assert min(rows_of(target, "SELECT lease_until FROM namespace_blobs")) == (5_000_000,)

    played(root, tmp_path, play)


@pytest.mark.slow
def test_restore_that_stops_at_any_step_is_no_data_directory_and_can_be_done_again(
    root: Path, tmp_path: Path
) -> None:
    async def play(scene: Scene) -> None:
        await scene.backup()
        target, number, refused = root.parent / "target", 0, 0
        while True:
            number += 1 if number < 10 else 150  # most steps make one of 512 directories
            try:
                await scene.restored(target, StoppingFiles(number, Stopped()))
            except Stopped:
                if (target / "format.json").exists():
                    assert published(target) == published(root)
                elif (target / "restore.unfinished").exists():
                    with pytest.raises(OperatorError, match="has not come to its end"):
                        async with opened(target):
                            pass
                    refused += 1
                continue
            break
        assert refused > 3
        async with opened(target):
            pass
        assert published(target) == published(root)

    played(root, tmp_path, play)


def test_directory_with_anything_in_it_is_not_restored_into(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.backup()
        target = root.parent / "target"
        target.mkdir()
        (target / "letter").touch()
        with pytest.raises(OperatorError, match="is not empty"):
            await scene.restored(target)
        assert os.listdir(target) == ["letter"]

    played(root, tmp_path, play)


@pytest.mark.parametrize("name", ["nothing", "unfinished"])
def test_what_holds_no_backup_is_not_read(root: Path, tmp_path: Path, name: str) -> None:
    async def play(scene: Scene) -> None:
        if name == "unfinished":
            with pytest.raises(Stopped):
                await scene.backup(StoppingFiles(6, Stopped()))
        with pytest.raises(OperatorError, match="there is no backup"):
            await scene.verified()

    played(root, tmp_path, play)


counts = st.integers(min_value=0, max_value=1 << 60)
files_of_databases = st.builds(
    DatabaseFile,
    st.just("metadata-20260101T000000Z-0123abcd.db"),
    counts,
    st.text(),
)
records = st.builds(
    BackupRecord,
    format=st.just(1),
    instance=st.text(),
    version=st.text(),
    created_at=counts,
    databases=st.fixed_dictionaries({"metadata": files_of_databases}),
    namespaces=counts,
    manifests=counts,
    tags=counts,
    blobs=counts,
    bytes=counts,
    damaged=counts,
)


@given(records)
def test_record_is_read_as_it_was_written(record: BackupRecord) -> None:
    assert decode_record(encode_record(record)) == record


@given(records, st.data())
def test_any_content_is_a_record_or_refused(record: BackupRecord, data: st.DataObject) -> None:
    content = bytearray(encode_record(record))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
    try:
        decode_record(bytes(content))
    except OperatorError:
        return


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("metadata-20260101T000000Z-0123abcd.db", "../metadata.db"),
        ("metadata-20260101T000000Z-0123abcd.db", "stats-20260101T000000Z-0123abcd.db"),
        ('"metadata": {', '"stats": {'),
        ('"blobs": 0', '"blobs": -1'),
        ('"blobs": 0', '"blobs": true'),
        ('"blobs": 0', '"blobs": 0, "more": 1'),
        ('"format": 1', '"format": 2'),
    ],
)
def test_record_that_names_anything_else_is_refused(old: str, new: str) -> None:
    file = DatabaseFile("metadata-20260101T000000Z-0123abcd.db", 0, "")
    text = encode_record(BackupRecord(1, "i", "v", 0, {"metadata": file}, 0, 0, 0, 0, 0, 0))
    assert old.encode() in text
    with pytest.raises(OperatorError):
        decode_record(text.replace(old.encode(), new.encode(), 1))


def test_rows_that_contradict_each_other_are_backed_up_and_restored(
    root: Path, tmp_path: Path
) -> None:
    """A scrub sees to them, here or there: no earlier backup is lost to one that is refused."""

    async def play(scene: Scene) -> None:
        with closing(sqlite3.connect(root / "metadata.db")) as rows:
            rows.execute(
                "INSERT INTO tags (namespace, name, digest, updated_at, updated_by, sort_key) "
                "VALUES (1, 'dangling', ?, 1, 'me', 'dangling')",
                (f"sha256:{'0' * 64}",),
            )
            rows.commit()
        await scene.backup()
        assert (await scene.verified()).problems == []
        await scene.restored(root.parent / "target")

    played(root, tmp_path, play)


def test_copy_by_hard_links_is_a_backup_of_its_own(root: Path, tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.backup()
        kept = root.parent / "kept"
        await trio.run_process(["cp", "--archive", "--link", str(scene.place.root), str(kept)])
        try:
            with backup_place.locked_to_read(BackupPlace(kept)):
                await scene.backup()
        finally:
            shutil.rmtree(kept)

    played(root, tmp_path, play)
