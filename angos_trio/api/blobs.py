"""`/v2/{name}/blobs/{digest}`"""

from __future__ import annotations

from angos_trio.api.context import Runtime
from angos_trio.api.pulled import ask_for_pull, tell_pull
from angos_trio.events.endpoints import Kind
from angos_trio.http.call import Call
from angos_trio.http.reply import FilePart, Reply, StreamReply
from angos_trio.oci.conditional import entity_tag, is_not_modified, is_range_current
from angos_trio.oci.digest import Digest
from angos_trio.oci.ranges import ByteRange, resolve_range
from angos_trio.registry import delete
from angos_trio.registry.asking import About
from angos_trio.registry.pull import Arriving
from angos_trio.storage.store import OpenBlob


class Blobs:
    """Handlers of one path."""

    def __init__(self, runtime: Runtime) -> None:
        self._puller = runtime.puller
        self._registry = runtime.registry
        self._runtime = runtime

    async def head(self, call: Call) -> Reply:
        """HEAD: the length; what a client will rely on is kept for it."""
        digest = Digest(call.values["digest"])
        size = await self._puller(call.name).blob_size(call.name, digest)
        headers = _headers(digest)
        if is_not_modified(call.header("If-None-Match"), entity_tag(digest)):
            return Reply(304, headers)
        if size is None:
            return StreamReply(200, headers)
        return Reply(200, {**headers, "Content-Length": str(size)})

    async def get(self, call: Call) -> Reply:
        """GET: the bytes or one range of them."""
        digest = Digest(call.values["digest"])
        headers, puller = _headers(digest), self._puller(call.name)
        if is_not_modified(call.header("If-None-Match"), entity_tag(digest)):
            await puller.blob_size(call.name, digest)
            return Reply(304, headers)
        about = About(Kind.BLOB_PULL, call.name, digest)
        await ask_for_pull(self._runtime, call, about)
        opened = await puller.blob(call.name, digest)
        if not isinstance(opened, OpenBlob):
            reply = _arriving(call, digest, opened, headers)
            tell_pull(self._runtime, call, about)
            return reply
        try:
            part = _range(call, digest, opened.size)
        except BaseException:
            opened.close()
            raise
        tell_pull(self._runtime, call, about)
        if part is None:
            return Reply(200, headers, FilePart(opened.descriptor, 0, opened.size))
        headers["Content-Range"] = part.content_range(opened.size)
        return Reply(206, headers, FilePart(opened.descriptor, part.offset, part.length))

    async def delete(self, call: Call) -> Reply:
        """DELETE: end the namespace's hold."""
        digest = Digest(call.values["digest"])
        await delete.delete_blob(self._registry, call.caller, call.name, digest)
        return Reply(202)


def _arriving(call: Call, digest: Digest, blob: Arriving, headers: dict[str, str]) -> Reply:
    """What is on its way, or one range of it where it is known how long it will be."""
    size = blob.size
    try:
        part = None if size is None else _range(call, digest, size)
    except BaseException:
        blob.close()
        raise
    if part is None or size is None:
        pieces = blob.pieces(0, size)
        return StreamReply(200, headers, size=size, pieces=pieces, let_go=blob.close)
    headers["Content-Range"] = part.content_range(size)
    pieces = blob.pieces(part.offset, part.offset + part.length)
    return StreamReply(206, headers, size=part.length, pieces=pieces, let_go=blob.close)


def _range(call: Call, digest: Digest, size: int) -> ByteRange | None:
    if not is_range_current(call.header("If-Range"), digest):
        return None
    return resolve_range(call.header("Range"), size)


def _headers(digest: Digest) -> dict[str, str]:
    return {
        "Docker-Content-Digest": digest,
        "ETag": entity_tag(digest),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
