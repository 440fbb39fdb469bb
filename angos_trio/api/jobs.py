"""`/v2/_ext/_jobs`: what waits to be done apart from requests, and what has failed."""

from __future__ import annotations

from typing import Any, Final

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply, json_reply
from angos_trio.jobs.listing import (
    count_jobs,
    delete_job,
    find_seen,
    list_jobs,
    namespace_of,
    retry_job,
    seen_of,
    unknown,
)
from angos_trio.limits.jobs import JOBS_PAGE_ENTRIES
from angos_trio.mirror.pull import PREFETCH
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.pagination import next_link, parse_number
from angos_trio.storage.metadata.jobs import Count, Job

PATH: Final = "/v2/_ext/_jobs"
_STATES: Final = ("waiting", "failed")
_CODE: Final = Code.PAGINATION_NUMBER_INVALID


class Jobs:
    """Handlers of the paths. A job is shown to who sees its namespace."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry

    async def list(self, call: Call) -> Reply:
        """GET: a page of jobs that wait, or that have failed, in the order of their numbers."""
        state = call.query.one("state", _CODE) or "waiting"
        if state not in _STATES:
            raise OciError(_CODE, message="state is waiting or failed", detail=state)
        queue = call.query.one("queue", _CODE) or ""
        counts = await count_jobs(self._registry.storage)
        for endpoint in self._registry.endpoints.told.values():
            counts.setdefault(endpoint.queue, Count())
        if queue and queue not in {*counts, PREFETCH}:
            raise OciError(Code.NAME_UNKNOWN, message="there is no such queue", detail=queue)
        asked = {name: call.query.one(name, _CODE) for name in ("n", "last")}
        size = JOBS_PAGE_ENTRIES if asked["n"] is None else parse_number(asked["n"])
        size = min(size, JOBS_PAGE_ENTRIES)
        after = 0 if asked["last"] is None else parse_number(asked["last"])
        found = await list_jobs(
            self._registry.storage,
            queue,
            has_failed=state == "failed",
            after=after,
            limit=size + 1,
        )
        page = found[:size]
        headers = {"Cache-Control": "private, no-cache"}
        if page and len(found) > size:
            kept = {"state": state, "n": str(size), "last": str(page[-1].id)}
            headers["Link"] = next_link(PATH, {**kept, "queue": queue} if queue else kept)
        document = {
            "queues": {
                name: {"waiting": each.waiting, "failed": each.failed, "oldest_at": each.oldest_at}
                for name, each in counts.items()
            },
            "jobs": [_document(job) for job in await seen_of(call.caller, page)],
        }
        return json_reply(200, document, headers)

    async def retry(self, call: Call) -> Reply:
        """POST: the job is tried now, one that has failed as if it were new."""
        job = await find_seen(self._registry.storage, call.caller, call.values["id"])
        if not await retry_job(self._registry.storage, job.id, self._registry.now()):
            raise unknown(job.id)
        return Reply(202)

    async def delete(self, call: Call) -> Reply:
        """DELETE: the job is never done."""
        job = await find_seen(self._registry.storage, call.caller, call.values["id"])
        if not await delete_job(self._registry.storage, job.id, self._registry.now()):
            raise unknown(job.id)
        return Reply(204)


def _document(job: Job) -> dict[str, Any]:
    """What is told of a job. Times are epoch seconds; `due_at` is null behind another of a lane."""
    return {
        "id": job.id,
        "queue": job.queue,
        "namespace": namespace_of(job),
        "state": "waiting" if job.failed_at is None else "failed",
        "is_under_way": job.claimed_until > 0,
        "attempts": job.attempts,
        "problem": job.problem,
        "created_at": job.created_at,
        "due_at": job.due_at,
        "failed_at": job.failed_at,
    }
