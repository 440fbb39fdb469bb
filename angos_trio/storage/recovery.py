"""What an earlier process left in `uploads/`: resumed, finished or swept when we start."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.sessions import UploadSession, decode_session, session_of_file


@dataclass(frozen=True, slots=True)
class FoundSessions:
    """Sessions to go on with, and those whose bytes are published but whose rows may be missing."""

    resumable: tuple[UploadSession, ...]
    interrupted: tuple[UploadSession, ...]


def scan_sessions(directory: DataDirectory, files: Files) -> FoundSessions:
    """Read every session's record; remove what belongs to no session and what cannot be read.

    A record that was finishing and still has its bytes did not get as far as publishing, and is
    resumable again.
    """
    resumable: list[UploadSession] = []
    interrupted: list[UploadSession] = []
    for name in os.listdir(directory.uploads):
        if name.endswith(".tmp"):
            files.remove(directory.uploads / name)
        if not name.endswith(".json"):
            continue
        session = _read(directory, name)
        if session is None:
            files.remove(directory.uploads / name)
        elif session.finishing is None:
            resumable.append(session)
        elif os.path.exists(directory.session_content(session.id)):
            again = replace(session, finishing=None)
            files.replace(directory.session_record(session.id), again.encode(), sync=False)
            resumable.append(again)
        else:
            interrupted.append(session)
    _sweep_contents(directory, files, {session.id for session in resumable})
    return FoundSessions(tuple(resumable), tuple(interrupted))


def _read(directory: DataDirectory, name: str) -> UploadSession | None:
    identifier = session_of_file(name)
    if identifier is None:
        return None
    content = (directory.uploads / name).read_bytes()
    try:
        return decode_session(identifier, content)
    except ValueError:
        return None


def _sweep_contents(directory: DataDirectory, files: Files, kept: set[str]) -> None:
    for name in os.listdir(directory.uploads):
        stem, extension = os.path.splitext(name)
        if extension == ".data" and stem not in kept:
            files.remove(directory.uploads / name)
