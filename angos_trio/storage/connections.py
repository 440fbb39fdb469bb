"""SQLite connections: how they are opened, and what their errors mean to the floors above."""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.storage import WRITER_BUSY_MSECS
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.natural import natural_key
from angos_trio.storage.files import is_disk_full

_FULL: Final = frozenset({sqlite3.SQLITE_FULL})
# The log's index could not grow, before anything was written: a full disk by another name.
_FULL_INDEX: Final = frozenset({sqlite3.SQLITE_IOERR_SHMSIZE})
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGE: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_ENDS_BATCH: Final = _FULL | _DAMAGE | {sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY}
_PRIMARY: Final = 0xFF
_STATEMENTS: Final = 256


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes: commits are synced before they are acknowledged."""
    rows = _open(path, timeout_secs=WRITER_BUSY_MSECS / 1000)
    rows.execute("PRAGMA journal_mode = WAL")
    rows.execute("PRAGMA synchronous = FULL")
    rows.execute("PRAGMA foreign_keys = ON")
    rows.execute("PRAGMA wal_autocheckpoint = 0")
    return rows


def keep_undo_in_memory(rows: sqlite3.Connection) -> None:
    """What undoes a step that is refused is a few pages: in a file it costs each push of a manifest
    one that is made, written and removed. After a migration, whose sorts are large."""
    rows.execute("PRAGMA temp_store = MEMORY")


def open_reader(path: Path, *, timeout_secs: float) -> sqlite3.Connection:
    """A connection that cannot write; a timeout of 0 fails at once where it would wait."""
    rows = _open(path, timeout_secs=timeout_secs)
    rows.execute("PRAGMA query_only = ON")
    return rows


def open_copy(path: Path) -> sqlite3.Connection:
    """A copy that nobody changes, which may be on a disk that nobody may change."""
    rows = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    rows.execute("PRAGMA query_only = ON")
    return rows


_CURES: Final = {
    sqlite3.SQLITE_FULL: "free space there, or use another disk",
    sqlite3.SQLITE_READONLY: "let the user who runs this own it, and all that is beside it",
    sqlite3.SQLITE_CANTOPEN: "let the user who runs this own it, and all that is beside it",
    sqlite3.SQLITE_PERM: "let the user who runs this own it, and all that is beside it",
    sqlite3.SQLITE_CORRUPT: "restore a backup, or a copy out of copies/ (docs/backup.md)",
    sqlite3.SQLITE_NOTADB: "restore a backup, or a copy out of copies/ (docs/backup.md)",
    sqlite3.SQLITE_IOERR: "the disk fails: dmesg says more",
    sqlite3.SQLITE_BUSY: "another program has it open: close that",
}


def refused(path: Path, error: OSError | sqlite3.Error) -> OperatorError:
    """Why nothing can be opened in a place, and what to do about it."""
    if isinstance(error, OSError):
        return OperatorError(f"{error.filename or path}: {cause_and_cure(error)}")
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    cure = _CURES.get(code)
    return OperatorError(f"{path}: {error}{'' if cure is None else f'; {cure}'}")


def schema_version() -> int:
    """The number of the schema that this version writes."""
    return len(_migrations())


def _open(path: Path, *, timeout_secs: float) -> sqlite3.Connection:
    rows = sqlite3.connect(
        path,
        timeout=timeout_secs,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    # A migration and the scrub ask for it; no schema does, so that any program can read the file.
    rows.create_function("natural_key", 1, natural_key, deterministic=True)
    return rows


def migrate(rows: sqlite3.Connection, path: Path) -> None:
    """Apply the numbered SQL files that this database has not seen, all or none of them.

    A copy of what was there is left beside it, named by its version. Runs under the write lock.
    Raises OperatorError for a database of a later version.
    """
    found = rows.execute("PRAGMA user_version").fetchone()[0]
    known = _migrations()
    if found > len(known):
        raise OperatorError(
            f"{path}: schema version {found}; this version knows {len(known)}. "
            "Start the version that wrote it, or restore a copy made before the upgrade."
        )
    if found == len(known):
        return
    if found > 0:
        _copy(rows, path.with_name(f"{path.name}.version-{found}"))
    missing = "\n".join(known[found:])
    try:
        rows.executescript(
            f"BEGIN IMMEDIATE;\n{missing}\nPRAGMA user_version = {len(known)};\nCOMMIT;"
        )
    except sqlite3.Error:
        if rows.in_transaction:
            rows.execute("ROLLBACK")
        raise


def _migrations() -> list[str]:
    folder = resources.files("angos_trio.storage.schema")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]


def _copy(rows: sqlite3.Connection, target: Path) -> None:
    copy = sqlite3.connect(target)
    try:
        rows.backup(copy)
    finally:
        copy.close()


def is_full(error: Exception) -> bool:
    """Whether the disk has no room for the change."""
    if isinstance(error, OSError):
        return is_disk_full(error)
    if not isinstance(error, sqlite3.Error):
        return False
    return _primary(error) in _FULL or _code(error) in _FULL_INDEX


def is_damage(error: Exception) -> bool:
    """Whether the database's file could not be read or written, or is not one."""
    return isinstance(error, sqlite3.Error) and not is_full(error) and _primary(error) in _DAMAGE


def is_lost(error: sqlite3.Error) -> bool:
    """Whether the database's content is no good: not what a disk says that cannot be read now."""
    is_no_database = _primary(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    return is_no_database or isinstance(error, sqlite3.NotSupportedError)


def ends_batch(error: sqlite3.Error) -> bool:
    """Whether an error of one step says that none of its batch can be committed."""
    return _primary(error) in _ENDS_BATCH


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection was in the way."""
    return _primary(error) in _BUSY


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))


def _primary(error: sqlite3.Error) -> int:
    return _code(error) & _PRIMARY


def unavailable(error: Exception) -> OciError:
    """The answer to a failed change: 507 when the disk is full, else 503; nothing was changed."""
    if is_full(error):
        return disk_full()
    refusal = OciError(Code.UNAVAILABLE, status=503, message="storage cannot be written")
    refusal.__cause__ = error
    return refusal


def disk_full() -> OciError:
    """The answer when there is no room."""
    return OciError(Code.UNAVAILABLE, status=507, message="storage is full")
