"""The data directory: its paths, its format and the lock that makes it one instance's."""

from __future__ import annotations

import errno
import json
import os
import pwd
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from angos_trio import locks
from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.processes import INSTANCE_WAIT_SECS_MAX
from angos_trio.oci.digest import ALGORITHMS, Digest
from angos_trio.oci.names import SessionId
from angos_trio.records import Frozen
from angos_trio.storage.files import Files
from angos_trio.telemetry.processes import holder_of

FORMAT: Final = 1
QUARANTINED_NAME_BYTES_MAX: Final = 160
PLAN_KINDS: Final = ("asked", "scheduled")
"""Plans of retention: what somebody asked for, and what goes by itself."""


class DataDirectory(Frozen):
    """Where things are. Nothing outside `storage` sees these paths."""

    root: Path

    @property
    def format_file(self) -> Path:
        """Format version and instance id."""
        return self.root / "format.json"

    @property
    def instance_lock(self) -> Path:
        """Held by the one instance that serves this directory."""
        return self.root / "instance.lock"

    @property
    def write_lock(self) -> Path:
        """Held by whoever writes to the database or publishes a blob."""
        return self.root / "write.lock"

    @property
    def database(self) -> Path:
        """Opened by SQLite and nothing else."""
        return self.root / "metadata.db"

    @property
    def copies(self) -> Path:
        """Copies of the database: some that are kept, and those of a backup that is being made."""
        return self.root / "copies"

    @property
    def unfinished_restore(self) -> Path:
        """Stands there while a backup is being restored into the directory."""
        return self.root / "restore.unfinished"

    @property
    def shared_database(self) -> Path:
        """What the processes of a running instance know together; made anew at each start."""
        return self.root / "shared.db"

    @property
    def stats_database(self) -> Path:
        """Pull counts and times; may be lost."""
        return self.root / "stats.db"

    @property
    def stats_lock(self) -> Path:
        """Held by whoever works on `stats_database`."""
        return self.root / "stats.lock"

    def plan(self, kind: str) -> Path:
        """What retention found last, a line of JSON each."""
        return self.root / f"retention.{kind}.jsonl"

    @property
    def processes(self) -> Path:
        """A locked file for each process of a running instance."""
        return self.root / "processes"

    @property
    def metrics(self) -> Path:
        """Counters of the processes of a running instance, each in files of its own."""
        return self.root / "metrics"

    @property
    def control_socket(self) -> Path:
        """Where the operator of a running instance is listened to."""
        return self.root / "control.sock"

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the directory itself."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @property
    def uploads(self) -> Path:
        """Open sessions: `<uuid>.json` and `<uuid>.data`."""
        return self.root / "uploads"

    @property
    def trash(self) -> Path:
        """What nobody can reach any more, until it is unlinked."""
        return self.root / "trash"

    def trashed(self, digest: Digest) -> str:
        """A name in the trash that nothing has yet."""
        return f"{self.root}/trash/{digest.hex}.{uuid.uuid4().hex}"

    @property
    def quarantine(self) -> Path:
        """What is damaged or not ours, kept for whoever looks into it."""
        return self.root / "quarantine"

    def quarantined(self, name: str) -> str:
        """A name in the quarantine that nothing has yet and that tells the one it had."""
        short = os.fsdecode(os.fsencode(name)[:QUARANTINED_NAME_BYTES_MAX])
        return f"{self.root}/quarantine/{short}.{uuid.uuid4().hex}"

    @property
    def ballast(self) -> Path:
        """Space to give up when the disk is full."""
        return self.root / "ballast"

    def blob_directory(self, digest: Digest) -> str:
        """The directory of a blob's file."""
        return f"{self.root}/blobs/{digest.algorithm}/{digest.hex[:2]}"

    def blob(self, digest: Digest) -> str:
        """A blob's file."""
        return f"{self.blob_directory(digest)}/{digest.hex}"

    def session_record(self, session: SessionId) -> str:
        """What is known of an upload session."""
        return f"{self.root}/uploads/{session}.json"

    def session_content(self, session: SessionId) -> str:
        """The bytes that a session has received."""
        return f"{self.root}/uploads/{session}.data"


_TRASHED: Final = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{128})\.[0-9a-f]{32}", re.ASCII)


def is_trashed(name: str) -> bool:
    """Whether a name in the trash is one that we give."""
    return _TRASHED.fullmatch(name) is not None


def take_instance_lock(directory: DataDirectory) -> int:
    """The descriptor whose lock makes the directory ours; closing it gives the lock back.

    Waits a moment for the processes of an instance that was killed to be gone. Raises OperatorError
    when another instance holds it or the directory cannot be used, and to root when it is another
    user's.
    """
    try:
        directory.root.mkdir(mode=0o750, parents=True, exist_ok=True)
        _require_ours(directory)
        descriptor = os.open(directory.instance_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        locks.wait_for(descriptor, INSTANCE_WAIT_SECS_MAX, INSTANCE_WAIT_SECS_MAX / 100)
    except OSError as error:
        os.close(descriptor)
        raise _held_by_another(directory) from error
    return descriptor


def _unusable(directory: DataDirectory, error: OSError) -> OperatorError:
    if isinstance(error, PermissionError) and not os.path.lexists(directory.root):
        return OperatorError(
            f"{directory.root}: cannot be made: {error.strerror}; make it as root, and chown it to "
            "the user who runs this"
        )
    return OperatorError(f"{error.filename or directory.root}: {cause_and_cure(error)}")


def _held_by_another(directory: DataDirectory) -> OperatorError:
    holder = holder_of(os.path.realpath(directory.instance_lock))
    who = "" if holder is None else f": {holder.describe()}"
    return OperatorError(
        f"{directory.root}: another angos-trio serves this directory{who}; stop that one, or "
        "give this one a data directory of its own"
    )


def owner_of(directory: DataDirectory) -> int:
    """The user, by number, whose data directory it is. Raises OperatorError where there is none."""
    try:
        return os.stat(directory.format_file).st_uid
    except (FileNotFoundError, NotADirectoryError):
        raise OperatorError(
            f"{directory.root}: not a data directory of angos-trio; serve makes one, and "
            "--data-dir or the configuration says which it is"
        ) from None
    except OSError as error:
        raise OperatorError(f"{directory.root}: {cause_and_cure(error)}") from error


def try_instance_lock(directory: DataDirectory) -> int | None:
    """What `take_instance_lock` takes, for a command and without waiting; None when it is held.

    Raises OperatorError where there is no data directory yet, where it cannot be used, where it
    is another user's (what we would write they could not use), and where it can only be read and
    no registry runs that would do the work.
    """
    owner = owner_of(directory)
    is_ours = owner == os.geteuid()
    # A lock file that root made in the directory of another user would lock that one out for good.
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if is_ours else 0)
    can_write = True
    try:
        try:
            descriptor = os.open(directory.instance_lock, flags, 0o600)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            descriptor, can_write = os.open(directory.instance_lock, os.O_RDONLY), False
    except OSError as error:
        raise OperatorError(f"{directory.instance_lock}: {cause_and_cure(error)}") from error
    if not locks.take(descriptor):
        os.close(descriptor)
        return None
    if not (is_ours and can_write):
        os.close(descriptor)
        why = f"belongs to {_user(owner)}" if can_write else "can only be read here"
        cure = f"run this command {_as_user(owner)}" if can_write else "start the registry"
        raise OperatorError(f"{directory.root}: {why}, and no registry runs there; {cure}")
    return descriptor


def _require_ours(directory: DataDirectory) -> None:
    """Root may write everywhere, and what it leaves the user of a directory could not use. Raises
    OperatorError when the directory is another user's."""
    try:
        owner = os.stat(directory.format_file).st_uid
    except FileNotFoundError:
        owner = os.stat(directory.root).st_uid
    if os.geteuid() == 0 and owner != 0:
        raise OperatorError(
            f"{directory.root}: belongs to {_user(owner)}, who could not use what root writes "
            f"there; run this command {_as_user(owner)}, or give the directory to root"
        )


def _user(number: int) -> str:
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user with the number {number}"


def _as_user(number: int) -> str:
    """How root becomes somebody for one command."""
    try:
        return f"as that user: runuser -u {pwd.getpwuid(number).pw_name} -- angos-trio COMMAND"
    except KeyError:
        return "as that user"


def is_held(directory: DataDirectory) -> bool:
    """Whether an instance runs there at this moment. Raises OSError where the user may not know."""
    return is_locked(directory.instance_lock)


def is_locked(path: Path) -> bool:
    """Whether another process has the lock of a file, if it is there; it is taken for no longer
    than the look. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return locks.is_held(descriptor)
    finally:
        os.close(descriptor)


def prepare(directory: DataDirectory, files: Files) -> None:
    """Make what a new directory lacks, synced; refuse one of a later format.

    The 256 directories of each algorithm are made here, so that publishing a blob never has to.
    """
    if directory.format_file.exists():
        instance_of(directory)
        return
    if directory.unfinished_restore.exists():
        raise OperatorError(
            f"{directory.root}: a backup was being restored into it, which has not come to its "
            "end; do it again with backup restore"
        )
    make_places(directory, files)
    # SQLite takes an empty file for a new database, and gives its log the file's mode.
    files.open_private(directory.database)
    write_format(directory, files, str(uuid.uuid4()))


def make_places(directory: DataDirectory, files: Files) -> None:
    """Make the directories, synced."""
    files.make_directory(directory.root)
    for name in ("uploads", "trash", "quarantine"):
        files.make_directory(directory.root / name)
    files.make_directory(directory.root / "blobs")
    for algorithm in ALGORITHMS:
        parent = directory.root / "blobs" / algorithm
        files.make_directory(parent)
        for number in range(256):
            files.make_directory(parent / f"{number:02x}")
        files.sync_directory(parent)
    files.sync_directory(directory.root / "blobs")


def write_format(directory: DataDirectory, files: Files, instance: str) -> None:
    """Make it a data directory: from here on it may be served."""
    record = {"format": FORMAT, "instance": instance}
    files.replace(directory.format_file, json.dumps(record).encode(), sync=True)


def instance_of(directory: DataDirectory) -> str:
    """The id of the instance. Raises OperatorError for another format, or none."""
    try:
        record = json.loads(directory.format_file.read_bytes())
        found, instance = record["format"], str(record["instance"])
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorError(f"{directory.format_file}: not a format file of angos-trio") from error
    if found != FORMAT:
        raise OperatorError(
            f"{directory.root}: written in format {found}; this version reads format {FORMAT}"
        )
    return instance
