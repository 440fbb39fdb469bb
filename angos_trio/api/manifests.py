"""`/v2/{name}/manifests/{reference}`"""

from __future__ import annotations

from angos_trio.api.context import Runtime
from angos_trio.api.pulled import ask_for_pull, tell_pull
from angos_trio.events.endpoints import Kind
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.oci.conditional import entity_tag, is_not_modified
from angos_trio.oci.names import Tag, parse_reference_to_read, parse_reference_to_write
from angos_trio.registry import delete, pull, push_manifest
from angos_trio.registry.asking import About
from angos_trio.registry.push_manifest import ManifestPush


class Manifests:
    """Handlers of one path."""

    def __init__(self, runtime: Runtime) -> None:
        self._puller = runtime.puller
        self._registry = runtime.registry
        self._note_pull = runtime.note_pull
        self._runtime = runtime

    async def get(self, call: Call) -> Reply:
        """GET and HEAD: the bytes as pushed, or 304; HEAD does not read them, and what it finds by
        a digest is kept for the client, who will rely on it."""
        reference = parse_reference_to_read(call.values["reference"])
        puller, for_head = self._puller(call.name), call.request.method == "HEAD"
        pulled = await puller.manifest(call.name, reference, for_head=for_head)
        found = pulled.found
        about = About(Kind.MANIFEST_PULL, call.name, found.digest, reference)
        if not for_head:
            await ask_for_pull(self._runtime, call, about)
            caller = call.caller
            self._note_pull(
                call.name, reference, found.digest, caller.identity.owner, caller.origin
            )
        headers = {
            "Docker-Content-Digest": found.digest,
            "ETag": entity_tag(found.digest),
            **pulled.headers,
        }
        if is_not_modified(call.header("If-None-Match"), entity_tag(found.digest)):
            return Reply(304, headers)
        headers["Content-Type"] = found.media_type
        if for_head:
            headers["Content-Length"] = str(found.size)
            return Reply(200, headers)
        body = pulled.body
        if body is None:
            body = await pull.read_body(self._registry, found)
        tell_pull(self._runtime, call, about)
        return Reply(200, headers, body)

    async def put(self, call: Call) -> Reply:
        """PUT: store, and set the tags of the query beside a digest reference."""
        reference = parse_reference_to_write(call.values["reference"])
        tags = tuple(Tag(text) for text in call.query.all("tag"))
        body = await call.read_body(self._registry.limits.manifest_bytes_max)
        push = ManifestPush(call.name, reference, body, call.header("Content-Type"), tags)
        outcome = await push_manifest.push_manifest(self._registry, call.caller, push)
        headers = {
            "Location": f"/v2/{call.name}/manifests/{reference}",
            "Docker-Content-Digest": outcome.digest,
        }
        if outcome.subject is not None:
            headers["OCI-Subject"] = outcome.subject
        if outcome.tags:
            headers["OCI-Tag"] = ", ".join(outcome.tags)
        return Reply(201, headers)

    async def delete(self, call: Call) -> Reply:
        """DELETE: a tag alone, or a manifest with its tags."""
        reference = parse_reference_to_read(call.values["reference"])
        await delete.delete_manifest(self._registry, call.caller, call.name, reference)
        return Reply(202)
