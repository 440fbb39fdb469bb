"""Group commit: steps that have gathered run in one transaction, each in its savepoint."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.storage import writer
from angos_trio.storage.metadata import namespaces
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Transaction
from tests.storage.support import (
    Barrier,
    ScriptedFiles,
    is_locked_by_others,
    opened,
    quiet,
    refusal_of,
    rows_of,
    run,
    says,
    until,
)


def adding(name: str) -> Callable[[Transaction], int]:
    """A step that makes a namespace and returns its number."""
    return lambda transaction: namespaces.ensure(transaction.rows, RepositoryName(name), 1)


def names(root: Path) -> list[str]:
    return [row[0] for row in rows_of(root, "SELECT name FROM namespaces ORDER BY id")]


class Gathering:
    """Lets steps gather behind one that waits before its commit."""

    def __init__(self) -> None:
        self.barrier = Barrier()
        self.files = ScriptedFiles()

    async def hold(self, storage: Storage, nursery: trio.Nursery) -> None:
        """Queue a step that waits; what is queued from now on gathers."""
        self.files.at["commit.before"] = self.barrier
        nursery.start_soon(self._held, storage)
        await self.barrier.arrival()
        self.files.met.clear()

    async def _held(self, storage: Storage) -> None:
        with contextlib.suppress(OciError):
            await storage.write(adding("first"))

    async def gathered(self, storage: Storage, count: int) -> None:
        """Return once so many steps wait, then let them go."""
        while storage.waiting_steps < count:
            await trio.testing.wait_all_tasks_blocked()
        self.barrier.open()


def test_step_returns_its_outcome_once_it_is_durable(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            assert await storage.write(adding("a/b")) == 1
            assert names(root) == ["a/b"]

    run(test)


def test_steps_that_gathered_share_one_commit(root: Path) -> None:
    async def test() -> None:
        gathering = Gathering()
        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            for number in range(200):
                nursery.start_soon(storage.write, adding(f"n{number}"))
            await gathering.gathered(storage, 200)

        assert gathering.files.count("commit.before") == 1
        assert len(names(root)) == 201

    run(test)


def test_batch_has_at_most_256_steps(root: Path) -> None:
    async def test() -> None:
        gathering = Gathering()
        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            for _ in range(600):
                nursery.start_soon(storage.write, adding("same"))
            await gathering.gathered(storage, 600)

        assert gathering.files.count("commit.before") == 3

    run(test)


def test_steps_run_in_the_order_in_which_they_were_queued(root: Path) -> None:
    async def test() -> None:
        gathering = Gathering()
        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            for number in range(20):
                nursery.start_soon(storage.write, adding(f"n{number}"))
                await gathering_of(storage, number + 1)
            gathering.barrier.open()

        assert names(root) == ["first", *(f"n{number}" for number in range(20))]

    async def gathering_of(storage: Storage, count: int) -> None:
        while storage.waiting_steps < count:
            await trio.lowlevel.checkpoint()

    run(test)


def refusing(transaction: Transaction) -> None:
    adding("undone")(transaction)
    raise OciError(Code.TAG_IMMUTABLE, detail="v1")


def failing_on_a_foreign_key(transaction: Transaction) -> None:
    adding("undone")(transaction)
    transaction.rows.execute(
        "INSERT INTO tags (namespace, name, digest, updated_at, updated_by) "
        "VALUES (1, 'v1', 'sha256:none', 1, '')"
    )
    transaction.rows.execute("INSERT INTO namespaces (name, created_at) VALUES ('undone', 1)")


def failing_in_python(transaction: Transaction) -> None:
    adding("undone")(transaction)
    raise ZeroDivisionError


def failing_on_a_file(transaction: Transaction) -> None:
    adding("undone")(transaction)
    os.rename(transaction.directory.root / "absent", transaction.directory.root / "target")


def failing_in_sql(transaction: Transaction) -> None:
    adding("undone")(transaction)
    transaction.rows.execute("SELECT no_such_column FROM namespaces")


def failing_on_a_value(transaction: Transaction) -> None:
    adding("undone")(transaction)
    transaction.rows.execute("SELECT zeroblob(?)", (1 << 40,)).fetchone()


def failing_on_an_integer(transaction: Transaction) -> None:
    adding("undone")(transaction)
    transaction.rows.execute("SELECT ?", (1 << 70,))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (refusing, OciError),
        (failing_on_a_foreign_key, sqlite3.IntegrityError),
        (failing_in_python, ZeroDivisionError),
        (failing_on_a_file, OciError),
        (failing_in_sql, (sqlite3.Error, OciError)),
        (failing_on_a_value, (sqlite3.Error, OciError)),
        (failing_on_an_integer, OverflowError),
    ],
)
def test_step_that_fails_undoes_itself_alone(
    root: Path,
    step: Callable[[Transaction], None],
    expected: type[Exception] | tuple[type[Exception], ...],
) -> None:
    async def test() -> None:
        gathering = Gathering()
        failures: list[Exception] = []

        async def failing() -> None:
            try:
                await storage.write(step)
            except Exception as error:
                failures.append(error)

        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            nursery.start_soon(storage.write, adding("before"))
            nursery.start_soon(failing)
            nursery.start_soon(storage.write, adding("after"))
            await gathering.gathered(storage, 3)

        assert len(failures) == 1
        assert isinstance(failures[0], expected), failures
        assert sorted(names(root)) == ["after", "before", "first"]

    run(test)


def test_writer_goes_on_after_each_kind_of_failure(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            for step in (refusing, failing_in_python, failing_on_a_file, failing_in_sql):
                with pytest.raises((OciError, ZeroDivisionError, sqlite3.Error)):
                    await storage.write(step)
            await storage.write(adding("after"))

            assert storage.broken is None
        assert names(root) == ["after"]

    run(test)


def test_step_of_a_cancelled_caller_completes(root: Path) -> None:
    async def test() -> None:
        gathering = Gathering()
        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            async with trio.open_nursery() as callers:
                callers.start_soon(storage.write, adding("left"))
                await trio.testing.wait_all_tasks_blocked()
                callers.cancel_scope.cancel()
            gathering.barrier.open()
            await quiet(storage)

            assert "left" in names(root)

    run(test)


def test_late_step_is_not_reported_as_undone_and_completes(root: Path) -> None:
    """The clock stands still but for a jump over the 30 s that a caller waits."""
    clock = trio.testing.MockClock()

    async def test() -> None:
        gathering = Gathering()
        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            refusals: list[OciError] = []

            async def late() -> None:
                refusals.append(await refusal_of(storage.write(adding("late"))))

            nursery.start_soon(late)
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(31)
            await trio.testing.wait_all_tasks_blocked()
            assert says(refusals[0], Code.UNAVAILABLE, 503)
            assert "ask again" in refusals[0].message

            gathering.barrier.open()
            await quiet(storage)
            assert "late" in names(root)

    run(test, clock=clock)


def test_closing_runs_every_step_that_was_queued(root: Path) -> None:
    async def test() -> None:
        gathering = Gathering()
        opener = threading.Timer(0.1, gathering.barrier.open)
        with trio.CancelScope() as callers:
            async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
                await gathering.hold(storage, nursery)
                for number in range(300):
                    nursery.start_soon(storage.write, adding(f"n{number}"))
                while storage.waiting_steps < 300:
                    await trio.testing.wait_all_tasks_blocked()
                opener.start()
                callers.cancel()

        assert len(names(root)) == 301

    run(test)


def test_more_waiting_steps_than_the_bound_are_refused_at_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAITING_STEPS_MAX", 3)

    async def test() -> None:
        gathering = Gathering()
        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            for number in range(3):
                nursery.start_soon(storage.write, adding(f"n{number}"))
            await trio.testing.wait_all_tasks_blocked()

            error = await refusal_of(storage.write(adding("too-many")))
            gathering.barrier.open()

        assert says(error, Code.UNAVAILABLE, 503)
        assert sorted(names(root)) == ["first", "n0", "n1", "n2"]

    run(test)


def test_write_lock_is_held_from_before_the_first_step_until_the_commit_and_checkpoint(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAL_BYTES_MAX", 1)
    found: dict[str, bool] = {}
    files = ScriptedFiles()
    for point in ("commit.before", "commit.after", "regular_size"):
        files.at[point] = lambda point=point: found.setdefault(
            point, is_locked_by_others(root / "write.lock")
        )

    async def test() -> None:
        async with opened(root, files) as storage:
            found.clear()
            assert await storage.write(lambda transaction: is_locked_by_others(root / "write.lock"))
            await quiet(storage)
            assert found == {"commit.before": True, "commit.after": True, "regular_size": True}

    run(test)


def test_step_waits_while_another_process_holds_the_write_lock(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            descriptor = os.open(root / "write.lock", os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            done = trio.Event()

            async def writing() -> None:
                await storage.write(adding("waited"))
                done.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(writing)
                with trio.move_on_after(0.05):
                    await done.wait()
                assert not done.is_set()
                assert names(root) == []
                os.close(descriptor)
            assert names(root) == ["waited"]

    run(test)


def test_steps_run_in_the_writer_thread(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            found = {
                await storage.write(lambda transaction: threading.current_thread().name)
                for _ in range(3)
            }
        assert found == {"writer"}

    run(test)


def test_log_above_its_bound_is_folded_into_the_database(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAL_BYTES_MAX", 100_000)
    log = root / "metadata.db-wal"

    async def test() -> None:
        sizes = []
        async with opened(root) as storage:
            for number in range(60):
                await storage.write(adding(f"n{number}"))
                await storage.read_point(lambda rows: namespaces.list_with_content(rows, "", 5))
                await quiet(storage)
                sizes.append(log.stat().st_size)

        assert max(sizes) < 150_000
        assert any(later < earlier for earlier, later in pairwise(sizes))
        assert len(names(root)) == 60

    run(test)


def test_log_that_a_reader_needs_is_left_for_a_later_batch(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAL_BYTES_MAX", 1)

    async def test() -> None:
        async with opened(root) as storage:
            reader = sqlite3.connect(root / "metadata.db", isolation_level=None)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM namespaces").fetchone()
            begun_at = time.monotonic()
            await storage.write(adding("while-it-reads"))
            await quiet(storage)
            assert time.monotonic() - begun_at < 1
            assert (root / "metadata.db-wal").stat().st_size > 0

            reader.close()
            await storage.write(adding("after-it"))
            await quiet(storage)
            await quiet(storage)
            assert (root / "metadata.db-wal").stat().st_size == 0
        assert names(root) == ["while-it-reads", "after-it"]

    run(test)


def test_commit_stands_when_the_log_cannot_be_looked_at(root: Path) -> None:
    """The step is committed: its caller is answered, and the writer lives on."""
    files = ScriptedFiles()

    def fail_once() -> None:
        files.at.pop("regular_size")
        raise OSError(5, "Input/output error")

    async def test() -> None:
        async with opened(root, files) as storage:
            files.at["regular_size"] = fail_once
            with trio.fail_after(2):
                await storage.write(adding("committed"))
                await storage.write(adding("later"))
        assert names(root) == ["committed", "later"]

    run(test)


def test_unforeseen_failure_answers_everybody_and_makes_storage_read_only(root: Path) -> None:
    """A writer that has died in silence would leave its callers waiting."""
    gathering = Gathering()
    outcomes: list[OciError] = []

    def crash() -> None:
        raise ZeroDivisionError("unforeseen")

    async def write(storage: Storage) -> None:
        outcomes.append(await refusal_of(storage.write(adding("beside"))))

    async def test() -> None:
        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            for _ in range(3):
                nursery.start_soon(write, storage)
            gathering.files.at["commit.before"] = crash
            await gathering.gathered(storage, 3)
            while len(outcomes) < 3:
                await trio.testing.wait_all_tasks_blocked()

            assert storage.broken is not None
            assert "unforeseen" in storage.broken
            await write(storage)
            assert {(error.code, error.status) for error in outcomes} == {(Code.UNAVAILABLE, 503)}

    run(test)
    assert names(root) == ["first"]


@pytest.mark.parametrize("ending", ["done", "refused", "cancelled", "not queued"])
def test_who_asked_is_told_when_the_outcome_is_known(
    root: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it was cancelled meanwhile, or when the step was never queued; once."""
    told: list[BaseException | None] = []

    async def test() -> None:
        gathering = Gathering()
        async with opened(root, gathering.files) as storage, trio.open_nursery() as nursery:
            await gathering.hold(storage, nursery)
            if ending == "not queued":
                monkeypatch.setattr(writer, "WAITING_STEPS_MAX", 0)

            async def write() -> None:
                step = refusing if ending == "refused" else adding("step")
                with contextlib.suppress(OciError):
                    await storage.write(step, told.append)

            async with trio.open_nursery() as callers:
                callers.start_soon(write)
                await trio.testing.wait_all_tasks_blocked()
                if ending == "not queued":
                    await until(lambda: told != [])
                assert len(told) == (ending == "not queued")
                if ending == "cancelled":
                    callers.cancel_scope.cancel()
                gathering.barrier.open()
            monkeypatch.undo()
            await quiet(storage)

    run(test)
    assert len(told) == 1
    assert isinstance(told[0], OciError) == (ending in ("refused", "not queued"))


def test_storage_can_be_opened_again_after_it_was_closed(root: Path) -> None:
    async def test() -> None:
        for number in range(3):
            async with opened(root) as storage:
                assert await storage.write(adding(f"n{number}")) == number + 1

    run(test)
