"""What a process that ended left in `uploads/`: resumed, finished or swept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from angos_trio.records import Frozen, replace
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.session_record import UploadSession, decode_session, session_of_file


class FoundSessions(Frozen):
    """Sessions to go on with, and those whose bytes are published but whose rows may be missing."""

    resumable: tuple[UploadSession, ...]
    interrupted: tuple[UploadSession, ...]


def scan_sessions(directory: DataDirectory, files: Files) -> FoundSessions:
    """Read every session's record; remove what belongs to no session and what cannot be read.

    Only names that are ours are touched, and a disk that refuses a change stops nothing. A record
    that was finishing and still has its bytes did not get as far as publishing: it is resumable.
    """
    sessions: list[UploadSession] = []
    ours = [name for name in os.listdir(directory.uploads) if session_of_file(name) is not None]
    for name in ours:
        if not name.endswith(".json"):
            continue
        if files.regular_size(directory.uploads / name) is None:
            continue
        session = _read(directory, name)
        if session is None:
            _remove(directory, files, name)
        else:
            sessions.append(session)
    found = _by_what_they_hold(directory, files, sessions)
    kept = {f"{session.id}.data" for session in found.resumable}
    for name in ours:
        if not name.endswith(".json") and name not in kept:
            _remove(directory, files, name)
    return found


def sort_out(
    directory: DataDirectory, files: Files, held: Sequence[UploadSession]
) -> FoundSessions:
    """The same for sessions that a dead process held, while the others go on.

    One without a record was to live no longer than its request.
    """
    sessions: list[UploadSession] = []
    for known in held:
        name = f"{known.id}.json"
        exists = files.regular_size(directory.uploads / name) is not None
        session = _read(directory, name) if exists else None
        if session is None:
            _remove(directory, files, name)
            _remove(directory, files, f"{known.id}.data")
        else:
            sessions.append(session)
    return _by_what_they_hold(directory, files, sessions)


def _by_what_they_hold(
    directory: DataDirectory, files: Files, sessions: Sequence[UploadSession]
) -> FoundSessions:
    resumable: list[UploadSession] = []
    interrupted: list[UploadSession] = []
    for session in sessions:
        if session.finishing is None:
            resumable.append(session)
        elif os.path.exists(directory.session_content(session.id)):
            resumable.append(_resume(directory, files, session))
        else:
            interrupted.append(session)
    return FoundSessions(tuple(resumable), tuple(interrupted))


def _read(directory: DataDirectory, name: str) -> UploadSession | None:
    identifier = session_of_file(name)
    if identifier is None:
        return None
    try:
        return decode_session(identifier, (directory.uploads / name).read_bytes())
    except ValueError:
        return None


def _resume(directory: DataDirectory, files: Files, session: UploadSession) -> UploadSession:
    again = replace(session, finishing=None)
    with contextlib.suppress(OSError):
        files.replace(directory.session_record(session.id), again.encode(), sync=False)
    return again


def _remove(directory: DataDirectory, files: Files, name: str) -> None:
    with contextlib.suppress(OSError):
        files.remove(directory.uploads / name)
