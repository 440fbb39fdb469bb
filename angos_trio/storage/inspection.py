"""Looking at files: what stands where, and whether it is what its name says. Nothing is changed
here but what `Transaction` and two small verbs below do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Final

import trio

from angos_trio.limits.housekeeping import SCRUB_SLICE_BYTES
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import ALGORITHMS, Digest, new_hash
from angos_trio.oci.names import SessionId
from angos_trio.records import Frozen
from angos_trio.storage.directory import DataDirectory, is_trashed
from angos_trio.storage.files import Files, Standing
from angos_trio.storage.session_record import decode_session, session_of_file

_HEX: Final = "0123456789abcdef"


class Pace:
    """Bytes a second for all who share it; None: as fast as it goes."""

    def __init__(self, bytes_per_sec: int | None) -> None:
        self._rate = bytes_per_sec
        self._free_at = 0.0

    async def spend(self, count: int) -> None:
        """Wait until so many bytes may be read."""
        if not self._rate:
            await trio.lowlevel.checkpoint()
            return
        begins_at = max(self._free_at, trio.current_time())
        self._free_at = begins_at + count / self._rate
        await trio.sleep_until(begins_at)


class Meaning(Enum):
    """What a name in one of our directories stands for."""

    OURS = auto()
    BLOB = auto()
    LEFT_OVER = auto()
    """Of an upload that may be no more."""
    FOREIGN = auto()


class Entry(Frozen):
    """A name in one of our directories, with the blob or the session that it is of."""

    path: str
    meaning: Meaning
    standing: Standing
    digest: Digest | None = None
    session: SessionId | None = None


def shelves() -> Iterator[tuple[str, ...]]:
    """Our directories, the upper ones first, as parts of their paths."""
    yield from (("blobs",), ("uploads",), ("trash",))
    for algorithm in ALGORITHMS:
        yield "blobs", algorithm
        for number in range(256):
            yield "blobs", algorithm, f"{number:02x}"


class Inspector(Frozen):
    """Looks at the files of a data directory. Verbs block, but for the hash."""

    directory: DataDirectory
    files: Files

    def standing(self, digest: Digest) -> Standing | None:
        """What stands under a blob's name. Raises OSError for what cannot be told."""
        return self.files.look(self.directory.blob(digest))

    async def is_right(self, digest: Digest, standing: Standing, pace: Pace) -> bool | None:
        """Whether the bytes that stood there hash to the digest; None when others do by now.

        Raises OSError for what cannot be read.
        """
        if not standing.is_file:
            return False
        path = self.directory.blob(digest)
        try:
            descriptor = await trio.to_thread.run_sync(self.files.open_to_read, path)
        except FileNotFoundError:  # collected meanwhile
            return None
        try:
            if Standing.of(os.fstat(descriptor)) != standing:
                return None
            hasher, offset = new_hash(digest.algorithm), 0
            while offset < standing.size:
                await pace.spend(min(SCRUB_SLICE_BYTES, standing.size - offset))
                read = await trio.to_thread.run_sync(_hash_slice, descriptor, offset, hasher.update)
                if not read:
                    break
                offset += read
            return hasher.hexdigest() == digest.hex
        finally:
            os.close(descriptor)

    def entries(self, shelf: tuple[str, ...]) -> list[Entry]:
        """What is in a directory of ours. Raises FileNotFoundError and NotADirectoryError where it
        should be and is not, OSError when it cannot be read."""
        folder = os.path.join(self.directory.root, *shelf)
        found = []
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            standing = self.files.look(path)
            if standing is not None:
                found.append(_entry(shelf, name, path, standing))
        return found

    def list_shelves(self, some: Sequence[tuple[str, ...]]) -> list[list[Entry] | OSError]:
        """The entries of several directories, or why there are none to be told."""
        found: list[list[Entry] | OSError] = []
        for shelf in some:
            try:
                found.append(self.entries(shelf))
            except OSError as error:
                found.append(error)
        return found

    def make_shelf(self, shelf: tuple[str, ...]) -> None:
        """Make a directory that should be there. Raises OSError."""
        path = self.directory.root.joinpath(*shelf)
        self.files.make_directory(path)
        self.files.sync_directory(path.parent)

    def has_record(self, session: SessionId) -> bool:
        """Whether an upload session has its record."""
        return self.files.look(self.directory.session_record(session)) is not None

    def drop_left_over(self, entry: Entry) -> None:
        """Remove a file of an upload that is no more. Raises OSError."""
        self.files.remove(entry.path)

    def is_finishing(self, digest: Digest) -> bool:
        """Whether the record of an upload says that it is about to become this blob."""
        for name in os.listdir(self.directory.uploads):
            session = session_of_file(name)
            if session is None or not name.endswith(".json"):
                continue
            try:
                content = (self.directory.uploads / name).read_bytes()
                if decode_session(session, content).finishing == digest:
                    return True
            except (ValueError, FileNotFoundError):
                continue
        return False


def _hash_slice(descriptor: int, offset: int, update: object) -> int:
    content = os.pread(descriptor, SCRUB_SLICE_BYTES, offset)
    update(content)  # type: ignore[operator]
    # What nobody asked for shall not drive out of memory what is pulled all day.
    os.posix_fadvise(descriptor, offset, len(content), os.POSIX_FADV_DONTNEED)
    return len(content)


def _entry(shelf: tuple[str, ...], name: str, path: str, standing: Standing) -> Entry:
    if shelf[0] == "uploads":
        session = session_of_file(name)
        if session is None or not standing.is_file:
            return Entry(path, Meaning.FOREIGN, standing)
        is_record = name.endswith(".json")
        meaning = Meaning.OURS if is_record else Meaning.LEFT_OVER
        return Entry(path, meaning, standing, session=session)
    if shelf[0] == "trash":
        is_ours = is_trashed(name) and standing.is_file
        return Entry(path, Meaning.OURS if is_ours else Meaning.FOREIGN, standing)
    if len(shelf) < 3:
        return Entry(path, _of_shelf(shelf, name, standing), standing)
    digest = _digest_of(shelf, name)
    meaning = Meaning.FOREIGN if digest is None else Meaning.BLOB
    return Entry(path, meaning, standing, digest)


def _of_shelf(shelf: tuple[str, ...], name: str, standing: Standing) -> Meaning:
    """A link of our name may be how somebody spread the store over disks: it is left alone."""
    is_name = name in ALGORITHMS if len(shelf) == 1 else _is_pair(name)
    return Meaning.OURS if is_name and not standing.is_file else Meaning.FOREIGN


def _is_pair(name: str) -> bool:
    return len(name) == 2 and set(name) <= set(_HEX)


def _digest_of(shelf: tuple[str, ...], name: str) -> Digest | None:
    if not name.startswith(shelf[2]):
        return None
    try:
        return Digest(f"{shelf[1]}:{name}")
    except OciError:
        return None
