"""`/v2/{name}/blobs/uploads/` and `/v2/{name}/blobs/uploads/{session}`"""

from __future__ import annotations

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of, parse_algorithm
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.oci.ranges import parse_content_range, upload_range
from angos_trio.registry import mount, push_blob
from angos_trio.registry.push_blob import Content, upload_location


class Uploads:
    """Handlers of both paths."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry

    async def start(self, call: Call) -> Reply:
        """POST: mount, take a whole blob, or open a session."""
        name, query = call.name, call.query
        mounted, digest = _digest(call, "mount"), _digest(call, "digest")
        source = query.one("from", Code.NAME_INVALID)
        source_name = None if source is None else RepositoryName(source)
        algorithm = query.one("digest-algorithm", Code.DIGEST_INVALID)
        chosen = "sha256" if algorithm is None else parse_algorithm(algorithm)
        if mounted is not None and await mount.mount_blob(
            self._registry, call.caller, name, mounted, source_name
        ):
            return _created(name, mounted)
        if mounted is None and digest is not None and _brings(call, digest):
            content = Content(call.body, call.content_length)
            await push_blob.push_blob(self._registry, call.caller, name, digest, content)
            return _created(name, digest)
        wanted = mounted or digest
        if algorithm is None and wanted is not None:
            chosen = wanted.algorithm
        session = await push_blob.start_upload(self._registry, call.caller, name, chosen)
        return _session_reply(202, name, session.id, 0)

    async def status(self, call: Call) -> Reply:
        """GET: the committed offset."""
        session = SessionId(call.values["session"])
        offset = await push_blob.upload_offset(self._registry, call.name, session)
        return _session_reply(204, call.name, session, offset)

    async def append(self, call: Call) -> Reply:
        """PATCH: a chunk, with or without `Content-Range`."""
        session = SessionId(call.values["session"])
        offset = await push_blob.append_chunk(
            self._registry, call.caller, call.name, session, _content(call)
        )
        return _session_reply(202, call.name, session, offset)

    async def finish(self, call: Call) -> Reply:
        """PUT: the last chunk, if any, and the digest of it all."""
        session = SessionId(call.values["session"])
        digest = _digest(call, "digest")
        if digest is None:
            raise OciError(Code.DIGEST_INVALID, message="the query has no digest", detail="digest")
        await push_blob.finish_upload(
            self._registry, call.caller, call.name, session, digest, _content(call)
        )
        return _created(call.name, digest)

    async def cancel(self, call: Call) -> Reply:
        """DELETE: drop the session."""
        session = SessionId(call.values["session"])
        await push_blob.cancel_upload(self._registry, call.name, session)
        return Reply(204)


def _digest(call: Call, key: str) -> Digest | None:
    value = call.query.one(key, Code.DIGEST_INVALID)
    return None if value is None else Digest(value)


def _brings(call: Call, digest: Digest) -> bool:
    """Whether the request's body is the blob; an empty one is, if the digest is that of nothing."""
    if call.content_length == 0:
        return digest == digest_of(b"", digest.algorithm)
    return call.has_body


def _content(call: Call) -> Content:
    window = call.header("Content-Range")
    return Content(
        source=call.body,
        length=call.content_length,
        window=None if window is None else parse_content_range(window),
    )


def _created(name: RepositoryName, digest: Digest) -> Reply:
    return Reply(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})


def _session_reply(status: int, name: RepositoryName, session: SessionId, offset: int) -> Reply:
    return Reply(
        status,
        {
            "Location": upload_location(name, session),
            "Range": upload_range(offset),
            "Docker-Upload-UUID": session,
        },
    )
