"""What the health page shows of jobs, and the forms that try one again or drop it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from angos_trio.events.endpoints import QUEUE
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action
from angos_trio.jobs.listing import (
    count_jobs,
    delete_job,
    find_seen,
    list_jobs,
    namespace_of,
    retry_job,
    seen_of,
)
from angos_trio.limits.lists import JOBS_SHOWN_MAX
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata.jobs import Count, Job
from angos_trio.storage.store import Storage
from angos_trio.web import headers
from angos_trio.web.around import HEALTH, may
from angos_trio.web.forms import Form, FormHandler
from angos_trio.web.words import counted, visible

RETRY: Final = f"{HEALTH}/jobs/retry"
DELETE: Final = f"{HEALTH}/jobs/delete"


class Queue(Frozen):
    """A queue: what it does, how it is in a word with the tone of its badge, and since when the
    first of it waits."""

    name: str
    tone: str
    state: str
    oldest_at: int | None


class Row(Frozen):
    """A job that has not been done though it was tried."""

    number: int
    queue: str
    namespace: str
    problem: str
    attempts: str
    failed_at: int | None


class JobsPart(Frozen):
    """A part of the page. `is_whole`: there are no more rows than these."""

    queues: Sequence[Queue]
    rows: Sequence[Row]
    is_whole: bool
    may_retry: bool
    may_delete: bool


async def jobs_part(registry: Registry, call: Call) -> JobsPart | None:
    """None where there is nothing to show, or for who may not see it."""
    if not await may(call, Action.LIST_JOBS):
        return None
    counts = await count_jobs(registry.storage)
    names = sorted({*counts, *(each.queue for each in registry.endpoints.told.values())})
    if not names:
        return None
    limit = JOBS_SHOWN_MAX + 1
    failed = await list_jobs(registry.storage, "", has_failed=True, after=0, limit=limit)
    waiting = await list_jobs(registry.storage, "", has_failed=False, after=0, limit=limit)
    tried = [*failed, *(job for job in waiting if job.problem)]
    seen = await seen_of(call.caller, tried)
    return JobsPart(
        queues=[_queue(name, counts.get(name, Count())) for name in names],
        rows=[_row(job) for job in seen[:JOBS_SHOWN_MAX]],
        is_whole=len(failed) < limit and len(waiting) < limit,
        may_retry=await may(call, Action.RETRY_JOB),
        may_delete=await may(call, Action.DELETE_JOB),
    )


def _queue(name: str, count: Count) -> Queue:
    if count.failed:
        tone, state = "danger", f"{counted(count.failed, 'job')} failed"
    elif count.waiting:
        tone, state = "warn", f"{counted(count.waiting, 'job')} waiting"
    else:
        tone, state = "ok", "nothing waits"
    if count.failed and count.waiting:
        state = f"{state}, {count.waiting:,} waiting"
    return Queue(words_of(name), tone, state, count.oldest_at)


def words_of(queue: str) -> str:
    """What a queue is for."""
    return f"Webhook {queue.removeprefix(QUEUE)}" if queue.startswith(QUEUE) else queue.capitalize()


def _row(job: Job) -> Row:
    return Row(
        number=job.id,
        queue=words_of(job.queue),
        namespace=namespace_of(job),
        problem=visible(job.problem, 200),
        attempts=counted(job.attempts, "attempt"),
        failed_at=job.failed_at,
    )


Verb = Callable[[Storage, int, int], Awaitable[bool]]


def decide_about_job(registry: Registry, verb: Verb) -> FormHandler:
    """The handler of a form that names a job."""

    async def handler(call: Call, form: Form) -> Reply:
        """POST: do it, as the path of the API does; then back to the page."""
        await registry.require_changeable()
        job = await find_seen(registry.storage, call.caller, form.one("job"))
        await verb(registry.storage, job.id, registry.now())
        return Reply(303, {"Location": f"{HEALTH}#jobs", **headers.PAGE})

    return handler


VERBS: Final = ((RETRY, Action.RETRY_JOB, retry_job), (DELETE, Action.DELETE_JOB, delete_job))
"""Paths of the forms, with their actions."""
