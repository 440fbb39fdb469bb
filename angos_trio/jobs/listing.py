"""Looking at jobs, and what somebody does about one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from angos_trio.identity import Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.storage.metadata import jobs
from angos_trio.storage.metadata.jobs import Count, Job
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows, Transaction

_DIGITS_MAX: Final = 19
"""Of a number that SQLite can hold, and one more."""


def namespace_of(job: Job) -> str:
    """The namespace that a job is about: by it a lane begins."""
    return job.lane.partition("@")[0]


async def count_jobs(storage: Storage) -> dict[str, Count]:
    """How many there are, by queue. Raises UNAVAILABLE (503)."""
    return await storage.read(jobs.counts)


async def list_jobs(
    storage: Storage, queue: str, *, has_failed: bool, after: int, limit: int
) -> list[Job]:
    """Jobs in the order of their numbers, strictly after one; of every queue where none is named.
    Raises UNAVAILABLE (503)."""

    def query(rows: Rows) -> list[Job]:
        return jobs.page(rows, queue, has_failed=has_failed, after=after, limit=limit)

    return await storage.read(query)


async def seen_of(caller: Caller, found: Sequence[Job]) -> list[Job]:
    """Those of the jobs whose namespace a caller sees."""
    names = sorted({namespace_of(job) for job in found})
    await caller.learn(names, trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
    return [job for job in found if caller.sees(namespace_of(job))]


async def find_seen(storage: Storage, caller: Caller, text: str) -> Job:
    """The job of a number as it is written. Raises NAME_UNKNOWN (404), also for one whose namespace
    the caller does not see; UNAVAILABLE (503)."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS_MAX else 0
    job = await storage.read(lambda rows: jobs.find(rows, number))
    if job is None or not await seen_of(caller, [job]):
        raise unknown(text)
    return job


def unknown(number: object) -> OciError:
    """There is no such job (404)."""
    return OciError(Code.NAME_UNKNOWN, message="there is no such job", detail=str(number))


async def retry_job(storage: Storage, job_id: int, now: int) -> bool:
    """Have a job tried now, one that has failed as if it were new; False where there is none.
    Raises UNAVAILABLE (503, 507)."""

    def step(transaction: Transaction) -> bool:
        return jobs.retry(transaction.rows, job_id, now)

    return await storage.write(step, makes_room=True)


async def delete_job(storage: Storage, job_id: int, now: int) -> bool:
    """Have a job never done; False where there is none. Raises UNAVAILABLE (503, 507)."""

    def step(transaction: Transaction) -> bool:
        return jobs.delete(transaction.rows, job_id, now)

    return await storage.write(step, makes_room=True)
