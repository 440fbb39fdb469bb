"""Upload sessions: files, not rows, so that a blob costs one commit and not three.

`<uuid>.json` says whose a session is; `<uuid>.data` holds what has arrived, and its length is the
committed offset. A session is written to by one request at a time.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import trio

from angos_trio.limits import (
    CLEANUP_SECS_MAX,
    RUNNING_HASHES_MAX,
    TAKEOVER_IDLE_SECS,
    TAKEOVER_WAIT_SECS,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import ALGORITHMS, Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.storage.connections import unavailable
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files

if TYPE_CHECKING:
    from hashlib import _Hash


@dataclass(frozen=True, slots=True)
class UploadSession:
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
            "namespace": self.namespace,
            "owner": self.owner,
            "limit_key": self.limit_key,
            "started_at": self.started_at,
            "algorithm": self.algorithm,
            "finishing": self.finishing,
        }
        return json.dumps(record).encode()


def decode_session(session: SessionId, content: bytes) -> UploadSession:
    """A session from its record file. Raises ValueError when the record cannot be read."""
    try:
        record = json.loads(content)
        if record["algorithm"] not in ALGORITHMS:
            raise ValueError("unknown algorithm")
        return UploadSession(
            id=session,
            namespace=RepositoryName(record["namespace"]),
            owner=str(record["owner"]),
            limit_key=str(record["limit_key"]),
            started_at=int(record["started_at"]),
            algorithm=record["algorithm"],
            finishing=None if record["finishing"] is None else Digest(record["finishing"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, OciError) as error:
        raise ValueError(f"session record {session} cannot be read") from error


@dataclass(slots=True, eq=False)
class _Writing:
    """The request that writes to a session now; times are of the monotonic clock."""

    scope: trio.CancelScope
    last_byte_at: float
    ended: trio.Event


@dataclass(slots=True)
class RunningHash:
    """A hash of a session's first `size` bytes."""

    hasher: _Hash
    algorithm: str
    size: int


class Sessions:
    """The open sessions of this process, and who writes to which."""

    def __init__(self, directory: DataDirectory, files: Files) -> None:
        self._directory = directory
        self._files = files
        self._open: dict[SessionId, UploadSession] = {}
        self._writing: dict[SessionId, _Writing] = {}
        self._hashes: dict[SessionId, RunningHash] = {}
        self._active_at: dict[SessionId, float] = {}
        self._counts: Counter[str] = Counter()
        self._finishing: set[SessionId] = set()

    def __len__(self) -> int:
        return len(self._open)

    def count_of(self, limit_key: str) -> int:
        """How many sessions one caller has open."""
        return self._counts[limit_key]

    def adopt(self, session: UploadSession) -> None:
        """Take over a session that an earlier process left."""
        self._open[session.id] = session
        self._counts[session.limit_key] += 1
        self._active_at[session.id] = trio.current_time()

    def new(
        self, namespace: RepositoryName, owner: str, limit_key: str, algorithm: str, now: int
    ) -> UploadSession:
        """A session value with a fresh id; it is open once `create` has written it."""
        identifier = SessionId.from_uuid(uuid.uuid4())
        return UploadSession(identifier, namespace, owner, limit_key, now, algorithm)

    async def create(self, session: UploadSession) -> None:
        """Write the session's record; from now on it can be found."""
        self.adopt(session)
        try:
            await trio.to_thread.run_sync(
                self._files.write_new,
                self._directory.session_record(session.id),
                session.encode(),
            )
        except OSError as error:
            self.forget(session.id)
            raise unavailable(error) from error
        except BaseException:
            self.forget(session.id)
            raise

    def find(self, session: SessionId, namespace: RepositoryName) -> UploadSession:
        """An open session of this namespace, else BLOB_UPLOAD_UNKNOWN (404)."""
        found = self._open.get(session)
        if found is None or found.namespace != namespace:
            raise OciError(Code.BLOB_UPLOAD_UNKNOWN, detail=session)
        return found

    def committed_offset(self, session: SessionId) -> int:
        """How many bytes the session's file holds; blocks for one look at the file."""
        return self._files.regular_size(self._directory.session_content(session)) or 0

    async def begin_writing(self, session: SessionId, *, may_take_over: bool) -> trio.CancelScope:
        """Become the one writer; the scope that is returned is cancelled when another takes over.

        A writer that brought no byte for 5 s gives way to one at the committed offset; any other
        second writer is refused at once with BLOB_UPLOAD_INVALID (409).
        """
        current = self._writing.get(session)
        if current is not None:
            idle = trio.current_time() - current.last_byte_at
            if not may_take_over or idle < TAKEOVER_IDLE_SECS:
                raise busy(session)
            current.scope.cancel()
            with trio.move_on_after(TAKEOVER_WAIT_SECS):
                await current.ended.wait()
            if session in self._writing:
                raise busy(session)
        if session not in self._open:
            raise OciError(Code.BLOB_UPLOAD_UNKNOWN, detail=session)
        scope = trio.CancelScope()
        self._writing[session] = _Writing(scope, trio.current_time(), trio.Event())
        return scope

    def is_writing(self, session: SessionId) -> bool:
        """Whether a request writes to the session now."""
        return session in self._writing

    def note_byte(self, session: SessionId) -> None:
        """The session's writer has brought something."""
        now = trio.current_time()
        self._active_at[session] = now
        writing = self._writing.get(session)
        if writing is not None:
            writing.last_byte_at = now

    def end_writing(self, session: SessionId) -> None:
        """Let the next writer in."""
        writing = self._writing.pop(session, None)
        if writing is not None:
            writing.ended.set()

    def take_hash(self, session: UploadSession, offset: int) -> RunningHash | None:
        """The hash of all that the session holds, if this process has it; it is given away."""
        running = self._hashes.pop(session.id, None)
        return running if running is not None and running.size == offset else None

    def keep_hash(self, session: SessionId, running: RunningHash) -> None:
        """Keep a hash for the session's next request; beyond 1,024 the oldest is dropped."""
        if session not in self._open:
            return
        self._hashes[session] = running
        while len(self._hashes) > RUNNING_HASHES_MAX:
            # A list first: upload threads take hashes away meanwhile.
            oldest, *_ = list(self._hashes)
            self._hashes.pop(oldest, None)

    def begin_finishing(self, session: SessionId) -> None:
        """Put a verified session out of reach until the outcome of its commit is known."""
        self.forget(session)
        self._finishing.add(session)

    def end_finishing(self, session: SessionId) -> None:
        """The outcome is known."""
        self._finishing.discard(session)

    def is_finishing(self, session: SessionId) -> bool:
        """Whether a commit of this session is on its way."""
        return session in self._finishing

    def forget(self, session: SessionId) -> None:
        """The session is no more; its files are somebody else's business."""
        found = self._open.pop(session, None)
        if found is not None:
            self._counts[found.limit_key] -= 1
            if not self._counts[found.limit_key]:
                del self._counts[found.limit_key]
        self._hashes.pop(session, None)
        self._active_at.pop(session, None)

    async def discard(self, session: SessionId) -> bool:
        """Cancel a session: a writer is stopped, the files are removed. Twice is fine.

        Goes on while being cancelled, for 20 s at most. False when the disk refused to remove the
        files; a later start finds them again.
        """
        self.forget(session)
        with trio.CancelScope(shield=True) as scope:
            scope.deadline = trio.current_time() + CLEANUP_SECS_MAX
            writing = self._writing.get(session)
            if writing is not None:
                writing.scope.cancel()
                with trio.move_on_after(TAKEOVER_WAIT_SECS):
                    await writing.ended.wait()
            return await trio.to_thread.run_sync(self._remove_files, session)
        return False

    def _remove_files(self, session: SessionId) -> bool:
        try:
            self._files.remove(self._directory.session_record(session))
            self._files.remove(self._directory.session_content(session))
        except OSError:
            return False
        return True

    def idle_since(self, before: float) -> list[SessionId]:
        """Sessions without a writer whose last byte came before this monotonic time."""
        return [
            session
            for session, active_at in self._active_at.items()
            if active_at < before and session not in self._writing
        ]

    def mark_finishing(self, session: UploadSession, digest: Digest) -> None:
        """Write down what the session is about to become; blocks."""
        self._files.replace(
            self._directory.session_record(session.id),
            replace(session, finishing=digest).encode(),
            sync=False,
        )


def busy(session: SessionId) -> OciError:
    """The answer to a second writer."""
    return OciError(
        Code.BLOB_UPLOAD_INVALID,
        status=409,
        message="another request is writing to this upload",
        detail=session,
    )


def session_of_file(name: str) -> SessionId | None:
    """The session that a file in `uploads/` belongs to; None for a name that is not ours."""
    stem, _, extension = name.partition(".")
    if extension not in ("json", "json.tmp", "data"):
        return None
    try:
        return SessionId(stem)
    except OciError:
        return None
