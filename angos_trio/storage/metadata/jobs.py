"""Jobs: what waits to be done apart from requests, in queues, and of these in lanes.

Of a lane one job is done at a time, in the order of ids. Its first one alone has a time when it is
due, so that what can be done now is found by an index, however much waits. Whoever does a job has
claimed it; how often it was claimed says whose word about it still counts.
"""

from __future__ import annotations

from typing import Final

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows

_COLUMNS: Final = (
    "id, queue, lane, payload, created_at, attempts, due_at, claimed_until, failed_at, problem"
)


class Job(Frozen):
    """A job as it is stored; times in epoch seconds. `attempts` were begun, the one that is under
    way among them. It waits while `failed_at` is None; `problem` is what the last attempt met."""

    id: int
    queue: str
    lane: str
    payload: str
    created_at: int
    attempts: int = 0
    due_at: int | None = None
    claimed_until: int = 0
    failed_at: int | None = None
    problem: str = ""


class Wanted(Frozen):
    """A job to be. One with a key is not added while another of that key waits for its first
    attempt."""

    queue: str
    lane: str
    payload: str
    created_at: int
    key: str | None = None


class Count(Frozen):
    """How many jobs of a queue wait, and how many have failed; when the first of those that wait
    came."""

    waiting: int = 0
    failed: int = 0
    oldest_at: int | None = None


def add(rows: Rows, wanted: Wanted, now: int) -> bool:
    """Add a job at the end of its lane; False where one of its key waits already."""
    if wanted.key is not None and _waits(rows, wanted.queue, wanted.key):
        return False
    rows.execute(
        "INSERT INTO jobs (queue, lane, key, payload, created_at) VALUES (?, ?, ?, ?, ?)",
        (wanted.queue, wanted.lane, wanted.key, wanted.payload, wanted.created_at),
    )
    _make_due(rows, wanted.queue, wanted.lane, now)
    return True


def _waits(rows: Rows, queue: str, key: str) -> bool:
    """One that somebody does already began with what was known before."""
    row = rows.execute(
        "SELECT 1 FROM jobs WHERE queue = ? AND key = ? AND failed_at IS NULL AND attempts = 0",
        (queue, key),
    ).fetchone()
    return row is not None


def _make_due(rows: Rows, queue: str, lane: str, now: int) -> None:
    """The first of a lane is due, unless one of it has a time already."""
    rows.execute(
        "UPDATE jobs SET due_at = ? WHERE id = "
        "(SELECT min(id) FROM jobs WHERE queue = ? AND lane = ? AND failed_at IS NULL) "
        "AND NOT EXISTS (SELECT 1 FROM jobs WHERE queue = ? AND lane = ? AND due_at IS NOT NULL)",
        (now, queue, lane, queue, lane),
    )


def _stand_in_order(rows: Rows, queue: str, lane: str) -> None:
    """Where nobody does one of a lane, the first has the time: it may have been tried again by
    somebody's wish while one behind it was under way."""
    found = rows.execute(
        "SELECT id, due_at FROM jobs WHERE queue = ? AND lane = ? AND failed_at IS NULL "
        "AND (due_at IS NOT NULL OR id = (SELECT min(id) FROM jobs "
        "WHERE queue = ? AND lane = ? AND failed_at IS NULL)) ORDER BY id",
        (queue, lane, queue, lane),
    ).fetchall()
    (first, due_at), *others = found
    for number, at in others:
        rows.execute("UPDATE jobs SET due_at = NULL WHERE id = ?", (number,))
        due_at = at if due_at is None else due_at
    rows.execute("UPDATE jobs SET due_at = ? WHERE id = ?", (due_at, first))


def next_due(rows: Rows, queue: str, now: int) -> int | None:
    """When the first job that nobody does is due; None where there is none."""
    row = rows.execute(
        "SELECT min(due_at) FROM jobs "
        "WHERE queue = ? AND due_at IS NOT NULL AND claimed_until <= ?",
        (queue, now),
    ).fetchone()
    return None if row[0] is None else int(row[0])


def claim(
    rows: Rows, queue: str, now: int, until: int, limit: int, *, is_probe: bool = False
) -> list[Job]:
    """Take jobs that are due, each the first of its lane, until a time; another's claim that is
    over counts no more. For a probe those that failed least come first: the others may have failed
    by their own fault."""
    order = "attempts, due_at, id" if is_probe else "due_at, id"
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE queue = ? AND due_at <= ? AND claimed_until <= ? "
        f"ORDER BY {order} LIMIT ?",
        (queue, now, now, limit),
    ).fetchall()
    jobs = [Job(*row) for row in found]
    rows.executemany(
        "UPDATE jobs SET claimed_until = ?, attempts = attempts + 1 WHERE id = ?",
        [(until, job.id) for job in jobs],
    )
    return [
        Job(*row)
        for job in jobs
        for row in rows.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job.id,))
    ]


def release(rows: Rows, queue: str) -> None:
    """Nobody does anything of a queue: who did is no more."""
    lanes = rows.execute(
        "SELECT DISTINCT lane FROM jobs WHERE queue = ? AND due_at IS NOT NULL "
        "AND claimed_until > 0",
        (queue,),
    ).fetchall()
    rows.execute(
        "UPDATE jobs SET claimed_until = 0 WHERE queue = ? AND due_at IS NOT NULL", (queue,)
    )
    for (lane,) in lanes:
        _stand_in_order(rows, queue, lane)


def hurry(rows: Rows, queue: str, now: int, latest: int) -> None:
    """What is due after the latest that could have been meant was put off by another clock."""
    rows.execute("UPDATE jobs SET due_at = ? WHERE queue = ? AND due_at > ?", (now, queue, latest))


def done(rows: Rows, job: Job, now: int) -> None:
    """It is done, and the next of its lane is due; unless somebody else has claimed it since."""
    gone = rows.execute("DELETE FROM jobs WHERE id = ? AND attempts = ?", (job.id, job.attempts))
    if gone.rowcount:
        _make_due(rows, job.queue, job.lane, now)


def put_off(rows: Rows, job: Job, due_at: int, problem: str) -> None:
    """It is tried again, not before a time; the lane waits for it."""
    held = rows.execute(
        "UPDATE jobs SET claimed_until = 0, due_at = ?, problem = ? "
        "WHERE id = ? AND attempts = ? AND failed_at IS NULL",
        (due_at, problem, job.id, job.attempts),
    )
    if held.rowcount:
        _stand_in_order(rows, job.queue, job.lane)


def bury(rows: Rows, job: Job, problem: str, now: int) -> None:
    """It has failed for good, and its lane goes on."""
    gone = rows.execute(
        "UPDATE jobs SET claimed_until = 0, due_at = NULL, failed_at = ?, problem = ? "
        "WHERE id = ? AND attempts = ? AND failed_at IS NULL",
        (now, problem, job.id, job.attempts),
    )
    if gone.rowcount:
        _make_due(rows, job.queue, job.lane, now)


def retry(rows: Rows, job_id: int, now: int) -> bool:
    """Let a job be tried now, one that has failed as if it were new; False where there is none of
    this number. It stands in its lane where it stood; what somebody does goes on."""
    job = find(rows, job_id)
    if job is None:
        return False
    if job.failed_at is not None:
        rows.execute(
            "UPDATE jobs SET failed_at = NULL, attempts = 0, created_at = ? WHERE id = ?",
            (now, job_id),
        )
        if not _is_under_way(rows, job):
            _make_due(rows, job.queue, job.lane, now)
            _stand_in_order(rows, job.queue, job.lane)
    rows.execute(
        "UPDATE jobs SET due_at = min(due_at, ?) WHERE id = ? AND claimed_until = 0",
        (now, job_id),
    )
    return True


def _is_under_way(rows: Rows, job: Job) -> bool:
    """Whether somebody does a job of the same lane."""
    row = rows.execute(
        "SELECT 1 FROM jobs WHERE queue = ? AND lane = ? AND failed_at IS NULL "
        "AND claimed_until > 0",
        (job.queue, job.lane),
    ).fetchone()
    return row is not None


def delete(rows: Rows, job_id: int, now: int) -> bool:
    """Remove a job, also one that somebody does, whose word then counts no more; False where there
    is none of this number."""
    job = find(rows, job_id)
    if job is None:
        return False
    rows.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
    _make_due(rows, job.queue, job.lane, now)
    return True


def find(rows: Rows, job_id: int) -> Job | None:
    """The job of a number."""
    row = rows.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else Job(*row)


def page(rows: Rows, queue: str, *, has_failed: bool, after: int, limit: int) -> list[Job]:
    """Jobs of a queue in the order of their numbers, strictly after one; of all queues where none
    is named."""
    state = "failed_at IS NOT NULL" if has_failed else "failed_at IS NULL"
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE id > ? AND (? = '' OR queue = ?) AND {state} "
        "ORDER BY id LIMIT ?",
        (after, queue, queue, limit),
    )
    return [Job(*row) for row in found]


def counts(rows: Rows) -> dict[str, Count]:
    """How many there are, by queue."""
    found = rows.execute(
        "SELECT queue, sum(failed_at IS NULL), sum(failed_at IS NOT NULL), "
        "min(CASE WHEN failed_at IS NULL THEN created_at END) FROM jobs GROUP BY queue"
    )
    return {queue: Count(waiting, failed, oldest) for queue, waiting, failed, oldest in found}


def count_failed(rows: Rows) -> dict[str, int]:
    """How many nobody will try again, of the queues that have some."""
    return dict(
        rows.execute("SELECT queue, count(*) FROM jobs WHERE failed_at IS NOT NULL GROUP BY queue")
    )


def count_waiting(rows: Rows, queue: str) -> int:
    """How many of a queue wait."""
    row = rows.execute(
        "SELECT count(*) FROM jobs WHERE queue = ? AND failed_at IS NULL", (queue,)
    ).fetchone()
    return int(row[0])


def too_old(rows: Rows, queue: str, before: int, limit: int) -> list[Job]:
    """Jobs that wait since before a time, that were tried, and that nobody does now: a clock that
    was set, or a host that was off, makes nothing old."""
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE queue = ? AND due_at IS NOT NULL AND claimed_until = 0 "
        "AND attempts > 0 AND created_at < ? ORDER BY id LIMIT ?",
        (queue, before, limit),
    )
    return [Job(*row) for row in found]


def left(rows: Rows, queue: str, limit: int) -> list[Job]:
    """Jobs of a queue that nobody works on any more."""
    found = rows.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE queue = ? AND failed_at IS NULL ORDER BY id LIMIT ?",
        (queue, limit),
    )
    return [Job(*row) for row in found]


def forget_failed(rows: Rows, queue: str, before: int, keep: int) -> int:
    """Remove what failed before a time, and of the rest all but the last so many; how many."""
    return rows.execute(
        "DELETE FROM jobs WHERE queue = ? AND failed_at IS NOT NULL "
        "AND (failed_at < ? OR id NOT IN "
        "(SELECT id FROM jobs WHERE queue = ? AND failed_at IS NOT NULL "
        "ORDER BY failed_at DESC, id DESC LIMIT ?))",
        (queue, before, queue, keep),
    ).rowcount


def queues(rows: Rows) -> list[str]:
    """Those that have jobs, waiting or failed."""
    return [name for (name,) in rows.execute("SELECT DISTINCT queue FROM jobs ORDER BY queue")]
