"""Does the jobs of a queue: several lanes at once, of each lane one job after the other.

What fails is tried again later, and its lane waits for it; what cannot be done, or has been tried
often enough, is kept as failed, and the lane goes on. Jobs are rows, so that nothing is lost with
the process; whoever does one has claimed it, so that a process that hangs is replaced.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from angos_trio.jobs.backoff import chance, delay_secs
from angos_trio.limits.jobs import (
    JOB_AGAIN_SECS_MAX,
    JOB_AGAIN_SECS_MIN,
    JOB_ASKED_SECS_MAX,
    JOB_FAILED_MAX,
    JOB_FAILED_SECS_MAX,
    JOB_LOOK_SECS,
    JOB_PROBLEM_CHARACTERS_MAX,
    JOB_SECS_MAX,
    JOB_SURPRISES_MAX,
    JOB_SWEEP_ROWS,
    JOB_SWEEP_SECS,
)
from angos_trio.records import Frozen, Mutable, field
from angos_trio.storage.metadata import jobs, switches
from angos_trio.storage.metadata.jobs import Job
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows, Transaction
from angos_trio.telemetry.log import logger

_log = logger("jobs")


class TryLaterError(Exception):
    """An attempt failed, and another may not. `after_secs` is what the other side asks for;
    `is_for_all`: no other job of the queue would have fared better."""

    def __init__(
        self, problem: str, *, after_secs: float | None = None, is_for_all: bool = False
    ) -> None:
        super().__init__(problem)
        self.after_secs = after_secs
        self.is_for_all = is_for_all


class GiveUpError(Exception):
    """No attempt will ever do."""


Work = Callable[[Job], Awaitable[None]]
"""Does a job. Raises TryLaterError or GiveUpError; anything else is a surprise, of which there are
few before it is given up."""


class Rules(Frozen):
    """How a queue is worked on: so many jobs at once, each claimed for so many seconds; and after
    how many attempts one has failed, None: when it is too old."""

    at_once_max: int
    claim_secs: int
    attempts_max: int | None = None


class Worker(Mutable):
    """Of one queue; there is one in the whole instance. `now` is epoch seconds."""

    storage: Storage
    queue: str
    work: Work
    rules: Rules
    now: Callable[[], int]
    chance: Callable[[], float] = chance
    _under_way: int = 0
    _failures: int = 0
    _rests_until: float = -math.inf
    _woken: trio.Event = field(default_factory=trio.Event)

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Do what is due, until cancelled. Raises UNAVAILABLE (503, 507) where rows cannot be
        written; what was claimed then is free again with the next run."""
        await self._change(lambda rows: jobs.release(rows, self.queue))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            while True:
                for job in await self._claimed():
                    self._under_way += 1
                    nursery.start_soon(self._do, job)
                with trio.move_on_after(JOB_LOOK_SECS):
                    await self._woken.wait()
                self._woken = trio.Event()

    async def _change(self, change: Callable[[Rows], None]) -> None:
        def step(transaction: Transaction) -> None:
            change(transaction.rows)

        await self.storage.write(step, makes_room=True)

    async def _claimed(self) -> list[Job]:
        # Where all would fail alike, one finds out when that is over.
        room = (1 if self._failures else self.rules.at_once_max) - self._under_way
        if room <= 0 or trio.current_time() < self._rests_until:
            return []
        now = self.now()

        def is_due(rows: Rows) -> bool:
            due_at = jobs.next_due(rows, self.queue, now)
            return due_at is not None and due_at <= now

        if not await self.storage.read_point(is_due):
            return []

        def step(transaction: Transaction) -> list[Job]:
            if switches.find_read_only(transaction.rows) is not None:
                return []
            until = now + self.rules.claim_secs
            is_probe = self._failures > 0
            return jobs.claim(transaction.rows, self.queue, now, until, room, is_probe=is_probe)

        return await self.storage.write(step, makes_room=True)

    async def _do(self, job: Job) -> None:
        try:
            await self._carry_out(job)
        finally:
            self._under_way -= 1
            self._woken.set()

    async def _carry_out(self, job: Job) -> None:
        try:
            with trio.fail_after(self.rules.claim_secs):
                await self.work(job)
        except GiveUpError as error:
            self._failures = 0
            await self._fail(job, str(error))
        except TryLaterError as error:
            await self._try_later(job, error, self.rules.attempts_max)
        except trio.TooSlowError:
            problem = f"not done within {self.rules.claim_secs} s"
            await self._try_later(job, TryLaterError(problem), self.rules.attempts_max)
        except Exception as error:
            _log.exception("job.surprised", queue=self.queue, job=job.id)
            problem = f"{type(error).__name__}: {error}"
            await self._try_later(job, TryLaterError(problem), JOB_SURPRISES_MAX)
        else:
            self._failures = 0
            await self._change(lambda rows: jobs.done(rows, job, self.now()))

    async def _try_later(self, job: Job, error: TryLaterError, attempts_max: int | None) -> None:
        problem, now = str(error), self.now()
        if error.is_for_all:
            self._failures += 1
            self._rests_until = trio.current_time() + self._wait_secs(self._failures, error)
        else:
            self._failures = 0
        if attempts_max is not None and job.attempts >= attempts_max:
            await self._fail(job, f"{job.attempts} attempts, the last: {problem}")
        elif now - job.created_at > JOB_SECS_MAX:
            await self._fail(job, f"given up after {JOB_SECS_MAX // 86_400} days: {problem}")
        else:
            due_at = now + math.ceil(self._wait_secs(job.attempts, error))
            _log.info("job.put_off", queue=self.queue, job=job.id, problem=problem, until=due_at)
            cut = problem[:JOB_PROBLEM_CHARACTERS_MAX]
            await self._change(lambda rows: jobs.put_off(rows, job, due_at, cut))

    def _wait_secs(self, failures: int, error: TryLaterError) -> float:
        own = delay_secs(
            failures,
            shortest=JOB_AGAIN_SECS_MIN,
            longest=JOB_AGAIN_SECS_MAX,
            chance=self.chance,
        )
        return max(own, min(error.after_secs or 0.0, JOB_ASKED_SECS_MAX))

    async def _fail(self, job: Job, problem: str) -> None:
        _log.error("job.failed", queue=self.queue, job=job.id, problem=problem)
        now, cut = self.now(), problem[:JOB_PROBLEM_CHARACTERS_MAX]
        await self._change(lambda rows: jobs.bury(rows, job, cut, now))

    async def _sweep(self) -> None:
        """What waits for too long has failed; what failed long ago is forgotten."""
        while True:
            now = self.now()
            while await self._give_up_old(now) == JOB_SWEEP_ROWS:
                await trio.lowlevel.checkpoint()
            await trio.sleep(JOB_SWEEP_SECS)

    async def _give_up_old(self, now: int) -> int:
        problem = f"given up after {JOB_SECS_MAX // 86_400} days"

        def step(transaction: Transaction) -> int:
            rows = transaction.rows
            if switches.find_read_only(rows) is not None:
                return 0
            jobs.hurry(rows, self.queue, now, now + int(JOB_ASKED_SECS_MAX) + 1)
            found = jobs.too_old(rows, self.queue, now - JOB_SECS_MAX, JOB_SWEEP_ROWS)
            for job in found:
                jobs.bury(rows, job, f"{problem}: {job.problem}" if job.problem else problem, now)
            jobs.forget_failed(rows, self.queue, now - JOB_FAILED_SECS_MAX, JOB_FAILED_MAX)
            return len(found)

        return await self.storage.write(step, makes_room=True)
