"""Who a session belongs to, who writes to it, and what its record file says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from angos_trio.limits.storage import GATHER_SECS_MAX, RUNNING_HASHES_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of, new_hash
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.records import replace
from angos_trio.storage.session_record import (
    UploadSession,
    decode_session,
    finishing_line,
    session_of_file,
)
from angos_trio.storage.sessions import RunningHash
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows
from tests.storage.support import (
    NAME,
    Source,
    append,
    content_of,
    files_of,
    new_session,
    opened,
    refusal_of,
    run,
    says,
    until,
)

ID = SessionId("01234567-89ab-cdef-0123-456789abcdef")
SESSION = UploadSession(ID, NAME, "basic::alice", "basic::alice", 17, "sha256")
RECORD = json.loads(SESSION.encode())


def encoded(record: object) -> bytes:
    """A record's only line."""
    return f"{json.dumps(record)}\n".encode()


@pytest.mark.parametrize(
    "session",
    [
        SESSION,
        UploadSession(ID, NAME, "", "", 0, "sha512", digest_of(b"x", "sha512")),
        UploadSession(ID, NAME, "oidc:github:ümlaut\n", "a@::1", 2**40, "sha256", digest_of(b"")),
    ],
)
def test_record_holds_all_that_a_session_is(session: UploadSession) -> None:
    assert decode_session(ID, session.encode()) == session


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": "Not A Name"},
        {"namespace": None},
        {"algorithm": "md5"},
        {"algorithm": None},
        {"algorithm": ["sha256"]},
        {"started_at": "soon"},
        {"started_at": None},
        {"started_at": math.inf},
        {"started_at": math.nan},
        {"started_at": []},
    ],
)
def test_record_that_makes_no_sense_is_unreadable(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        decode_session(ID, encoded({**RECORD, **change}))


@pytest.mark.parametrize("key", sorted(RECORD))
def test_record_without_a_key_is_unreadable(key: str) -> None:
    record = {name: value for name, value in RECORD.items() if name != key}

    with pytest.raises(ValueError, match="cannot be read"):
        decode_session(ID, encoded(record))


def test_torn_record_is_unreadable() -> None:
    whole = SESSION.encode()
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="cannot be read"):
            decode_session(ID, whole[:length])


@pytest.mark.parametrize("mark", [b"sha256:short", b"5", b"\xff", b"{}"])
def test_mark_that_makes_no_sense_makes_the_record_unreadable(mark: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        decode_session(ID, SESSION.encode() + b"\n" + mark + b"\n")


def test_record_is_of_one_session_only() -> None:
    other = SessionId("11234567-89ab-cdef-0123-456789abcdef")
    assert decode_session(ID, encoded(RECORD)) == SESSION
    with pytest.raises(ValueError, match="cannot be read"):
        decode_session(other, SESSION.encode())


@pytest.mark.parametrize(
    ("marks", "finishing"),
    [
        (b"", None),
        (b"\nsha2", None),
        (finishing_line(digest_of(b"1")), digest_of(b"1")),
        (finishing_line(digest_of(b"1")) + finishing_line(digest_of(b"2")), digest_of(b"2")),
        (b"\nsha2" + finishing_line(digest_of(b"2")), digest_of(b"2")),
        (finishing_line(digest_of(b"1")) + b"\nsha256:00", digest_of(b"1")),
    ],
)
def test_last_whole_mark_says_what_a_session_is_about_to_become(
    marks: bytes, finishing: Digest | None
) -> None:
    assert decode_session(ID, SESSION.encode() + marks) == replace(SESSION, finishing=finishing)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(RECORD)), inner)
    ),
    max_leaves=8,
)


def expect_session_or_value_error(content: bytes) -> None:
    try:
        session = decode_session(ID, content)
    except ValueError:
        return
    assert decode_session(ID, session.encode()) == session


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=60) | JSON.map(encoded))
def test_record_is_a_session_or_a_value_error(content: bytes) -> None:
    expect_session_or_value_error(content)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(RECORD)), JSON))
def test_changed_record_is_a_session_or_a_value_error(change: dict[str, object]) -> None:
    expect_session_or_value_error(encoded({**RECORD, **change}))


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        (f"{ID}.json", True),
        (f"{ID}.data", True),
        (f"{ID}.json.tmp", True),
        (f"{ID}", False),
        (f"{ID}.txt", False),
        (f"{ID}.data.old", False),
        (f"{ID.upper()}.data", False),
        ("notes.json", False),
        (".data", False),
        ("", False),
    ],
)
def test_files_of_sessions_are_told_from_others(name: str, is_ours: bool) -> None:
    assert session_of_file(name) == (ID if is_ours else None)


def test_session_is_found_in_its_namespace_only(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)

            assert await storage.sessions.find(session.id, NAME) == session
            for identifier, name in ((session.id, RepositoryName("team/other")), (ID, NAME)):
                with pytest.raises(OciError) as caught:
                    await storage.sessions.find(identifier, name)
                assert says(caught.value, Code.BLOB_UPLOAD_UNKNOWN, 404)

    run(test)


def test_open_sessions_are_counted_by_caller(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            sessions = storage.sessions
            mine = [await new_session(storage, limit_key="me") for _ in range(3)]
            await new_session(storage, limit_key="you")
            assert (
                await sessions.count_of("me"),
                await sessions.count_of("you"),
                sessions.count_blocking(),
            ) == (3, 1, 4)

            await sessions.discard(mine[0].id)
            await sessions.discard(mine[0].id)
            await sessions.discard(mine[1].id)
            assert (await sessions.count_of("me"), await sessions.count_of("nobody")) == (1, 0)

        async with opened(root) as storage:
            assert await storage.sessions.count_of("me") == 1

    run(test)


def test_discarded_session_is_gone_with_its_files(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            await append(storage, session, Source(b"content"))
            assert files_of(root, session.id) == [".data", ".json"]

            assert await storage.sessions.discard(session.id)
            assert files_of(root, session.id) == []
            error = await refusal_of(storage.receiver.begin(session))
            assert says(error, Code.BLOB_UPLOAD_UNKNOWN, 404)

    run(test)


def test_sessions_are_idle_when_nothing_came_and_nobody_writes(root: Path) -> None:
    """The clock moves only when it is told to."""
    clock = trio.testing.MockClock()

    async def test() -> None:
        async with opened(root) as storage:
            old, active, writing = [await new_session(storage) for _ in range(3)]
            upload = await storage.receiver.begin(writing)
            clock.jump(100)
            await append(storage, active, Source(b"a byte"))
            young = await new_session(storage)
            begun_at = trio.current_time()

            assert await storage.sessions.idle_since(begun_at - 50) == [old.id]
            await upload.close()
            idle = set(await storage.sessions.idle_since(begun_at - 50))
            assert idle == {old.id, writing.id}
            clock.jump(1)
            assert set(await storage.sessions.idle_since(begun_at + 1)) == {
                session.id for session in (old, active, writing, young)
            }

    run(test, clock=clock)


def test_second_writer_is_refused_at_once(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            upload = await storage.receiver.begin(session)
            for may_take_over in (False, True):
                error = await refusal_of(
                    storage.receiver.begin(session, may_take_over=may_take_over)
                )
                assert says(error, Code.BLOB_UPLOAD_INVALID, 409)

            await upload.close()
            await (await storage.receiver.begin(session)).close()
            assert storage.receiver.active == 0

    run(test)


class SlowWriter:
    """A request that brings one part, which is written, and then nothing."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock
        self._waits = trio.Event()
        self.errors: list[OciError] = []
        self.offset = -1

    async def begin(
        self, storage: Storage, session: UploadSession, nursery: trio.Nursery, idle_secs: float
    ) -> None:
        """Return once the part is written, and so much later."""
        nursery.start_soon(self._write, storage, session)
        await self._waits.wait()
        await trio.testing.wait_all_tasks_blocked()
        self._clock.jump(GATHER_SECS_MAX)
        await until(lambda: storage.sessions.committed_offset(session.id) > 0)
        self._clock.jump(idle_secs - GATHER_SECS_MAX)

    async def _nothing(self) -> bytes:
        self._waits.set()
        await trio.sleep_forever()
        return b""

    async def _write(self, storage: Storage, session: UploadSession) -> None:
        upload = await storage.receiver.begin(session)
        try:
            await upload.open()
            await upload.append(Source(b"first part", self._nothing), 1000)
        except OciError as error:
            self.errors.append(error)
        finally:
            await upload.close()
            self.offset = upload.offset


@pytest.mark.parametrize(
    ("idle_secs", "may_take_over", "is_taken"),
    [(4.4, True, False), (5.1, True, True), (5.1, False, False), (500, False, False)],
)
def test_idle_writer_gives_way_after_five_seconds(
    root: Path, idle_secs: float, may_take_over: bool, is_taken: bool
) -> None:
    clock = trio.testing.MockClock()
    slow = SlowWriter(clock)

    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            session = await new_session(storage)
            await slow.begin(storage, session, nursery, idle_secs)
            clock.rate = 10  # a refusal comes after half a second
            try:
                upload = await storage.receiver.begin(session, may_take_over=may_take_over)
            except OciError as error:
                assert not is_taken
                assert says(error, Code.BLOB_UPLOAD_INVALID, 409)  # noqa: PT017
                assert slow.errors == []
            else:
                assert is_taken
                await upload.open()
                assert upload.offset == slow.offset == len(b"first part")
                await upload.append(Source(b", second"), 1000)
                await upload.close()
                assert says(slow.errors[0], Code.BLOB_UPLOAD_INVALID, 409)
                assert storage.sessions.committed_offset(session.id) == len(b"first part, second")
            nursery.cancel_scope.cancel()

    run(test, clock=clock)


def test_of_two_that_take_over_one_wins(root: Path) -> None:
    clock = trio.testing.MockClock()
    outcomes: list[bool] = []

    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            session = await new_session(storage)
            await SlowWriter(clock).begin(storage, session, nursery, 6)
            clock.rate = 10

            async def take() -> None:
                try:
                    upload = await storage.receiver.begin(session, may_take_over=True)
                except OciError:
                    outcomes.append(False)
                else:
                    outcomes.append(True)
                    await trio.sleep(1)
                    await upload.close()

            async with trio.open_nursery() as takers:
                takers.start_soon(take)
                takers.start_soon(take)

    run(test, clock=clock)
    assert sorted(outcomes) == [False, True]


def test_session_that_is_discarded_stops_its_writer(root: Path) -> None:
    clock = trio.testing.MockClock()
    slow = SlowWriter(clock)

    async def test() -> None:
        async with opened(root) as storage, trio.open_nursery() as nursery:
            session = await new_session(storage)
            await slow.begin(storage, session, nursery, 2)
            await storage.sessions.discard(session.id)

            assert files_of(root, session.id) == []
            assert len(slow.errors) == 1
            assert storage.receiver.active == 0

    run(test, clock=clock)


def test_taking_over_a_session_that_is_discarded_meanwhile_is_refused(root: Path) -> None:
    """Whoever wakes first when the writer has ended; Trio draws that anew each time."""
    clock = trio.testing.MockClock()

    async def test() -> None:
        async with opened(root) as storage:
            for _ in range(12):
                await discard_while_taking(storage)
            assert storage.receiver.active == 0
        assert list((root / "uploads").iterdir()) == []

    async def discard_while_taking(storage: Storage) -> None:
        session = await new_session(storage)
        async with trio.open_nursery() as nursery:
            await SlowWriter(clock).begin(storage, session, nursery, 6)
            clock.rate = 10
            nursery.start_soon(take, storage, session)
            nursery.start_soon(storage.sessions.discard, session.id)

    async def take(storage: Storage, session: UploadSession) -> None:
        error = await refusal_of(storage.receiver.begin(session, may_take_over=True))
        assert error.status in (404, 409)

    run(test, clock=clock)


def test_hashes_are_kept_for_so_many_sessions_and_the_oldest_goes(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            sessions = storage.sessions
            made = [
                sessions.new(NAME, "", "me", "sha256", 1) for _ in range(RUNNING_HASHES_MAX + 2)
            ]
            for session in made:
                sessions.keep_hash(session.id, RunningHash(new_hash("sha256"), "sha256", 5))

            kept = [sessions.take_hash(session, 5) is not None for session in made]
            assert kept == [False] * 2 + [True] * RUNNING_HASHES_MAX

    run(test)


def test_hash_of_another_length_is_not_given(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            await append(storage, session, Source(content_of(100)))

            assert storage.sessions.take_hash(session, 99) is None
            assert storage.sessions.take_hash(session, 100) is None, "given away"

    run(test)


def test_record_says_what_a_session_is_about_to_become(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            session = await new_session(storage)
            digest = digest_of(b"content")
            storage.sessions.mark_finishing(session, digest)

            record = decode_session(
                session.id, (root / "uploads" / f"{session.id}.json").read_bytes()
            )
            assert record.finishing == Digest(digest)
            assert record.owner == session.owner

    run(test)


def test_upload_that_begins_while_the_rows_are_read_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows take a while where another process is in the way."""

    async def test() -> None:
        async with opened(root) as storage:
            sessions, read_at_once = storage.sessions, storage.shared.run
            first, second = await new_session(storage), await new_session(storage)
            await sessions.begin_writing(first.id, may_take_over=False)
            scopes: list[trio.CancelScope] = []

            async def read_slowly(work: Callable[[Rows], Any]) -> Any:
                found = await read_at_once(work)
                if not scopes:
                    monkeypatch.setattr(storage.shared, "run", read_at_once)
                    scopes.append(await sessions.begin_writing(second.id, may_take_over=False))
                return found

            monkeypatch.setattr(storage.shared, "run", read_slowly)
            await sessions._look_after_held()
            assert [scope.cancel_called for scope in scopes] == [False]
            for session in (first, second):
                await sessions.end_writing(session.id, is_finishing=False)

    run(test)
