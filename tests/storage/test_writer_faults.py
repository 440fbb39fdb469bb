"""The disk is full, or broken, while steps are written."""

from __future__ import annotations

import errno
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.storage import writer
from angos_trio.storage.metadata import blobs, namespaces
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import StagedBlob, Transaction
from tests.storage.support import (
    MIB,
    Barrier,
    ScriptedFiles,
    failing,
    opened,
    published,
    publishing,
    quiet,
    refusal_of,
    rows_of,
    run,
    says,
    staged_blob,
)

SMALL = 3
LARGE = 400_000


def adding(name: str, size: int = SMALL) -> Callable[[Transaction], None]:
    """A step that makes a namespace and stores so many bytes."""

    def step(transaction: Transaction) -> None:
        namespaces.ensure(transaction.rows, RepositoryName(name), 1)
        transaction.rows.execute(
            "INSERT INTO manifest_bodies (digest, body) VALUES (?, zeroblob(?))", (name, size)
        )

    return step


def bound_pages(more: int) -> Callable[[Transaction], None]:
    """A step after which the database may grow by so many pages and no further: SQLITE_FULL."""

    def step(transaction: Transaction) -> None:
        count = transaction.rows.execute("PRAGMA page_count").fetchone()[0]
        transaction.rows.execute(f"PRAGMA max_page_count = {count + more}")

    return step


def names(root: Path) -> list[str]:
    return [row[0] for row in rows_of(root, "SELECT name FROM namespaces ORDER BY name")]


class Outcomes:
    """What became of steps that were written together."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.refused: dict[str, OciError] = {}

    async def write(self, storage: Storage, name: str, size: int = SMALL) -> None:
        try:
            await storage.write(adding(name, size))
        except OciError as error:
            self.refused[name] = error
        else:
            self.done.add(name)


async def write_together(storage: Storage, files: ScriptedFiles, sizes: dict[str, int]) -> Outcomes:
    """Write steps as one batch, in this order."""
    barrier, outcomes = Barrier(), Outcomes()
    files.at["commit.before"] = barrier
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.write, storage, "first")
        await barrier.arrival()
        del files.at["commit.before"]
        for count, (name, size) in enumerate(sizes.items(), start=1):
            nursery.start_soon(outcomes.write, storage, name, size)
            while storage.waiting_steps < count:
                await trio.lowlevel.checkpoint()
        barrier.open()
    return outcomes


@pytest.mark.parametrize("position", [0, 2, 4])
def test_full_database_undoes_the_batch_and_each_step_is_tried_alone(
    root: Path, position: int
) -> None:
    """Only the step that does not fit is refused."""
    sizes = {f"n{number}": SMALL for number in range(4)}
    ordered = list(sizes.items())
    ordered.insert(position, ("large", LARGE))
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            await storage.write(bound_pages(30))
            outcomes = await write_together(storage, files, dict(ordered))

            assert set(outcomes.refused) == {"large"}
            assert says(outcomes.refused["large"], Code.UNAVAILABLE, 507)
            assert outcomes.done == {"first", *sizes}
            assert set(names(root)) == outcomes.done
            assert storage.broken is None

    run(test)


@pytest.mark.parametrize("makes_room", [True, False])
def test_full_database_gives_the_ballast_up_for_what_makes_room(
    root: Path, makes_room: bool
) -> None:
    """A push that took it would leave nothing to the delete that comes next."""
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files, ballast=MIB) as storage:
            assert (root / "ballast").stat().st_size == MIB
            await storage.write(bound_pages(5))
            error = await refusal_of(storage.write(adding("large", LARGE), makes_room=makes_room))

            assert says(error, Code.UNAVAILABLE, 507)
            assert (root / "ballast").exists() is not makes_room
            await storage.write(
                lambda transaction: transaction.rows.execute("PRAGMA max_page_count=0")
            )

    run(test)


def test_what_makes_room_is_committed_with_the_space_of_the_ballast(root: Path) -> None:
    files = ScriptedFiles()

    def while_it_is_there() -> None:
        if (root / "ballast").exists():
            failing(errno.ENOSPC)()

    async def test() -> None:
        async with opened(root, files, ballast=MIB) as storage:
            files.at["commit.before"] = while_it_is_there
            await refusal_of(storage.write(adding("push", SMALL)))
            await storage.write(adding("delete", SMALL), makes_room=True)
            assert names(root) == ["delete"]

    run(test)


def test_step_that_did_not_fit_passes_once_there_is_room(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await storage.write(bound_pages(5))
            await refusal_of(storage.write(adding("large", LARGE)))
            await storage.write(bound_pages(1000))
            await storage.write(adding("large", LARGE))
        assert names(root) == ["large"]

    run(test)


def test_delete_passes_on_a_full_database(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await storage.write(adding("content", 100_000))
            await storage.write(bound_pages(0))
            await refusal_of(storage.write(adding("large", LARGE)))
            await storage.write(
                lambda transaction: transaction.rows.execute("DELETE FROM manifest_bodies")
            )
        assert rows_of(root, "SELECT count(*) FROM manifest_bodies") == [(0,)]

    run(test)


def test_each_step_runs_at_most_twice(root: Path) -> None:
    """Once with the others, once alone: a full disk is no reason to go on for ever."""
    runs: list[str] = []

    async def test() -> None:
        async with opened(root) as storage:
            await storage.write(bound_pages(5))

            def step(transaction: Transaction) -> None:
                runs.append("run")
                adding("large", LARGE)(transaction)

            await refusal_of(storage.write(step))
        assert len(runs) == 2

    run(test)


async def break_storage(storage: Storage) -> OciError:
    """An I/O error at the commit: no file may grow (EFBIG), which is no full disk to SQLite."""

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def step(transaction: Transaction) -> None:
        adding("lost", 10_000)(transaction)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))

    try:
        return await refusal_of(storage.write(step))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_io_error_at_the_commit_makes_storage_read_only_until_it_is_opened_again(
    root: Path,
) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await storage.write(adding("kept"))
            error = await break_storage(storage)

            assert says(error, Code.UNAVAILABLE, 503)
            assert storage.broken is not None
            later = await refusal_of(storage.write(adding("later")))
            assert says(later, Code.UNAVAILABLE, 503)
            found = await storage.read(lambda rows: namespaces.list_with_content(rows, "", 10))
            assert found == []
            kept = RepositoryName("kept")
            assert await storage.read_point(lambda rows: namespaces.find(rows, kept)) == 1

        async with opened(root) as storage:
            assert storage.broken is None
            await storage.write(adding("again"))
        assert names(root) == ["again", "kept"]

    run(test)


@pytest.mark.parametrize("batch_steps_max", [1, 256])
def test_io_error_refuses_the_steps_that_wait_as_well(
    root: Path, batch_steps_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the same batch, and those of the next ones."""
    monkeypatch.setattr(writer, "BATCH_STEPS_MAX", batch_steps_max)
    files = ScriptedFiles()
    sizes = {f"n{number}": SMALL for number in range(5)}

    async def test() -> None:
        async with opened(root, files) as storage:
            await storage.write(adding("kept"))
            barrier, outcomes = Barrier(), Outcomes()
            files.at["commit.before"] = barrier
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outcomes.write, storage, "first")
                await barrier.arrival()
                for name in sizes:
                    nursery.start_soon(outcomes.write, storage, name)
                while storage.waiting_steps < len(sizes):
                    await trio.lowlevel.checkpoint()
                files.at["commit.before"] = raise_io_error
                barrier.open()

            assert outcomes.done == {"first"}
            assert {error.status for error in outcomes.refused.values()} == {503}
            assert storage.broken is not None
        assert names(root) == ["first", "kept"]

    run(test)


def raise_io_error() -> None:
    """As SQLite reports a disk that does not write."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC  # type: ignore[misc]
    raise error


def holding(staged: StagedBlob) -> Callable[[Transaction], None]:
    """A step that publishes and records, as a push does."""

    def step(transaction: Transaction) -> None:
        transaction.publish(staged)
        namespace = namespaces.ensure(transaction.rows, RepositoryName("team/app"), 1)
        blobs.put(transaction.rows, staged.digest, staged.size, 1)
        blobs.hold(transaction.rows, namespace, staged.digest, 100)

    return step


def test_failed_sync_of_a_directory_fails_every_step_and_nothing_is_visible(
    root: Path,
) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            staged = await staged_blob(storage, b"content")
            barrier, outcomes = Barrier(), Outcomes()
            files.at["commit.before"] = barrier
            refusals: list[OciError] = []

            async def push() -> None:
                refusals.append(await refusal_of(storage.write(holding(staged))))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(outcomes.write, storage, "first")
                await barrier.arrival()
                files.at["sync_directory"] = failing(errno.EIO)
                nursery.start_soon(push)
                nursery.start_soon(outcomes.write, storage, "beside")
                while storage.waiting_steps < 2:
                    await trio.lowlevel.checkpoint()
                barrier.open()

            assert [error.status for error in refusals] == [503]
            assert outcomes.refused["beside"].status == 503
            assert names(root) == ["first"]
            assert rows_of(root, "SELECT * FROM blobs") == []

            files.at.clear()
            await storage.write(adding("later"))
        assert names(root) == ["first", "later"]

    run(test)


@pytest.mark.parametrize(
    ("verb", "number", "status"),
    [
        ("publish", errno.ENOSPC, 507),
        ("publish", errno.EDQUOT, 507),
        ("publish", errno.EIO, 503),
        ("publish", errno.EROFS, 503),
        ("sync_directory", errno.ENOSPC, 507),
        ("sync_directory", errno.EROFS, 503),
    ],
)
def test_disk_that_refuses_to_publish_is_told_and_leaves_no_row(
    root: Path, verb: str, number: int, status: int
) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            staged = await staged_blob(storage, b"content")
            files.at[verb] = failing(number)
            error = await refusal_of(storage.write(holding(staged)))

            assert says(error, Code.UNAVAILABLE, status)
            assert rows_of(root, "SELECT * FROM blobs") == []
            assert names(root) == []

    run(test)


def test_full_disk_at_the_rename_is_tried_again(root: Path) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files, ballast=MIB) as storage:
            staged = await staged_blob(storage, b"content")
            files.at["publish"] = failing(errno.ENOSPC, times=1)
            await storage.write(holding(staged))

            assert published(root) == [staged.digest]
            assert (root / "ballast").exists()
        assert rows_of(root, "SELECT digest FROM blobs") == [(staged.digest,)]

    run(test)


def test_blob_published_by_a_batch_that_was_undone_is_not_moved_twice(root: Path) -> None:
    """The disk is full after the rename; the second run finds the file where it belongs."""
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            staged = await staged_blob(storage, b"content")
            files.at["commit.before"] = failing(errno.ENOSPC, times=1)
            await storage.write(holding(staged))

            assert files.count("publish") == 1
            assert published(root) == [staged.digest]
            assert list((root / "uploads").iterdir()) == []

    run(test)


def test_leftovers_of_a_step_that_was_refused_stay(root: Path) -> None:
    """The session's record is removed by the commit, and only by that."""

    async def test() -> None:
        async with opened(root) as storage:
            staged = await staged_blob(storage, b"content")

            def refused(transaction: Transaction) -> None:
                transaction.publish(staged)
                raise OciError(Code.DENIED)

            await refusal_of(storage.write(refused))
            await quiet(storage)
            assert [path.suffix for path in (root / "uploads").iterdir()] == [".json"]

            await storage.write(publishing(staged))
            assert list((root / "uploads").iterdir()) == []

    run(test)


def test_leftover_that_cannot_be_removed_does_not_undo_the_commit(root: Path) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            staged = await staged_blob(storage, b"content")
            files.at["move"] = files.at["remove"] = failing(errno.EIO)
            await storage.write(holding(staged))
            await quiet(storage)
            assert files.count("move") == 1
        assert rows_of(root, "SELECT digest FROM blobs") == [(staged.digest,)]

    run(test)
