"""What two processes of one instance know of each other: here two storages in one process.

A process that dies is a storage that is closed while it still holds a session.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.oci.codes import Code
from angos_trio.oci.digest import digest_of
from angos_trio.records import replace
from angos_trio.storage.metadata import uploads
from angos_trio.storage.session_record import UploadSession, decode_session
from angos_trio.storage.store import Storage, StorageSettings, begin_storage, join_storage
from tests.storage.support import (
    NAME,
    OPEN_MAX,
    OWNER,
    Source,
    append,
    files_of,
    new_session,
    refusal_of,
    run,
    says,
    stage,
    until,
)
from tests.storage.test_sessions import SlowWriter

DIGEST = digest_of(b"content")
RATE = 20.0
"""Seconds of the storage's clock in one of ours."""


def settings_of(root: Path) -> StorageSettings:
    return StorageSettings(root, 0, 0)


async def begin(root: Path) -> None:
    """An instance that has begun, without a process yet."""
    async with begin_storage(settings_of(root), None, trio.current_time, is_alone=False):
        pass


@asynccontextmanager
async def joined(root: Path) -> AsyncIterator[Storage]:
    """One more process."""
    async with join_storage(settings_of(root), None, trio.current_time, processes=2) as storage:
        yield storage


@asynccontextmanager
async def pair(root: Path) -> AsyncIterator[tuple[Storage, Storage]]:
    """Two processes of a new instance."""
    await begin(root)
    async with joined(root) as one, joined(root) as other:
        yield one, other


async def held_by_the_dead(root: Path, content: bytes = b"con") -> UploadSession:
    """A session whose writer died after it had brought something."""
    async with joined(root) as dead:
        session = await new_session(dead)
        await append(dead, session, Source(content))
        await dead.receiver.begin(session)
        return session


def test_process_is_alive_as_long_as_it_runs(root: Path) -> None:
    async def test() -> None:
        await begin(root)
        async with joined(root) as one:
            async with joined(root) as other:
                assert one.shared.me != other.shared.me
                assert one.shared.is_alive(one.shared.me)
                assert one.shared.is_alive(other.shared.me)
                assert other.shared.is_alive(one.shared.me)
                assert sorted(one.shared.processes()) == sorted([one.shared.me, other.shared.me])
            assert not one.shared.is_alive(other.shared.me)
            assert one.shared.processes() == [one.shared.me]

    run(test)


def test_sign_that_nobody_locks_is_that_of_a_dead_process(root: Path) -> None:
    async def test() -> None:
        await begin(root)
        async with joined(root) as one:
            (root / "processes" / "killed").touch()
            assert not one.shared.is_alive("killed")
            one.shared.bury("killed")
            one.shared.bury("killed")
            assert one.shared.processes() == [one.shared.me]

    run(test)


def test_instance_begins_without_what_an_earlier_one_knew(root: Path) -> None:
    async def test() -> None:
        async with pair(root) as (one, _):
            await one.sessions.register(one.sessions.new(NAME, OWNER, "key", "sha256", 1), OPEN_MAX)
            assert one.sessions.count_blocking() == 1
        (root / "processes" / "killed").touch()
        async with pair(root) as (one, other):
            assert one.sessions.count_blocking() == 0
            assert sorted(one.shared.processes()) == sorted([one.shared.me, other.shared.me])

    run(test)


def test_session_of_one_process_is_known_to_the_other(root: Path) -> None:
    async def test() -> None:
        async with pair(root) as (one, other):
            session = await new_session(one)
            assert await other.sessions.find(session.id, NAME) == session
            assert await append(one, session, Source(b"con")) == 3
            assert await append(other, session, Source(b"te")) == 5
            staged = await stage(one, session, Source(b"nt"), DIGEST)
            assert staged.size == 7

    run(test)


def test_open_sessions_of_a_caller_are_counted_in_all_processes(root: Path) -> None:
    async def test() -> None:
        async with pair(root) as (one, other):
            await one.sessions.register(one.sessions.new(NAME, OWNER, "key", "sha256", 1), 2)
            await other.sessions.register(other.sessions.new(NAME, OWNER, "key", "sha256", 1), 2)
            third = one.sessions.new(NAME, OWNER, "key", "sha256", 1)
            error = await refusal_of(one.sessions.register(third, 2))
            assert says(error, Code.TOOMANYREQUESTS, 429)
            assert await other.sessions.count_of("key") == 2

    run(test)


@pytest.mark.parametrize("may_take_over", [False, True])
def test_second_writer_in_another_process_is_refused(root: Path, may_take_over: bool) -> None:
    async def test() -> None:
        async with pair(root) as (one, other):
            session = await new_session(one)
            upload = await one.receiver.begin(session)
            assert await other.sessions.is_writing(session.id)
            error = await refusal_of(other.receiver.begin(session, may_take_over=may_take_over))
            assert says(error, Code.BLOB_UPLOAD_INVALID, 409)

            await upload.close()
            await (await other.receiver.begin(session)).close()
            assert not await one.sessions.is_writing(session.id)

    run(test)


def test_session_of_a_dead_writer_is_taken_at_once(root: Path) -> None:
    async def test() -> None:
        await begin(root)
        async with joined(root) as one:
            session = await held_by_the_dead(root)
            assert await one.sessions.is_writing(session.id)
            staged = await stage(one, session, Source(b"tent"), DIGEST)
            assert staged.size == 7

    run(test)


@pytest.mark.parametrize(("idle_secs", "is_taken"), [(3, False), (6, True)])
def test_idle_writer_of_another_process_gives_way(
    root: Path, idle_secs: float, is_taken: bool
) -> None:
    clock = trio.testing.MockClock(rate=RATE)
    slow = SlowWriter(clock)

    async def test() -> None:
        async with pair(root) as (one, other), trio.open_nursery() as nursery:
            nursery.start_soon(one.sessions.run)
            session = await new_session(one)
            await slow.begin(one, session, nursery, idle_secs)
            if is_taken:
                upload = await other.receiver.begin(session, may_take_over=True)
                await upload.open()
                assert upload.offset == slow.offset == len(b"first part")
                await upload.close()
                assert says(slow.errors[0], Code.BLOB_UPLOAD_INVALID, 409)
            else:
                error = await refusal_of(other.receiver.begin(session, may_take_over=True))
                assert says(error, Code.BLOB_UPLOAD_INVALID, 409)
                assert slow.errors == []
            nursery.cancel_scope.cancel()

    run(test, clock=clock)


def test_upload_that_another_process_writes_to_is_cancelled(root: Path) -> None:
    clock = trio.testing.MockClock(rate=RATE)
    slow = SlowWriter(clock)

    async def test() -> None:
        async with pair(root) as (one, other), trio.open_nursery() as nursery:
            nursery.start_soon(one.sessions.run)
            session = await new_session(one)
            await slow.begin(one, session, nursery, 2)
            assert await other.sessions.cancel(session.id)
            assert files_of(root, session.id) == []
            error = await refusal_of(one.sessions.find(session.id, NAME))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)
            await until(lambda: len(slow.errors) == 1)
            await until(lambda: one.receiver.active == 0)
            assert files_of(root, session.id) == []
            nursery.cancel_scope.cancel()

    run(test, clock=clock)


def test_session_that_one_process_finishes_is_out_of_reach_of_the_other(root: Path) -> None:
    async def test() -> None:
        async with pair(root) as (one, other):
            session = await new_session(one)
            upload = await one.receiver.begin(session)
            await upload.begin_finishing()
            assert await other.sessions.is_finishing(session.id)
            for refused in (
                other.receiver.begin(session, may_take_over=True),
                other.sessions.find(session.id, NAME),
                other.sessions.cancel(session.id),
                other.sessions.begin_finishing(session.id),
            ):
                assert says(await refusal_of(refused), Code.BLOB_UPLOAD_UNKNOWN, 404)
            assert await other.sessions.idle_since(trio.current_time() + 1) == []

            async with trio.open_nursery() as nursery:
                nursery.start_soon(other.sessions.wait_finished, session.id)
                await trio.testing.wait_all_tasks_blocked()
                end = partial(one.sessions.end_finishing_blocking, is_open_again=True)
                await trio.to_thread.run_sync(end, session.id)
            await upload.close()
            assert await append(other, session, Source(b"content")) == 7

    run(test)


def test_of_cancel_and_finish_in_two_processes_the_first_wins(root: Path) -> None:
    async def test() -> None:
        async with pair(root) as (one, other):
            session = await new_session(one)
            upload = await one.receiver.begin(session)
            await other.sessions.cancel(session.id)
            error = await refusal_of(upload.begin_finishing())
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)
            await upload.close()

    run(test)


def test_what_a_dead_process_wrote_can_be_written_to_again(root: Path) -> None:
    async def test() -> None:
        await begin(root)
        async with joined(root) as one, joined(root) as other:
            session = await held_by_the_dead(root)
            own = await new_session(other)
            writes = await other.receiver.begin(own)

            assert await one.recover_from_dead_processes() == ()

            assert not await one.sessions.is_writing(session.id)
            assert await one.committed_offset(session.id) == 3
            assert await one.sessions.is_writing(own.id)
            assert await one.recover_from_dead_processes() == ()
            await writes.close()

    run(test)


def test_signs_of_dead_processes_are_removed(root: Path) -> None:
    async def test() -> None:
        await begin(root)
        async with joined(root) as one:
            for name in ("killed", "killed.0", "killed.17"):  # its spare files are beside it
                (root / "processes" / name).touch()
            assert await one.recover_from_dead_processes() == ()
            assert os.listdir(root / "processes") == [one.shared.me]

    run(test)


async def finishing_of_the_dead(root: Path) -> UploadSession:
    """A sealed session whose process died while its commit was on its way."""
    async with joined(root) as dead:
        session = await new_session(dead)
        upload = await dead.receiver.begin(session)
        await upload.finish(Source(b"content"), 1000, DIGEST)
        await upload.begin_finishing()
        return replace(session, finishing=DIGEST)


def test_finishing_that_did_not_publish_is_open_again(root: Path) -> None:
    async def test() -> None:
        await begin(root)
        async with joined(root) as one:
            session = await finishing_of_the_dead(root)
            assert await one.recover_from_dead_processes() == ()

            assert await one.sessions.find(session.id, NAME) == replace(session, finishing=None)
            record = (root / "uploads" / f"{session.id}.json").read_bytes()
            assert decode_session(session.id, record).finishing is None
            assert (await stage(one, session, Source(b""), DIGEST)).size == 7

    run(test)


def test_finishing_that_published_is_given_to_one_process(root: Path) -> None:
    async def test() -> None:
        await begin(root)
        async with joined(root) as one, joined(root) as other:
            session = await finishing_of_the_dead(root)
            (root / "uploads" / f"{session.id}.data").unlink()  # it took its final name

            assert await one.recover_from_dead_processes() == (session,)
            assert await other.recover_from_dead_processes() == ()
            assert await other.sessions.is_finishing(session.id)

            await one.sessions.discard(session.id)
            assert not await other.sessions.is_finishing(session.id)
            assert files_of(root, session.id) == []

    run(test)


def test_finishing_whose_process_died_is_inherited_again_from_its_heir(root: Path) -> None:
    async def test() -> None:
        await begin(root)
        session = await finishing_of_the_dead(root)
        (root / "uploads" / f"{session.id}.data").unlink()
        async with joined(root) as heir:
            assert await heir.recover_from_dead_processes() == (session,)
        async with joined(root) as one:
            assert await one.recover_from_dead_processes() == (session,)

    run(test)


@pytest.mark.parametrize("record", [None, b"", b"{ torn", b"\xff\x00["])
def test_session_without_a_record_dies_with_its_process(root: Path, record: bytes | None) -> None:
    """It was to live no longer than its request."""

    async def test() -> None:
        await begin(root)
        async with joined(root) as one:
            async with joined(root) as dead:
                session = dead.sessions.new(NAME, OWNER, "key", "sha256", 1)
                await dead.sessions.register(session, OPEN_MAX)
                await append(dead, session, Source(b"con"))
                await dead.receiver.begin(session)
                if record is not None:
                    (root / "uploads" / f"{session.id}.json").write_bytes(record)

            assert await one.recover_from_dead_processes() == ()
            assert files_of(root, session.id) == []
            assert one.sessions.count_blocking() == 0

    run(test)


def test_work_waits_for_another_process_that_changes_rows(root: Path) -> None:
    async def test() -> None:
        async with pair(root) as (one, other):
            session = await new_session(one)
            rows = sqlite3.connect(root / "shared.db", isolation_level=None)
            rows.execute("BEGIN IMMEDIATE")
            done = trio.Event()

            async def change() -> None:
                await one.shared.run(partial(uploads.touch, session=session.id, now=-1.0))
                done.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(change)
                await trio.testing.wait_all_tasks_blocked()
                assert not done.is_set()
                assert await other.sessions.find(session.id, NAME) == session  # reads go on
                rows.execute("COMMIT")
            rows.close()
            assert await other.sessions.idle_since(0.0) == [session.id]

    run(test)
