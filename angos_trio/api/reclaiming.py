"""`/v2/_ext/_gc`: what would be collected, what is kept and why, and a run at once."""

from __future__ import annotations

from typing import Any, TypedDict

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.document import read_document
from angos_trio.http.reply import Reply, json_reply
from angos_trio.limits.requests import SMALL_BODY_BYTES_MAX
from angos_trio.maintenance.collect import terms_of
from angos_trio.maintenance.explain import (
    Explained,
    Kept,
    explain_all,
    explain_digest,
    explain_namespace,
)
from angos_trio.maintenance.preview import preview
from angos_trio.maintenance.tasks import describe
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.records import asdict


class _Wanted(TypedDict, total=False):
    dry_run: bool
    now: bool


class Reclaiming:
    """Handlers of one path."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry
        self._tasks = runtime.tasks

    async def get(self, call: Call) -> Reply:
        """GET: the report, or of it the last run alone; with `digest` or `namespace` what keeps
        that."""
        digest = call.query.one("digest", Code.DIGEST_INVALID)
        namespace = call.query.one("namespace", Code.NAME_INVALID)
        if digest is not None:
            return json_reply(200, await self._of_digest(Digest(digest)))
        if namespace is not None:
            return json_reply(200, await self._of_namespace(RepositoryName(namespace)))
        only = call.query.one("only", Code.NAME_INVALID)
        if only not in (None, "run"):
            raise OciError(Code.NAME_INVALID, message="only can be run", detail=only)
        run = {"run": describe(await self._tasks.find("gc"))}
        return json_reply(200, run if only else {**await self._of_all(), **run})

    async def start(self, call: Call) -> Reply:
        """POST: begin a run; its end is told by GET."""
        wanted = await read_document(call, _Wanted, SMALL_BODY_BYTES_MAX)
        task = await self._tasks.want("gc", dict(wanted))
        return json_reply(202, {"run": describe(task)})

    async def _of_all(self) -> dict[str, Any]:
        storage, limits = self._registry.storage, self._registry.limits
        found = await preview(storage, terms_of(self._registry))
        return {
            "reclaimable": {**asdict(found.collected), "is_whole": found.is_whole},
            "kept": _kept(await explain_all(storage)),
            "gc_grace_secs": limits.lease_secs,
            "untagged_grace": limits.untagged_secs,
        }

    async def _of_namespace(self, name: RepositoryName) -> dict[str, Any]:
        kept = await explain_namespace(self._registry.storage, name)
        if kept is None:
            raise OciError(Code.NAME_UNKNOWN, detail=name)
        return {"namespace": name, "kept": _kept(kept)}

    async def _of_digest(self, digest: Digest) -> dict[str, Any]:
        found = await explain_digest(self._registry.storage, terms_of(self._registry), digest)
        if found.size is None:
            raise OciError(Code.BLOB_UNKNOWN, detail=digest)
        return {
            "digest": digest,
            "size": found.size,
            "holders": [_explained(holder) for holder in found.holders],
            "is_whole": found.is_whole,
        }


def _explained(holder: Explained) -> dict[str, Any]:
    verdict = holder.verdict
    return {
        "namespace": holder.namespace,
        "kind": holder.kind,
        "kept_by": verdict.keeper,
        "by": verdict.by,
        "until": verdict.until,
    }


def _kept(kept: Kept) -> dict[str, Any]:
    return asdict(kept)
