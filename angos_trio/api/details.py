"""`/v2/_ext/{name}/…`: everything about one manifest, what a delete would take with it and that
delete, and what a tag pointed to before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from angos_trio.api.browsing import manifest_fields, pulled_fields, related_fields
from angos_trio.api.context import Runtime
from angos_trio.browse.deleting import (
    Deletion,
    Sorted,
    delete_chosen,
    sort_out,
)
from angos_trio.browse.detail import Detail, Layer, Part, describe_manifest
from angos_trio.browse.impact import Impact, impact_of
from angos_trio.browse.tag_history import history_of
from angos_trio.clock import iso
from angos_trio.http.call import Call
from angos_trio.http.document import read_document
from angos_trio.http.reply import Reply, json_reply
from angos_trio.identity import Action
from angos_trio.limits.lists import DELETE_BODY_BYTES_MAX, DELETE_REFERENCES_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import Reference, Tag, parse_reference_to_read, parse_reference_to_write
from angos_trio.oci.roles import names_of
from angos_trio.records import asdict


class _Wanted(TypedDict, total=False):
    references: list[str]
    token: str


class Details:
    """Handlers of the paths."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry

    async def manifest(self, call: Call) -> Reply:
        """GET: all about what a tag or a digest names. It is no pull."""
        reference = parse_reference_to_read(call.values["reference"])
        detail = await describe_manifest(self._registry, call.caller, call.name, reference)
        impact = await impact_of(self._registry, call.name, [detail.row.digest])
        return json_reply(200, _manifest(detail, impact), {"Cache-Control": "private, no-cache"})

    async def impact(self, call: Call) -> Reply:
        """GET: what deleting each `ref` would do, as far as the caller may delete it."""
        chosen = await self._chosen(call, _references(call.query.all("ref")))
        found = await impact_of(self._registry, call.name, chosen.allowed)
        return json_reply(200, {**_impact(found), "denied": chosen.denied})

    async def delete(self, call: Call) -> Reply:
        """POST: delete tags and digests, if what goes is still what the token was given for."""
        wanted = await read_document(call, _Wanted, DELETE_BODY_BYTES_MAX)
        chosen = await self._chosen(call, _references(wanted.get("references", [])))
        found = await impact_of(self._registry, call.name, chosen.allowed)
        if wanted.get("token") != found.token:
            raise OciError(
                Code.DENIED,
                status=409,
                message="what would go is not what the token was given for",
                detail=_impact(found),
            )
        deletion = Deletion(call.name, chosen, found, call.request_id)
        outcome = await delete_chosen(self._registry, call.caller, deletion)
        failed = [asdict(each) for each in outcome.failed]
        return json_reply(200, {"deleted": outcome.deleted, "failed": failed})

    async def _chosen(self, call: Call, references: Sequence[Reference]) -> Sorted:
        """Those that the caller may delete, and the others. Raises as the gate does for who may
        delete none of them."""
        chosen = await sort_out(call.caller, call.name, references)
        if not chosen.allowed:
            raise call.refuse(Action.DELETE_MANIFEST, chosen.refusal)
        return chosen

    async def tag_history(self, call: Call) -> Reply:
        """GET: what `tag` pointed to, the latest first."""
        text = call.query.one("tag", Code.TAG_INVALID)
        if text is None:
            raise OciError(Code.TAG_INVALID, message="no tag is named", detail="tag")
        tag = Tag(text)
        changes = await history_of(self._registry, call.name, tag)
        entries = [
            {
                "digest": change.digest,
                "changed_at": change.at,
                "changed_at_iso": iso(change.at),
                "changed_by": change.by,
                "is_here": change.is_held,
            }
            for change in changes
        ]
        return json_reply(200, {"tag": tag, "history": entries})


def _references(texts: Sequence[str]) -> list[Reference]:
    """Raises NAME_INVALID (400) for none or too many of them, TAG_INVALID, DIGEST_INVALID (400)."""
    if not 0 < len(texts) <= DELETE_REFERENCES_MAX:
        raise OciError(
            Code.NAME_INVALID,
            message=f"between 1 and {DELETE_REFERENCES_MAX} tags and digests are wanted",
            detail=f"{len(texts)} are there",
        )
    return [parse_reference_to_write(text) for text in dict.fromkeys(texts)]


def _impact(found: Impact) -> dict[str, Any]:
    shown = asdict(found)
    del shown["pointed"]
    return {**shown, "token": found.token}


def _manifest(detail: Detail, impact: Impact) -> dict[str, Any]:
    return {
        **manifest_fields(detail.row),
        "tag": detail.tag,
        "annotations": detail.annotations,
        **related_fields(detail.related),
        **pulled_fields(detail.pulled),
        "config": None if detail.config is None else _layer(detail.config),
        "image": None if detail.image is None else asdict(detail.image),
        "layers": [_layer(layer) for layer in detail.layers],
        "manifests": [_part(part) for part in detail.parts],
        "is_whole": detail.is_whole,
        "frees_bytes": impact.freed_bytes,
    }


def _layer(layer: Layer) -> dict[str, Any]:
    sharing = layer.sharing
    return {
        "digest": layer.digest,
        "media_type": layer.media_type,
        "size": layer.size,
        "annotations": layer.annotations,
        "is_here": sharing is not None,
        "is_exclusive": sharing is not None and sharing.is_exclusive,
        "manifests": None if sharing is None else sharing.manifests,
        "other_namespaces": None if sharing is None else layer.seen,
        "command": None if layer.step is None else layer.step.command,
        "created": None if layer.step is None else layer.step.created,
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "digest": part.digest,
        "media_type": part.media_type,
        "size": part.size,
        "platform": part.platform,
        "about": part.about,
        "is_here": part.row is not None,
        "kind": None if part.row is None else part.row.role or part.row.kind,
        "total_size": None if part.row is None else part.row.total_size,
        "attached": [] if part.row is None else names_of(part.row.attached),
    }
