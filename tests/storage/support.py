"""What the tests of `storage` and `registry` share: a storage on real files, faults, sources.

Everything here is real but the faults: `ScriptedFiles` does what `Files` does, and at a verb or a
point of a test's choice it also fails, waits or takes note.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import ALGORITHMS, Digest, digest_of
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.storage import connections
from angos_trio.storage.connections import migrate, open_writer
from angos_trio.storage.files import Files
from angos_trio.storage.session_record import UploadSession
from angos_trio.storage.store import Storage, StorageSettings, open_storage
from angos_trio.storage.transactions import StagedBlob, Transaction

T = TypeVar("T")
TEST_SECS_MAX = 120
"""A test that waits longer has failed."""
KIB = 1024
MIB = 1024 * 1024
NAME = RepositoryName("team/app")
OWNER = "anonymous::"
SIZE_MAX = 1024 * MIB

VERBS = (
    "make_directory",
    "write_new",
    "write_over",
    "append",
    "move",
    "replace",
    "open_to_append",
    "open_to_read",
    "write_at",
    "truncate",
    "sync",
    "flush",
    "sync_directory",
    "publish",
    "link",
    "remove",
    "allocate",
    "regular_size",
    "free_bytes",
)
Action = Callable[[], None]


IN_MEMORY = Path("/dev/shm")
IN_MEMORY_BYTES_MIN = 512 * MIB


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for data directories: real files, in memory where the machine has room for them."""
    has_room = IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK)
    if not has_room or shutil.disk_usage(IN_MEMORY).free < IN_MEMORY_BYTES_MIN:
        yield tmp_path_factory.mktemp("data")
        return
    with tempfile.TemporaryDirectory(dir=IN_MEMORY, prefix="angos-trio-") as directory:
        yield Path(directory)


@pytest.fixture
def fresh_root(scratch: Path) -> Iterator[Path]:
    """A data directory that does not exist yet."""
    directory = scratch / "fresh"
    yield directory
    if directory.is_dir():
        shutil.rmtree(directory)
    elif directory.exists():
        directory.unlink()


@pytest.fixture
def root(scratch: Path) -> Iterator[Path]:
    """A data directory without content. It may have been prepared before: to make and remove the
    512 directories of a store takes longer than most tests."""
    directory = scratch / "root"
    yield directory
    if not _empty(directory):
        shutil.rmtree(directory)


def _empty(directory: Path) -> bool:
    """Remove all that a test has left but the prepared directories; False where they are not."""
    kept = {"blobs", "uploads", "trash", "quarantine", "processes", "format.json"}
    if not kept <= set(os.listdir(directory)):
        return False
    for name in set(os.listdir(directory)) - kept:
        if (directory / name).is_dir():
            shutil.rmtree(directory / name)
        else:
            (directory / name).unlink()
    parents = [directory / "uploads", *(directory / "blobs" / name for name in ALGORITHMS)]
    for parent in parents:
        with os.scandir(parent) as entries:
            found = list(entries)
        if parent.name != "uploads" and len(found) != 256:
            return False
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif parent.name == "uploads":
                shutil.rmtree(entry.path)
            else:
                for name in os.listdir(entry.path):
                    os.unlink(os.path.join(entry.path, name))
    return True


def run(
    test: Callable[..., Awaitable[T]], *arguments: Any, clock: trio.abc.Clock | None = None
) -> T:
    """Run an async test to its end; what hangs fails after 120 s of the real clock."""

    async def bounded() -> T:
        if clock is not None:
            return await test(*arguments)
        with trio.fail_after(TEST_SECS_MAX):
            return await test(*arguments)

    return trio.run(bounded, clock=clock)


class ScriptedFiles(Files):
    """Real files that note what is asked of them in `met`, and run `at[name]` before doing it.

    A name is a verb or a point given to `reached`.
    """

    def __init__(self, **at: Action) -> None:
        self.met: list[str] = []
        self.at: dict[str, Action] = dict(at)

    def meet(self, name: str) -> None:
        self.met.append(name)
        action = self.at.get(name)
        if action is not None:
            action()

    def reached(self, point: str) -> None:
        self.meet(point)

    def count(self, name: str) -> int:
        return self.met.count(name)


def _noting(verb: str) -> Callable[..., Any]:
    real = getattr(Files, verb)

    def noted(self: ScriptedFiles, *arguments: Any, **named: Any) -> Any:
        self.meet(verb)
        return real(self, *arguments, **named)

    return noted


for _verb in VERBS:
    setattr(ScriptedFiles, _verb, _noting(_verb))


def failing(number: int, *, times: int | None = None, after: int = 0) -> Action:
    """Fail with an errno: always or so many times, after letting so many pass."""
    left = [after, -1 if times is None else times]

    def action() -> None:
        if left[0] > 0:
            left[0] -= 1
        elif left[1] != 0:
            left[1] -= 1
            raise OSError(number, os.strerror(number))

    return action


class Barrier:
    """An action that holds its thread until the test opens it; open from then on."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._opened = threading.Event()

    def __call__(self) -> None:
        self._arrived.set()
        assert self._opened.wait(TEST_SECS_MAX), "the test never opened the barrier"

    async def arrival(self) -> None:
        """Return once a thread waits here."""
        arrived = await trio.to_thread.run_sync(self._arrived.wait, TEST_SECS_MAX)
        assert arrived, "nobody came to the barrier"

    def open(self) -> None:
        self._opened.set()


OPEN_MAX = 1000


def opened(
    root: Path, files: Files | None = None, *, reserve: int = 0, ballast: int = 0
) -> AbstractAsyncContextManager[Storage]:
    """A storage in a directory, by default without reserve and ballast."""
    return open_storage(StorageSettings(root, reserve, ballast), files, trio.current_time)


class Source:
    """A request's body: parts one by one, then a failure or the end. Cancelling loses nothing.

    A part may be a function, which is called (and awaited) for it.
    """

    def __init__(self, *parts: bytes | Callable[[], Any], failure: Exception | None = None) -> None:
        self._parts = list(parts)
        self._failure = failure
        self.taken_bytes = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._parts:
            if self._failure is not None:
                raise self._failure
            raise StopAsyncIteration
        part = self._parts[0]
        content = part if isinstance(part, bytes) else await part()
        self._parts.pop(0)
        self.taken_bytes += len(content)
        return content


def body(content: bytes, part: int = 64 * KIB) -> Source:
    """A body that arrives in parts, as from a socket."""
    return Source(*(content[at : at + part] for at in range(0, len(content), part)))


def content_of(size: int, seed: int = 0) -> bytes:
    """Bytes that differ from each other everywhere: a chunk out of place is seen."""
    block = b"".join((seed * 1_000_003 + at).to_bytes(8, "big") for at in range(2048))
    repeated = b"".join(
        number.to_bytes(8, "big") + block for number in range(size // (len(block) + 8) + 1)
    )
    return repeated[:size]


async def new_session(
    storage: Storage,
    name: RepositoryName = NAME,
    *,
    owner: str = OWNER,
    algorithm: str = "sha256",
    limit_key: str = "caller",
) -> UploadSession:
    """An open session."""
    session = storage.sessions.new(name, owner, limit_key, algorithm, 1)
    await storage.sessions.create(session, OPEN_MAX)
    return session


async def append(storage: Storage, session: UploadSession, source: Any) -> int:
    """One PATCH: the offset after it."""
    upload = await storage.receiver.begin(session)
    try:
        await upload.open()
        await upload.append(source, SIZE_MAX)
        return upload.offset
    finally:
        await upload.close()


async def stage(
    storage: Storage, session: UploadSession, source: Any, digest: Digest
) -> StagedBlob:
    """One PUT up to where its step would be written."""
    upload = await storage.receiver.begin(session)
    try:
        return await upload.finish(source, SIZE_MAX, digest)
    finally:
        await upload.close()


async def staged_blob(storage: Storage, content: bytes) -> StagedBlob:
    """Verified bytes that wait for their final name."""
    session = await new_session(storage)
    return await stage(storage, session, Source(content), digest_of(content))


def publishing(staged: StagedBlob) -> Callable[[Transaction], None]:
    """A step that publishes and does nothing else."""
    return lambda transaction: transaction.publish(staged)


async def refusal_of(work: Awaitable[object]) -> OciError:
    """The OCI error that the work ends in."""
    with pytest.raises(OciError) as caught:
        await work
    return caught.value


def says(error: OciError, code: Code, status: int) -> bool:
    """Whether the error is this answer."""
    return (error.code, error.status) == (code, status)


OF_STORAGE = ("shared.db", "processes/", "metadata.db", "instance.lock", "write.lock")


def open_files(root: Path, aside: tuple[str, ...] = OF_STORAGE) -> list[str]:
    """Which files below `root` this process has open, relative; those of an open storage aside."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith(f"{root}/"):
            found.append(os.path.relpath(target, root))
    return sorted(name for name in found if not name.startswith(aside))


def files_of(root: Path, session: SessionId) -> list[str]:
    """The files of a session that exist, by their endings."""
    return sorted(
        name.removeprefix(session)
        for name in os.listdir(root / "uploads")
        if name.startswith(session)
    )


def published(root: Path) -> list[str]:
    """The blobs that stand under their final name, as digests."""
    return sorted(
        f"{path.parts[-3]}:{path.name}" for path in root.glob("blobs/*/*/*") if path.is_file()
    )


def blob_path(root: Path, digest: Digest) -> Path:
    """Where a blob's bytes stand."""
    return root / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    """A fresh one, open to be written."""
    path = folder / "metadata.db"
    with closing(open_writer(path)) as rows:
        migrate(rows, path)
        rows.execute("PRAGMA synchronous = OFF")
        yield rows


def migrate_to(version: int, rows: sqlite3.Connection, path: Path) -> None:
    """Make a database as an earlier version of the program had it."""
    every = connections._migrations()
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(connections, "_migrations", lambda: every[:version])
        migrate(rows, path)


def rows_of(root: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What an outside look at the database finds."""
    rows = sqlite3.connect(root / "metadata.db")
    try:
        return rows.execute(query, parameters).fetchall()
    finally:
        rows.close()


def is_locked_by_others(path: Path) -> bool:
    """Whether somebody holds the lock on a file."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when the tasks below it are about to take their k-th step.

    A step is what a task does between two checkpoints, so k = 0, 1, 2, … cancels at every one.
    """

    def __init__(self, step: int) -> None:
        self.scope = trio.CancelScope()
        self._left = step
        self.was_reached = step == 0
        if self.was_reached:
            self.scope.cancel()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if self._left == 0:
            self.was_reached = True
            self.scope.cancel()


async def cancelled_at(step: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Run the work, cancelled at its step; False when it ended before it came to that step.

    Errors of the work are passed on.
    """
    instrument = CancelAtStep(step)
    trio.lowlevel.add_instrument(instrument)
    try:
        with instrument.scope:
            await work()
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return instrument.was_reached


class ThreadCalls:
    """Counts the calls into worker threads while it is in force, by the name of the function."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: Counter[str] = Counter()
        real = trio.to_thread.run_sync

        async def counted(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
            self.names[getattr(function, "__name__", repr(function))] += 1
            return await real(function, *arguments, **named)

        monkeypatch.setattr(trio.to_thread, "run_sync", counted)

    @property
    def total(self) -> int:
        return sum(self.names.values())


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; waits by no clock, so that a stopped one does not matter."""
    deadline = time.monotonic() + TEST_SECS_MAX
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        await trio.to_thread.run_sync(time.sleep, 0.001)


async def quiet(storage: Storage) -> None:
    """Return once every step that was queued before has been run."""
    await storage.write(lambda transaction: None)
