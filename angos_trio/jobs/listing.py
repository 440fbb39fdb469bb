"""Looking at jobs, and what somebody does about one."""

from __future__ import annotations

from angos_trio.storage.metadata import jobs
from angos_trio.storage.metadata.jobs import Count, Job
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows, Transaction


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


async def find_job(storage: Storage, job_id: int) -> Job | None:
    """The job of a number. Raises UNAVAILABLE (503)."""
    return await storage.read(lambda rows: jobs.find(rows, job_id))


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
