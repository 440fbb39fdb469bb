"""What stands in `uploads/` when we start, and what comes of it."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
import trio

from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import SessionId
from angos_trio.records import replace
from angos_trio.storage.session_record import UploadSession, decode_session
from tests.storage.support import (
    NAME,
    ScriptedFiles,
    Source,
    append,
    failing,
    files_of,
    new_session,
    opened,
    run,
    stage,
)

ID = SessionId("01234567-89ab-cdef-0123-456789abcdef")
OPEN = UploadSession(ID, NAME, "anonymous::", "anonymous::@192.0.2.1", 17, "sha256")
DIGEST = digest_of(b"content")
FINISHING = replace(OPEN, finishing=DIGEST)

TABLE = {
    "record and content": ({".json": OPEN.encode(), ".data": b"cont"}, "resumable"),
    "record before its first byte": ({".json": OPEN.encode()}, "resumable"),
    "finishing, not yet renamed": ({".json": FINISHING.encode(), ".data": b"content"}, "resumable"),
    "finishing, renamed": ({".json": FINISHING.encode()}, "interrupted"),
    "content without a record": ({".data": b"content"}, "gone"),
    "torn record": ({".json": OPEN.encode()[:20], ".data": b"content"}, "gone"),
    "empty record": ({".json": b"", ".data": b"content"}, "gone"),
    "record of nonsense": ({".json": b"\xff\x00[", ".data": b"content"}, "gone"),
    "record that was being replaced": (
        {".json": OPEN.encode(), ".json.tmp": FINISHING.encode()[:9], ".data": b"content"},
        "resumable",
    ),
    "record that was being replaced, nothing else": ({".json.tmp": b"x"}, "gone"),
    "record of a namespace that no longer may be": (
        {".json": OPEN.encode().replace(b"team/app", b"Team/App"), ".data": b"c"},
        "gone",
    ),
}


def prepare(root: Path, files: dict[str, bytes]) -> None:
    """A data directory whose `uploads/` holds these files of one session."""

    async def make() -> None:
        async with opened(root):
            pass

    run(make)
    for ending, content in files.items():
        (root / "uploads" / f"{ID}{ending}").write_bytes(content)


@pytest.mark.parametrize(("files", "expected"), TABLE.values(), ids=TABLE.keys())
def test_what_an_earlier_process_left(root: Path, files: dict[str, bytes], expected: str) -> None:
    prepare(root, files)

    async def test() -> None:
        async with opened(root) as storage:
            is_open = storage.sessions.count_blocking() == 1
            found = "interrupted" if storage.interrupted else "resumable" if is_open else "gone"
            assert found == expected
            if expected == "resumable":
                assert await storage.sessions.find(ID, NAME) == OPEN
                assert await storage.sessions.count_of(OPEN.limit_key) == 1
                size = len(files.get(".data", b""))
                assert await storage.committed_offset(ID) == size
            elif expected == "interrupted":
                assert storage.interrupted == (FINISHING,)
            left = {"resumable": {".json", ".data"} & set(files), "interrupted": {".json"}}
            assert set(files_of(root, ID)) == left.get(expected, set())

    run(test)


def test_session_is_resumed_by_the_next_process(root: Path) -> None:
    async def first() -> SessionId:
        async with opened(root) as storage:
            session = await new_session(storage)
            await append(storage, session, Source(b"con"))
            return session.id

    async def second(identifier: SessionId) -> None:
        async with opened(root) as storage:
            session = await storage.sessions.find(identifier, NAME)
            assert await storage.committed_offset(identifier) == 3
            staged = await stage(storage, session, Source(b"tent"), DIGEST)
            assert staged.size == 7

    run(second, run(first))


@pytest.mark.parametrize(
    ("idle_secs", "is_idle"), [({".data": 50, ".json": 500}, False), ({".data": 500}, True)]
)
@pytest.mark.parametrize("starts", [1, 3])
def test_session_is_as_old_as_its_last_byte_however_often_the_registry_starts(
    root: Path, idle_secs: dict[str, int], is_idle: bool, starts: int
) -> None:
    prepare(root, {".json": OPEN.encode(), ".data": b"cont"})
    for ending, secs in idle_secs.items():
        at = time.time() - secs
        os.utime(root / "uploads" / f"{ID}{ending}", (at, at))

    async def test() -> None:
        for _ in range(starts):
            async with opened(root) as storage:
                idle = await storage.sessions.idle_since(trio.current_time() - 100)
                assert idle == ([ID] if is_idle else [])

    run(test)


@pytest.mark.parametrize(("idle_secs", "is_idle"), [(500, True), (50, False), (-500, False)])
def test_session_without_a_byte_is_as_old_as_its_record(
    root: Path, idle_secs: int, is_idle: bool
) -> None:
    """A file of the future, since the clock was set, is of now."""
    prepare(root, {".json": OPEN.encode()})
    at = time.time() - idle_secs
    os.utime(root / "uploads" / f"{ID}.json", (at, at))

    async def test() -> None:
        async with opened(root) as storage:
            idle = await storage.sessions.idle_since(trio.current_time() - 100)
            assert idle == ([ID] if is_idle else [])

    run(test)


def test_offset_after_a_crash_is_what_the_file_really_holds(root: Path) -> None:
    prepare(root, {".json": OPEN.encode(), ".data": b"con\0\0"})

    async def test() -> None:
        async with opened(root) as storage:
            session = await storage.sessions.find(ID, NAME)
            assert await storage.committed_offset(ID) == 5
            assert await append(storage, session, Source(b"x")) == 6

    run(test)


def test_record_that_was_finishing_is_written_back(root: Path) -> None:
    """Or else a later crash, after its bytes were cancelled, would look like an interrupted one."""
    prepare(root, {".json": FINISHING.encode(), ".data": b"content"})

    async def test() -> None:
        async with opened(root):
            pass
        record = (root / "uploads" / f"{ID}.json").read_bytes()
        assert decode_session(ID, record).finishing is None

    run(test)


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "notes.json",
        "notes.data",
        "notes.tmp",
        ".hidden",
        f"{ID.upper()}.data",
        f"{ID}.data.bak",
    ],
)
def test_file_that_is_not_ours_stays(root: Path, name: str) -> None:
    prepare(root, {})
    (root / "uploads" / name).write_bytes(b"somebody's")

    async def test() -> None:
        async with opened(root):
            assert (root / "uploads" / name).read_bytes() == b"somebody's"

    run(test)


@pytest.mark.parametrize("ending", [".json", ".data", ".json.tmp"])
def test_directory_with_a_name_of_ours_stops_nothing(root: Path, ending: str) -> None:
    prepare(root, {})
    (root / "uploads" / f"{ID}{ending}").mkdir()

    async def test() -> None:
        async with opened(root) as storage:
            assert storage.sessions.count_blocking() == 0

    run(test)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("files", [files for files, _ in TABLE.values()], ids=TABLE.keys())
def test_disk_that_refuses_changes_does_not_keep_storage_from_opening(
    root: Path, files: dict[str, bytes], number: int
) -> None:
    prepare(root, files)
    refusing = ScriptedFiles()
    for verb in ("replace", "remove", "write_new", "write_at", "allocate"):
        refusing.at[verb] = failing(number)

    async def test() -> None:
        async with opened(root, refusing, ballast=4096) as storage:
            await storage.read(lambda rows: None)

    run(test)
    assert set(files_of(root, ID)) <= set(files)


def test_many_sessions_are_told_apart(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            made = [await new_session(storage, limit_key=f"caller {n % 3}") for n in range(30)]
        for session in made[:10]:
            os.unlink(root / "uploads" / f"{session.id}.json")
        async with opened(root) as storage:
            assert storage.sessions.count_blocking() == 20
            counts = [await storage.sessions.count_of(f"caller {n}") for n in range(3)]
            assert sum(counts) == 20

    run(test)
