"""Reading: on the loop, in reader threads, and the bytes of blobs."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from pathlib import Path
from typing import NoReturn

import pytest
import trio

from angos_trio.limits.storage import READER_THREADS
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import RepositoryName
from angos_trio.storage.metadata import namespaces
from angos_trio.storage.transactions import Rows
from tests.storage.support import (
    MIB,
    NAME,
    Barrier,
    ScriptedFiles,
    ThreadCalls,
    blob_path,
    failing,
    open_files,
    opened,
    publishing,
    refusal_of,
    run,
    says,
    staged_blob,
)


def thread_name(_: Rows) -> str:
    return threading.current_thread().name


def busy_in(thread: str) -> object:
    """A query that finds the database locked in one thread."""

    def query(rows: Rows) -> str:
        if thread_name(rows) == thread:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY  # type: ignore[misc]
            raise error
        return thread_name(rows)

    return query


def failing_query(_: Rows) -> NoReturn:
    raise sqlite3.OperationalError("disk I/O error")


def test_point_queries_run_on_the_loop_and_others_in_a_thread(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            here = threading.current_thread().name
            assert await storage.read_point(thread_name) == here
            assert await storage.read(thread_name) != here

    run(test)


def test_point_query_that_would_wait_goes_to_a_thread(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            here = threading.current_thread().name
            assert await storage.read_point(busy_in(here)) != here  # type: ignore[arg-type]

    run(test)


def test_query_that_fails_is_unavailable(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            for read in (storage.read, storage.read_point):
                error = await refusal_of(read(failing_query))
                assert says(error, Code.UNAVAILABLE, 503)
            assert await storage.read(lambda rows: 1) == 1

    run(test)


def test_refusal_of_a_query_is_passed_on(root: Path) -> None:
    def refuse(_: Rows) -> NoReturn:
        raise OciError(Code.NAME_UNKNOWN)

    async def test() -> None:
        async with opened(root) as storage:
            for _ in range(2 * READER_THREADS):
                error = await refusal_of(storage.read(refuse))
                assert says(error, Code.NAME_UNKNOWN, 404)

    run(test)


def test_readers_cannot_write(root: Path) -> None:
    def write(rows: Rows) -> None:
        rows.execute("INSERT INTO namespaces (name, created_at) VALUES ('x', 1)")

    async def test() -> None:
        async with opened(root) as storage:
            for read in (storage.read, storage.read_point):
                assert says(await refusal_of(read(write)), Code.UNAVAILABLE, 503)
            found = await storage.read(lambda rows: namespaces.list_with_content(rows, "", 9))
            assert found == []

    run(test)


def test_slow_queries_wait_for_each_other_and_not_for_the_loop(root: Path) -> None:
    """Four run at once; a fifth waits, and point queries go on."""
    barrier = Barrier()
    started: list[int] = []

    def slow(_: Rows) -> None:
        started.append(1)
        barrier()

    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            for _ in range(READER_THREADS + 3):
                nursery.start_soon(storage.read, slow)
            await barrier.arrival()
            await trio.sleep(0.05)
            assert len(started) == READER_THREADS
            await storage.read_point(lambda rows: namespaces.find(rows, NAME))
            await storage.write(lambda transaction: None)
            barrier.open()
        assert len(started) == READER_THREADS + 3

    run(test)


def test_reader_sees_what_was_committed_before_it_began(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            for number in range(50):
                name = RepositoryName(f"n{number}")
                made = await storage.write(
                    lambda transaction, name=name: namespaces.ensure(transaction.rows, name, 1)
                )
                assert (
                    await storage.read_point(lambda rows, n=name: namespaces.find(rows, n)) == made
                )
                assert await storage.read(lambda rows, n=name: namespaces.find(rows, n)) == made

    run(test)


def test_point_query_leaves_no_snapshot_open(root: Path) -> None:
    """An open one would keep the log from being folded into the database."""

    async def test() -> None:
        async with opened(root) as storage:
            await storage.write(lambda transaction: namespaces.ensure(transaction.rows, NAME, 1))
            await storage.read_point(lambda rows: namespaces.find(rows, NAME))
            await storage.read_point(lambda rows: namespaces.list_with_content(rows, "", 5))
            for _ in range(READER_THREADS):
                await storage.read(lambda rows: namespaces.find(rows, NAME))
            checkpointer = sqlite3.connect(root / "metadata.db", timeout=0.1)
            found = checkpointer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            checkpointer.close()
            assert found == (0, 0, 0)

    run(test)


def test_blob_is_opened_with_its_size(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            staged = await staged_blob(storage, b"content")
            await storage.write(publishing(staged))
            blob = await storage.open_blob(staged.digest)

            assert blob is not None
            assert blob.size == 7
            assert os.pread(blob.descriptor, 100, 0) == b"content"
            assert storage.published_size(staged.digest) == 7
            blob.close()
            assert open_files(root) == []

    run(test)


def test_blob_that_is_not_there_is_none(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            assert await storage.open_blob(digest_of(b"absent")) is None
            assert storage.published_size(digest_of(b"absent")) is None

    run(test)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_blob_that_cannot_be_opened_is_unavailable(root: Path, number: int) -> None:
    files = ScriptedFiles(open_to_read=failing(number))

    async def test() -> None:
        async with opened(root, files) as storage:
            error = await refusal_of(storage.open_blob(digest_of(b"content")))
            assert says(error, Code.UNAVAILABLE, 503)

    run(test)


def test_link_in_the_place_of_a_blob_is_not_followed(root: Path) -> None:
    digest = digest_of(b"content")

    async def test() -> None:
        async with opened(root) as storage:
            blob_path(root, digest).symlink_to("/etc/passwd")
            error = await refusal_of(storage.open_blob(digest))
            assert says(error, Code.UNAVAILABLE, 503)
            assert storage.published_size(digest) is None

    run(test)


@pytest.mark.parametrize(("reserve", "is_enough"), [(0, True), (1, True), (1 << 60, False)])
def test_space_is_enough_above_the_reserve(root: Path, reserve: int, is_enough: bool) -> None:
    async def test() -> None:
        async with opened(root, reserve=reserve) as storage:
            space = storage.space()
            assert space.is_enough is is_enough
            assert space.reserve_bytes == reserve
            assert space.free_bytes > 0
            if is_enough:
                storage.require_space()
            else:
                with pytest.raises(OciError, match="UNAVAILABLE 507"):
                    storage.require_space()

    run(test)


def test_space_that_cannot_be_told_is_unavailable(root: Path) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            files.at["free_bytes"] = failing(errno.EIO)
            with pytest.raises(OciError, match="UNAVAILABLE 503"):
                storage.require_space()

    run(test)


def test_offset_that_cannot_be_told_is_unavailable(root: Path) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened(root, files) as storage:
            session = storage.sessions.new(NAME, "", "me", "sha256", 1)
            await storage.sessions.create(session, 10)
            files.at["regular_size"] = failing(errno.EIO)
            error = await refusal_of(storage.committed_offset(session.id))
            assert says(error, Code.UNAVAILABLE, 503)

    run(test)


def test_ballast_is_taken_when_storage_opens(root: Path) -> None:
    async def test() -> None:
        async with opened(root, ballast=MIB):
            assert (root / "ballast").stat().st_size == MIB
        (root / "ballast").unlink()
        async with opened(root, ballast=MIB, reserve=1 << 60):
            assert not (root / "ballast").exists()

    run(test)


def test_database_size_counts_its_log(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await storage.write(lambda transaction: namespaces.ensure(transaction.rows, NAME, 1))
            log = (root / "metadata.db-wal").stat().st_size
            assert log > 0
            assert storage.database_bytes() == (root / "metadata.db").stat().st_size + log

    run(test)


def test_closing_folds_the_log_into_the_database_and_closes_everything(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            await storage.write(lambda transaction: namespaces.ensure(transaction.rows, NAME, 1))
            await storage.read(lambda rows: namespaces.find(rows, NAME))
        assert not (root / "metadata.db-wal").exists()
        assert open_files(root, aside=()) == []
        assert "writer" not in {thread.name for thread in threading.enumerate()}

    run(test)


def test_nothing_but_a_thread_call_is_made_for_a_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            calls = ThreadCalls(monkeypatch)
            await storage.read_point(lambda rows: namespaces.find(rows, NAME))
            await storage.write(lambda transaction: None)
            assert calls.total == 0
            await storage.read(lambda rows: namespaces.find(rows, NAME))
            assert calls.total == 1

    run(test)
