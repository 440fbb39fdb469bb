"""Blob uploads: start, append, finish, cancel. One step makes a finished blob visible."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from angos_trio.events.endpoints import Kind
from angos_trio.events.model import Event, EventKind, record
from angos_trio.identity import NOWHERE, Caller, Origin
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, new_hash
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.oci.ranges import ByteRange, upload_range
from angos_trio.records import Frozen
from angos_trio.registry.asking import About, require_allowed
from angos_trio.registry.context import Registry
from angos_trio.registry.pull import promise_blob
from angos_trio.registry.quota import refuse_early, require_blob_fits
from angos_trio.storage.metadata import blobs, leases, namespaces
from angos_trio.storage.metadata import events as outbox
from angos_trio.storage.session_record import UploadSession
from angos_trio.storage.transactions import StagedBlob, Step, Transaction
from angos_trio.storage.uploads import NOBODY_FOLLOWS, Following, Upload, too_large
from angos_trio.storage.writer import OutcomeUnknownError
from angos_trio.telemetry.log import logger

_log = logger("registry.push_blob")
_WORTHLESS_STATUSES = frozenset({400, 404, 413})


class Content(Frozen):
    """A request's body: `length` and `window` as the headers announce them, in bytes."""

    source: AsyncIterator[bytes]
    length: int | None = None
    window: ByteRange | None = None

    @property
    def announced(self) -> int:
        """How many bytes the headers say will come; 0 where they say nothing."""
        return max(self.length or 0, 0 if self.window is None else self.window.length)


def upload_location(name: RepositoryName, session: SessionId) -> str:
    """Where a session is spoken to."""
    return f"/v2/{name}/blobs/uploads/{session}"


async def start_upload(
    registry: Registry, caller: Caller, name: RepositoryName, algorithm: str
) -> UploadSession:
    """Open a session. Raises UNAVAILABLE (507) without space, TOOMANYREQUESTS (429) above the
    bound of open uploads."""
    session = _new_session(registry, caller, name, algorithm)
    await registry.storage.sessions.create(session, registry.limits.uploads_per_caller_max)
    return session


def _new_session(
    registry: Registry, caller: Caller, name: RepositoryName, algorithm: str, size: int = 0
) -> UploadSession:
    registry.storage.require_space(size)
    owner, key = caller.identity.owner, caller.identity.limit_key
    return registry.storage.sessions.new(name, owner, key, algorithm, registry.now())


async def find_upload(
    registry: Registry, caller: Caller, name: RepositoryName, session: SessionId
) -> UploadSession:
    """The caller's own session in this namespace, else BLOB_UPLOAD_UNKNOWN (404)."""
    found = await registry.storage.sessions.find(session, name)
    if found.owner != caller.identity.owner:
        raise OciError(Code.BLOB_UPLOAD_UNKNOWN, detail=session)
    return found


async def upload_offset(registry: Registry, name: RepositoryName, session: SessionId) -> int:
    """How many bytes a session holds: what a client resumes at. Any caller may ask who may act
    on the namespace."""
    await registry.storage.sessions.find(session, name)
    return await registry.storage.committed_offset(session)


async def cancel_upload(registry: Registry, name: RepositoryName, session: SessionId) -> None:
    """Drop a session and what it holds; a request that writes to it is stopped."""
    await registry.storage.sessions.find(session, name)
    if not await registry.storage.sessions.cancel(session):
        raise OciError(Code.UNAVAILABLE, status=503, message="the upload could not be removed")


async def append_chunk(
    registry: Registry, caller: Caller, name: RepositoryName, session: SessionId, content: Content
) -> int:
    """Append a body to a session; returns the offset after it.

    Raises BLOB_UPLOAD_INVALID (416) when the announced window does not begin at the committed
    offset, is not as long as the body, or is not filled by it: then nothing of the body is kept.
    A body that breaks off otherwise is kept as far as it came.
    """
    found = await find_upload(registry, caller, name, session)
    upload = await _begin(registry, found, content, None)
    try:
        begun_at = upload.offset
        await upload.append(content.source, registry.limits.blob_bytes_max)
        if content.window is not None and upload.offset - begun_at != content.window.length:
            await upload.cut_back(begun_at)
            raise _out_of_place(found, begun_at, "body does not fill Content-Range")
        return upload.offset
    except OciError as error:
        await _discard_if_worthless(registry, upload, error)
        raise
    finally:
        await upload.close()


def _is_too_long(registry: Registry, content: Content) -> bool:
    return (content.length or 0) > registry.limits.blob_bytes_max


async def _begin(
    registry: Registry, session: UploadSession, content: Content, digest: Digest | None
) -> Upload:
    """Hold the session at its committed offset, if that is where the body belongs.

    A body whose announced length alone is too much is refused before a byte of it is read.
    """
    window = content.window
    if _is_too_long(registry, content):
        await registry.storage.sessions.discard(session.id)
        raise too_large(registry.limits.blob_bytes_max)
    if window is not None and content.length is not None and window.length != content.length:
        offset = await registry.storage.committed_offset(session.id)
        raise _out_of_place(session, offset, "Content-Range and Content-Length differ")
    if window is not None and await registry.storage.sessions.is_writing(session.id):
        # Only a body that belongs at the committed offset may take over from an idle writer.
        offset = await registry.storage.committed_offset(session.id)
        if window.offset != offset:
            raise _out_of_place(session, offset, "Content-Range is not what comes next")
    await _refuse_early(registry, session, content, digest)
    upload = await registry.storage.receiver.begin(session, may_take_over=window is not None)
    try:
        if window is not None:
            await upload.open()
            if window.offset != upload.offset:
                raise _out_of_place(session, upload.offset, "Content-Range is not what comes next")
    except BaseException:
        await upload.close()
        raise
    return upload


async def _refuse_early(
    registry: Registry, session: UploadSession, content: Content, digest: Digest | None
) -> None:
    """Raise UNAVAILABLE (507) where the disk has no room, and the session waits for some; DENIED
    (413) where the quota has none, and nothing can become of it."""
    if content.announced == 0:
        return
    registry.storage.require_space(content.announced)
    if registry.quotas.quota_for(session.namespace) is None:
        return
    if content.window is None:
        offset = await registry.storage.committed_offset(session.id)
    else:
        offset = content.window.offset
    try:
        await refuse_early(registry, session.namespace, digest, offset + content.announced)
    except OciError as error:
        if error.status in _WORTHLESS_STATUSES:
            await registry.storage.sessions.discard(session.id)
        raise


def _out_of_place(session: UploadSession, offset: int, message: str) -> OciError:
    return OciError(
        Code.BLOB_UPLOAD_INVALID,
        status=416,
        message=message,
        detail={"offset": offset},
        headers={
            "Location": upload_location(session.namespace, session.id),
            "Range": upload_range(offset),
        },
    )


async def _discard_if_worthless(registry: Registry, upload: Upload, error: OciError) -> None:
    """Too large, other content than the digest says, not synced, or cancelled meanwhile: nothing
    can become of it."""
    if upload.is_worthless or error.status in _WORTHLESS_STATUSES:
        await upload.close()
        await registry.storage.sessions.discard(upload.session.id)


async def push_blob(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    digest: Digest,
    content: Content,
    following: Following = NOBODY_FOLLOWS,
) -> None:
    """A blob in one request. Nothing remains of one that fails.

    One whose commit is on its way when the caller leaves is left to it: it becomes visible, or
    expires as an idle session.
    """
    if _is_too_long(registry, content):
        raise too_large(registry.limits.blob_bytes_max)
    await refuse_early(registry, name, digest, content.announced)
    session = _new_session(registry, caller, name, digest.algorithm, content.announced)
    sessions = registry.storage.sessions
    await sessions.register(session, registry.limits.uploads_per_caller_max)
    upload: Upload | None = None
    try:
        await following.begins(session.id)
        upload = await registry.storage.receiver.begin(session)
        await _finish(registry, caller, upload, digest, content, following)
    except BaseException:
        if upload is None or not upload.is_finishing:
            await sessions.discard(session.id)
        raise


async def finish_upload(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    session: SessionId,
    digest: Digest,
    content: Content,
) -> None:
    """Complete a session, with a last chunk or without; the blob is durable when this returns.

    Raises DIGEST_INVALID (400) for other content, and BLOB_UPLOAD_UNKNOWN (404) for a session
    that is not open, unless the namespace holds the digest already and the body, if any, is it:
    then the client only missed the first answer.
    """
    try:
        found = await find_upload(registry, caller, name, session)
        upload = await _begin(registry, found, content, digest)
    except OciError as error:
        if error.code is not Code.BLOB_UPLOAD_UNKNOWN:
            raise
        await registry.storage.sessions.wait_finished(session)
        if await _was_finished(registry, name, digest, content.source):
            return
        raise
    await _finish(registry, caller, upload, digest, content)


async def _was_finished(
    registry: Registry, name: RepositoryName, digest: Digest, source: AsyncIterator[bytes]
) -> bool:
    try:
        held = await promise_blob(registry, name, digest)
    except OciError as error:
        if error.code is not Code.BLOB_UNKNOWN:
            raise
        return False
    hasher, size = new_hash(digest.algorithm), 0
    async for part in source:
        hasher.update(part)
        size += len(part)
        if size > held.size:
            return False
    return size == 0 or hasher.hexdigest() == digest.hex


async def _finish(
    registry: Registry,
    caller: Caller,
    upload: Upload,
    digest: Digest,
    content: Content,
    following: Following = NOBODY_FOLLOWS,
) -> None:
    """Receive, verify, publish. Closes the upload."""
    try:
        # Before the body, which may be long: a no is then known at once.
        about = About(Kind.BLOB_PUSH, upload.session.namespace, digest)
        await require_allowed(registry, caller, about)
        bytes_max = registry.limits.blob_bytes_max
        staged = await upload.finish(content.source, bytes_max, digest, following)
        await upload.begin_finishing()
    except OciError as error:
        await _discard_if_worthless(registry, upload, error)
        raise
    finally:
        await upload.close()
    try:
        await _publish(registry, upload.session, staged, caller)
    except OutcomeUnknownError:
        raise
    except OciError:
        upload.is_finishing = False
        raise


async def _publish(
    registry: Registry, session: UploadSession, staged: StagedBlob, caller: Caller
) -> None:
    """Commit a verified blob. The session stays out of reach until the outcome is known."""
    sessions = registry.storage.sessions

    def settled(error: BaseException | None) -> None:
        is_open_again = error is not None and not staged.is_published
        sessions.end_finishing_blocking(session.id, is_open_again=is_open_again)

    step = publish_step(registry, session, staged, caller.identity.owner, caller.origin)
    try:
        await registry.change(step, settled)
    except OutcomeUnknownError:
        raise
    except OciError as error:
        if staged.is_published or error.status in _WORTHLESS_STATUSES:
            # The bytes have left the session, and the rows were refused: it cannot be resumed. Or
            # there is no quota for them: they take space that counts for nobody.
            await sessions.discard(session.id)
        raise


def publish_step(
    registry: Registry,
    session: UploadSession,
    staged: StagedBlob,
    actor: str,
    origin: Origin = NOWHERE,
) -> Step[None]:
    """The one clause by which a blob becomes visible: bytes, rows, lease and event together.

    The event names the session, so that a start after a crash can tell that it was finished.
    """
    name, now, lease_until = session.namespace, registry.now(), registry.lease_until()
    was_long = now - session.started_at > registry.limits.lease_secs // 2
    quota = registry.quotas.quota_for(name)

    def step(transaction: Transaction) -> None:
        require_blob_fits(transaction.rows, quota, name, staged.digest, staged.size)
        transaction.publish(staged)
        namespace = record_blob(transaction, name, staged, now=now, lease_until=lease_until)
        if was_long:  # what was pushed before it has waited for it: the manifest comes now
            leases.renew_namespace(transaction.rows, namespace, lease_until)
        record(
            transaction.rows,
            Event(
                EventKind.BLOB_PUSHED,
                name,
                now,
                actor,
                {"digest": staged.digest, "size": staged.size, "session": session.id},
                origin,
            ),
        )

    return step


def record_blob(
    transaction: Transaction,
    name: RepositoryName,
    staged: StagedBlob,
    *,
    now: int,
    lease_until: int,
) -> int:
    """The rows of a blob whose bytes are published; the namespace's number."""
    namespace = namespaces.ensure(transaction.rows, name, now)
    blobs.put(transaction.rows, staged.digest, staged.size, now)
    blobs.hold(transaction.rows, namespace, staged.digest, lease_until)
    return namespace


async def complete_interrupted(registry: Registry, found: Sequence[UploadSession]) -> int:
    """Finish what a dead process left between publishing and committing; how many there were.

    What cannot be written now is dropped.
    """
    completed = 0
    for session in found:
        try:
            completed += await _complete(registry, session)
        except OciError as error:
            # Nobody was promised it. Kept, it could bring back what is deleted in the meantime.
            _log.warning("upload.unfinished", session=session.id, error=str(error))
        await registry.storage.sessions.discard(session.id)
    return completed


async def _complete(registry: Registry, session: UploadSession) -> bool:
    """Write the rows of an interrupted session, unless they are written or there are no bytes.

    A record that a disk refused to remove may be of a push that was refused long ago; what was
    deleted since it began is not brought back.
    """
    storage, digest = registry.storage, session.finishing
    size = None if digest is None else storage.published_size(digest)
    if digest is None or size is None:
        return False
    if await storage.read(partial(outbox.tells_of_session, session=session.id)):
        return False
    deleted = partial(
        outbox.tells_of_delete,
        namespace=session.namespace,
        digest=digest,
        since=session.started_at,
    )
    if await storage.read(deleted):
        return False
    staged = StagedBlob(digest, size, path="", is_published=True)
    await storage.write(publish_step(registry, session, staged, session.owner))
    return True
