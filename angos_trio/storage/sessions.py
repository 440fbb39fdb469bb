"""Upload sessions: files, not rows, so that a blob costs one commit and not three.

`<uuid>.json` says whose a session is; `<uuid>.data` holds what has arrived, and its length is the
committed offset. A session is written to by one request at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from angos_trio.clock import RELEASED_AT, wall_seconds
from angos_trio.limits.housekeeping import UPLOAD_ACTIVE_SECS
from angos_trio.limits.storage import (
    CLAIM_WAIT_SECS,
    CLEANUP_SECS_MAX,
    FINISH_POLL_SECS,
    HOLD_SECS,
    RUNNING_HASHES_MAX,
    TAKEOVER_IDLE_SECS,
    TAKEOVER_POLL_SECS,
    TAKEOVER_WAIT_SECS,
    WRITE_SECS_MAX,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.records import Mutable, replace
from angos_trio.storage.connections import unavailable
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.metadata import uploads
from angos_trio.storage.session_record import UploadSession, finishing_line
from angos_trio.storage.shared import Shared
from angos_trio.storage.spares import Spares
from angos_trio.storage.transactions import Rows

if TYPE_CHECKING:
    from hashlib import _Hash


class _Writing(Mutable, eq=False):
    """The request that writes to a session now; times are of the monotonic clock."""

    scope: trio.CancelScope
    last_byte_at: float
    ended: trio.Event


class RunningHash(Mutable):
    """A hash of a session's first `size` bytes."""

    hasher: _Hash
    algorithm: str
    size: int


class Sessions:
    """The open sessions of the instance, and which process writes to which.

    What all processes must agree on stands in the shared rows: a session is `open` or `finishing`,
    and its holder is the process that writes to it. Here is only what concerns this process.
    """

    def __init__(
        self,
        directory: DataDirectory,
        spares: Spares,
        files: Files,
        shared: Shared,
        now: Callable[[], float],
    ) -> None:
        self._now = now
        self._spares = spares
        self._directory = directory
        self._files = files
        self._shared = shared
        self._writing: dict[SessionId, _Writing] = {}
        self._hashes: dict[SessionId, RunningHash] = {}

    async def run(self) -> None:
        """Look after the uploads that this process holds, until cancelled."""
        while True:
            await trio.sleep(HOLD_SECS)
            if self._writing:
                await self._look_after_held()

    async def _look_after_held(self) -> None:
        """Tell the others who is active; let go of what was cancelled or is wanted."""
        # Listed first: what begins while the rows are read is not in them.
        me, now, known = self._shared.me, trio.current_time(), list(self._writing.items())
        held = dict(await self._shared.run(lambda rows: uploads.held_by(rows, me)))
        for session, writing in known:
            if self._writing.get(session) is not writing:  # it ended meanwhile
                continue
            idle_secs = now - writing.last_byte_at
            is_given_up = held.get(session, False) and idle_secs >= TAKEOVER_IDLE_SECS
            if session not in held or is_given_up:
                writing.scope.cancel()
            elif idle_secs < HOLD_SECS:
                touch = partial(uploads.touch, session=session, now=self._now())
                await self._shared.run(touch)

    def count_blocking(self) -> int:
        """How many sessions the instance has open."""
        return self._shared.run_blocking(uploads.count)

    async def namespaces(self) -> frozenset[str]:
        """The namespaces that take an upload, to which something came within an hour."""
        active_after = self._now() - UPLOAD_ACTIVE_SECS
        find = partial(uploads.namespaces, active_after=active_after)
        return frozenset(await self._shared.run(find))

    async def counts(self) -> dict[str, int]:
        """How many sessions each namespace has open that has one."""
        return await self._shared.run(uploads.counts)

    async def of_namespace(
        self, namespace: RepositoryName, after: str, limit: int
    ) -> list[tuple[UploadSession, float]]:
        """Sessions of a namespace in the order of their ids, strictly after a text, and for how
        many seconds nothing came to each."""
        find = partial(uploads.of_namespace, namespace=namespace, after=after, limit=limit)
        return await self._idle(find)

    async def oldest(self, after: tuple[int, str], limit: int) -> list[tuple[UploadSession, float]]:
        """The same of all namespaces, the oldest first, behind a time in epoch seconds and an
        id."""
        return await self._idle(partial(uploads.oldest, after=after, limit=limit))

    async def _idle(
        self, find: Callable[[Rows], list[uploads.Ongoing]]
    ) -> list[tuple[UploadSession, float]]:
        now = self._now()
        found = await self._shared.run(find)
        return [(each.session, max(0.0, now - each.active_at)) for each in found]

    async def count_of(self, limit_key: str) -> int:
        """How many sessions one caller has open."""
        return await self._shared.run(partial(uploads.count_of, limit_key=limit_key))

    async def adopt(self, session: UploadSession) -> None:
        """Take over a session that an earlier process left; it is as old as its last byte, so that
        a registry which is started often drops it all the same."""
        idle_secs = await trio.to_thread.run_sync(self._idle_secs, session.id)
        now = self._now() - idle_secs
        await self._shared.run(partial(uploads.add, session=session, now=now, open_max=None))

    def _idle_secs(self, session: SessionId) -> float:
        """Since when a session's files were not written to; blocks."""
        for path in (
            self._directory.session_content(session),
            self._directory.session_record(session),
        ):
            standing = self._files.look(path)
            if standing is not None:
                if standing.modified_at < RELEASED_AT:  # by a clock that was wrong
                    return 0.0
                return max(0.0, wall_seconds() - standing.modified_at)
        return 0.0

    def new(
        self, namespace: RepositoryName, owner: str, limit_key: str, algorithm: str, now: int
    ) -> UploadSession:
        """A session value with a fresh id; it is open once `create` has written it."""
        identifier = SessionId.from_uuid(uuid.uuid4())
        return UploadSession(identifier, namespace, owner, limit_key, now, algorithm)

    async def register(self, session: UploadSession, open_max: int) -> None:
        """Make a session known that lives no longer than this request.

        Raises TOOMANYREQUESTS (429) when its caller has `open_max` open already.
        """
        add = partial(uploads.add, session=session, now=self._now(), open_max=open_max)
        if not await self._shared.run(add):
            raise OciError(
                Code.TOOMANYREQUESTS,
                message="too many uploads are open",
                detail=open_max,
                headers={"Retry-After": "60"},
            )

    async def create(self, session: UploadSession, open_max: int) -> None:
        """Write the session's record; from now on it can be found, also after a restart.

        Raises as `register`, and UNAVAILABLE when the disk refuses.
        """
        await self.register(session, open_max)
        try:
            await trio.to_thread.run_sync(
                self._spares.write_new,
                self._directory.session_record(session.id),
                session.encode(),
            )
        except OSError as error:
            await self._forget(session.id)
            raise unavailable(error) from error
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECS_MAX):
                await self._forget(session.id)
            raise

    async def find(self, session: SessionId, namespace: RepositoryName) -> UploadSession:
        """An open session of this namespace, else BLOB_UPLOAD_UNKNOWN (404)."""
        found = await self._shared.run(partial(uploads.find, session=session))
        if found is None or not found.is_open or found.session.namespace != namespace:
            raise OciError(Code.BLOB_UPLOAD_UNKNOWN, detail=session)
        return found.session

    def committed_offset(self, session: SessionId) -> int:
        """How many bytes the session's file holds; blocks for one look at the file."""
        return self._files.regular_size(self._directory.session_content(session)) or 0

    async def begin_writing(self, session: SessionId, *, may_take_over: bool) -> trio.CancelScope:
        """Become the one writer; the scope that is returned is cancelled when another takes over.

        A writer that brought no byte for 5 s gives way to one at the committed offset; any other
        second writer is refused with BLOB_UPLOAD_INVALID (409), after a moment: a client sees the
        end of its connection before the process that served it has let go, or is quite dead.
        """
        if may_take_over:
            await self._stop_idle_writer(session)
        begun_at = trio.current_time()
        while not await self._claim(session):
            is_asked = may_take_over and await self._ask_for(session)
            wait_secs = TAKEOVER_WAIT_SECS if is_asked else CLAIM_WAIT_SECS
            if trio.current_time() - begun_at >= wait_secs:
                raise busy(session)
            await trio.sleep(TAKEOVER_POLL_SECS)
        scope = trio.CancelScope()
        self._writing[session] = _Writing(scope, trio.current_time(), trio.Event())
        return scope

    async def _stop_idle_writer(self, session: SessionId) -> None:
        """A writer of this process needs no asking."""
        current = self._writing.get(session)
        if current is None or trio.current_time() - current.last_byte_at < TAKEOVER_IDLE_SECS:
            return
        current.scope.cancel()
        with trio.move_on_after(TAKEOVER_WAIT_SECS):
            await current.ended.wait()

    async def _claim(self, session: SessionId) -> bool:
        """Hold a session that nobody holds, or only a process that is dead."""
        shared = self._shared
        take = partial(uploads.claim, session=session, holder=shared.me, now=self._now())
        if await shared.run(partial(take, held_by=None)):
            return True  # as it is nearly always: one look less
        found = await shared.run(partial(uploads.find, session=session))
        if found is None or not found.is_open:
            raise OciError(Code.BLOB_UPLOAD_UNKNOWN, detail=session)
        if found.holder is not None and shared.is_alive(found.holder):
            return False
        return await shared.run(partial(take, held_by=found.holder))

    async def _ask_for(self, session: SessionId) -> bool:
        """Ask the process that holds a session to let go, if its writer is idle."""
        idle_before = self._now() - TAKEOVER_IDLE_SECS
        want = partial(uploads.want, session=session, idle_before=idle_before)
        return await self._shared.run(want)

    async def is_writing(self, session: SessionId) -> bool:
        """Whether a request writes to the session now."""
        found = await self._shared.run(partial(uploads.find, session=session))
        return found is not None and found.holder is not None

    def note_byte(self, session: SessionId) -> None:
        """The session's writer has brought something."""
        writing = self._writing.get(session)
        if writing is not None:
            writing.last_byte_at = trio.current_time()

    async def end_writing(self, session: SessionId, *, is_finishing: bool) -> None:
        """Let the next writer in; one that is finishing has none, and its row says so already."""
        writing = self._writing.pop(session, None)
        if writing is None:
            return
        if is_finishing:
            writing.ended.set()
            return
        me, active_at = self._shared.me, self._now() - (trio.current_time() - writing.last_byte_at)
        try:
            await self._shared.run(
                partial(uploads.release, session=session, holder=me, now=active_at)
            )
        finally:
            writing.ended.set()

    def take_hash(self, session: UploadSession, offset: int) -> RunningHash | None:
        """The hash of all that the session holds, if this process has it; it is given away."""
        running = self._hashes.pop(session.id, None)
        return running if running is not None and running.size == offset else None

    def keep_hash(self, session: SessionId, running: RunningHash) -> None:
        """Keep a hash for the session's next request; beyond 1,024 the oldest is dropped."""
        self._hashes[session] = running
        while len(self._hashes) > RUNNING_HASHES_MAX:
            # A list first: upload threads take hashes away meanwhile.
            oldest, *_ = list(self._hashes)
            self._hashes.pop(oldest, None)

    async def begin_finishing(self, session: SessionId) -> None:
        """Put a verified session out of every writer's reach until its commit has an outcome.

        Raises BLOB_UPLOAD_UNKNOWN (404) when it was cancelled in the meantime.
        """
        finish = partial(
            uploads.begin_finishing, session=session, holder=self._shared.me, now=self._now()
        )
        if not await self._shared.run(finish):
            raise OciError(Code.BLOB_UPLOAD_UNKNOWN, detail=session)
        self._hashes.pop(session, None)

    def end_finishing_blocking(self, session: SessionId, *, is_open_again: bool) -> None:
        """The outcome is known: the session is gone, or open again. Blocks."""
        change = uploads.reopen if is_open_again else uploads.remove
        try:
            self._shared.run_blocking(partial(change, session=session))
        except OciError:
            # The row is stale then, and the steward asks the disk what became of it.
            return

    async def is_finishing(self, session: SessionId) -> bool:
        """Whether a commit of this session is on its way."""
        found = await self._shared.run(partial(uploads.find, session=session))
        return found is not None and not found.is_open

    async def wait_finished(self, session: SessionId) -> None:
        """Wait while a commit of this session is on its way, in whichever process, for 30 s."""
        for _ in range(int(WRITE_SECS_MAX / FINISH_POLL_SECS)):
            if not await self.is_finishing(session):
                return
            await trio.sleep(FINISH_POLL_SECS)

    async def _forget(self, session: SessionId) -> bool:
        """The session is no more; whether it was. Its files are somebody else's business."""
        self._hashes.pop(session, None)
        return await self._shared.run(partial(uploads.remove, session=session))

    async def cancel(self, session: SessionId) -> bool:
        """Drop an open session; BLOB_UPLOAD_UNKNOWN (404) when another request finishes it."""
        if not await self._shared.run(partial(uploads.remove_open, session=session)):
            raise OciError(Code.BLOB_UPLOAD_UNKNOWN, detail=session)
        return await self.discard(session)

    async def discard(self, session: SessionId) -> bool:
        """Drop a session: a writer of any process is stopped, the files are removed.

        Twice is fine. Goes on while being cancelled, for 20 s at most. False when the disk refused
        to remove the files; a later start finds them again.
        """
        with trio.CancelScope(shield=True) as scope:
            scope.deadline = trio.current_time() + CLEANUP_SECS_MAX
            await self._forget(session)
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

    async def idle_since(self, before: float) -> list[SessionId]:
        """Sessions that nobody writes to, whose last byte came before this monotonic time."""
        return await self._shared.run(partial(uploads.idle_since, before=before))

    async def of_dead_processes(self) -> list[UploadSession]:
        """Sessions that were held by a process that is no more; from now on this one holds them."""
        return await trio.to_thread.run_sync(self._inherit_blocking)

    def _inherit_blocking(self) -> list[UploadSession]:
        shared, found = self._shared, list[UploadSession]()
        for process in shared.run_blocking(uploads.holders):
            if shared.is_alive(process):
                continue
            inherit = partial(uploads.inherit, held_by=process, holder=shared.me)
            found += shared.run_blocking(inherit)
        for name in shared.processes():
            if not shared.is_alive(name):
                shared.bury(name)
        return found

    async def reopen(self, session: SessionId) -> None:
        """Let an inherited session be written to again."""
        await self._shared.run(partial(uploads.reopen, session=session))

    def mark_finishing(self, session: UploadSession, digest: Digest) -> None:
        """Write down what the session is about to become; blocks."""
        record = self._directory.session_record(session.id)
        try:
            self._files.append(record, finishing_line(digest))
        except FileNotFoundError:  # of a session that lives no longer than its request
            self._spares.write_new(record, replace(session, finishing=digest).encode())


def busy(session: SessionId) -> OciError:
    """The answer to a second writer."""
    return OciError(
        Code.BLOB_UPLOAD_INVALID,
        status=409,
        message="another request is writing to this upload",
        detail=session,
    )
