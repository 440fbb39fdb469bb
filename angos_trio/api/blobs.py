"""`/v2/{name}/blobs/{digest}`"""

from __future__ import annotations

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.reply import FilePart, Reply
from angos_trio.oci.conditional import entity_tag, is_not_modified, is_range_current
from angos_trio.oci.digest import Digest
from angos_trio.oci.ranges import ByteRange, resolve_range
from angos_trio.registry import delete, pull


class Blobs:
    """Handlers of one path."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry

    async def head(self, call: Call) -> Reply:
        """HEAD: the length; what a client will rely on is kept for it."""
        digest = Digest(call.values["digest"])
        held = await pull.promise_blob(self._registry, call.name, digest)
        headers = _headers(digest)
        if is_not_modified(call.header("If-None-Match"), entity_tag(digest)):
            return Reply(304, headers)
        return Reply(200, {**headers, "Content-Length": str(held.size)})

    async def get(self, call: Call) -> Reply:
        """GET: the bytes or one range of them."""
        digest = Digest(call.values["digest"])
        headers = _headers(digest)
        if is_not_modified(call.header("If-None-Match"), entity_tag(digest)):
            await pull.find_blob(self._registry, call.name, digest)
            return Reply(304, headers)
        opened = await pull.open_blob(self._registry, call.name, digest)
        try:
            part = _range(call, digest, opened.size)
        except BaseException:
            opened.close()
            raise
        if part is None:
            return Reply(200, headers, FilePart(opened.descriptor, 0, opened.size))
        headers["Content-Range"] = part.content_range(opened.size)
        return Reply(206, headers, FilePart(opened.descriptor, part.offset, part.length))

    async def delete(self, call: Call) -> Reply:
        """DELETE: end the namespace's hold."""
        digest = Digest(call.values["digest"])
        await delete.delete_blob(self._registry, call.caller, call.name, digest)
        return Reply(202)


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
