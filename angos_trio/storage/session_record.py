"""An upload session as its record file holds it.

A line of JSON; then, for each time that the session was about to become a blob, the digest on a
line of its own. Each begins with the end of the line before, so that a torn one spoils no other.
"""

from __future__ import annotations

import json

from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import ALGORITHMS, Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.records import Frozen


class UploadSession(Frozen):
    """Whose a session is. `finishing` is set just before its bytes take their final name."""

    id: SessionId
    namespace: RepositoryName
    owner: str
    limit_key: str
    started_at: int
    algorithm: str
    finishing: Digest | None = None

    def encode(self) -> bytes:
        """As the record file holds it."""
        record = {
            "id": self.id,
            "namespace": self.namespace,
            "owner": self.owner,
            "limit_key": self.limit_key,
            "started_at": self.started_at,
            "algorithm": self.algorithm,
        }
        line = f"{json.dumps(record)}\n".encode()
        return line if self.finishing is None else line + finishing_line(self.finishing)


def finishing_line(digest: Digest) -> bytes:
    """What is appended to a record when its session is about to become this blob."""
    return f"\n{digest}\n".encode()


def decode_session(session: SessionId, content: bytes) -> UploadSession:
    """A session from its record file.

    Raises ValueError when the record cannot be read, or is another session's.
    """
    line, *marks = content.split(b"\n")
    whole = [mark for mark in marks[:-1] if mark]
    try:
        record = json.loads(line)
        if record["id"] != session or not marks:
            raise ValueError("of another session, or torn")
        if record["algorithm"] not in ALGORITHMS:
            raise ValueError("unknown algorithm")
        return UploadSession(
            id=session,
            namespace=RepositoryName(record["namespace"]),
            owner=str(record["owner"]),
            limit_key=str(record["limit_key"]),
            started_at=int(record["started_at"]),
            algorithm=record["algorithm"],
            finishing=Digest(whole[-1].decode()) if whole else None,
        )
    except (ValueError, KeyError, TypeError, OverflowError, OciError) as error:
        raise ValueError(f"session record {session} cannot be read") from error


def session_of_file(name: str) -> SessionId | None:
    """The session that a file in `uploads/` belongs to; None for a name that is not ours."""
    stem, _, extension = name.partition(".")
    if extension not in ("json", "json.tmp", "data"):
        return None
    try:
        return SessionId(stem)
    except OciError:
        return None
