"""Doing jobs: order in a lane, what becomes of failures, and what a restart finds."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from angos_trio.jobs.listing import delete_job, list_jobs, namespace_of, retry_job
from angos_trio.jobs.worker import GiveUpError, Rules, TryLaterError, Worker
from angos_trio.limits.jobs import JOB_FAILED_SECS_MAX, JOB_SECS_MAX, JOB_SURPRISES_MAX
from angos_trio.storage.metadata import jobs, switches
from angos_trio.storage.metadata.jobs import Job, Wanted
from angos_trio.storage.metadata.switches import Switched
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows, Transaction
from tests.storage.support import opened, run

QUEUE = "webhook.a"
WAIT_SECS_MAX = 60.0
RULES = Rules(at_once_max=3, claim_secs=60)


@dataclass
class Bench:
    """A worker on a real storage, with a clock that the test sets."""

    storage: Storage
    now: int = 1000
    done: list[str] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    behave: Callable[[Job], Awaitable[None]] | None = None
    ticking: Worker | None = None
    """For whom time goes on while the test waits."""

    def worker(self, rules: Rules = RULES) -> Worker:
        return Worker(self.storage, QUEUE, self.work, rules, lambda: self.now, lambda: 0.0)

    async def work(self, job: Job) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.behave is not None:
                await self.behave(job)
            self.done.append(job.payload)
        finally:
            self.under_way -= 1

    async def add(self, *payloads: str, lane: str = "team/app", at: int = 1000) -> None:
        await self.change(
            lambda rows: [
                jobs.add(rows, Wanted(QUEUE, lane, payload, at), self.now) for payload in payloads
            ]
        )

    async def change(self, change: Callable[[Rows], object]) -> None:
        def step(transaction: Transaction) -> None:
            change(transaction.rows)

        await self.storage.write(step)

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        with trio.fail_after(WAIT_SECS_MAX):
            while not await is_so():
                await trio.sleep(0.01)
                if self.ticking is not None:
                    self.now += 1
                    self.ticking.wake()

    async def until_done(self, count: int) -> None:
        async def is_so() -> bool:
            return len(self.done) >= count

        await self.until(is_so)

    async def failed(self) -> list[Job]:
        return await list_jobs(self.storage, QUEUE, has_failed=True, after=0, limit=100)

    async def waiting(self) -> list[Job]:
        return await list_jobs(self.storage, QUEUE, has_failed=False, after=0, limit=100)

    async def until_failed(self, count: int) -> list[Job]:
        async def is_so() -> bool:
            return len(await self.failed()) >= count

        await self.until(is_so)
        return await self.failed()


async def hangs(job: Job) -> None:
    """Never comes to an end."""
    await trio.sleep_forever()


@asynccontextmanager
async def bench(root: Path) -> AsyncIterator[Bench]:
    async with opened(root) as storage:
        yield Bench(storage)


@asynccontextmanager
async def working(made: Bench, rules: Rules = RULES) -> AsyncIterator[Worker]:
    worker = made.worker(rules)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        yield worker
        nursery.cancel_scope.cancel()


def test_jobs_of_a_lane_are_done_in_order_and_those_of_several_beside_each_other(
    root: Path,
) -> None:
    async def slowly(job: Job) -> None:
        await trio.sleep(0.02)

    async def main() -> None:
        async with bench(root) as made:
            made.behave = slowly
            for lane in "abcde":
                await made.add(*(f"{lane}{number}" for number in range(4)), lane=lane)
            async with working(made):
                await made.until_done(20)
            for lane in "abcde":
                mine = [each for each in made.done if each.startswith(lane)]
                assert mine == [f"{lane}{number}" for number in range(4)]
            assert made.most == RULES.at_once_max
            assert await made.waiting() == []

    run(main)


def test_what_fails_is_tried_again_before_what_stands_behind_it(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:
            failures = 2

            async def fails(job: Job) -> None:
                nonlocal failures
                if job.payload == "first" and failures:
                    failures -= 1
                    made.now += 5
                    raise TryLaterError("no answer")

            made.behave = fails
            await made.add("first", "second")
            async with working(made) as worker:

                async def is_so() -> bool:
                    made.now += 1
                    worker.wake()
                    return len(made.done) == 2

                await made.until(is_so)
            assert made.done == ["first", "second"]

    run(main)


def test_time_between_attempts_grows_and_what_is_asked_for_counts(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:
            asked: float | None = None
            dues = []

            async def fails(job: Job) -> None:
                raise TryLaterError("no answer", after_secs=asked)

            made.behave = fails
            await made.add("one")
            async with working(made) as worker:
                for attempt in range(1, 9):
                    asked = 300.0 if attempt == 8 else None
                    worker.wake()

                    async def is_so(attempt: int = attempt) -> bool:
                        (job,) = await made.waiting()
                        return job.attempts == attempt and not job.claimed_until

                    await made.until(is_so)
                    (job,) = await made.waiting()
                    assert job.due_at is not None
                    dues.append(job.due_at - made.now)
                    made.now = job.due_at
            assert dues == [1, 1, 2, 4, 8, 16, 30, 300]  # the shorter half: chance gives 0

    run(main)


def test_after_so_many_attempts_it_has_failed_and_the_next_is_done(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:

            async def fails(job: Job) -> None:
                if job.payload == "first":
                    raise TryLaterError("no answer")

            made.behave = fails
            await made.add("first", "second")
            async with working(made, Rules(1, 60, attempts_max=2)) as worker:
                made.ticking = worker
                (job,) = await made.until_failed(1)
                await made.until_done(1)
            assert job.problem == "2 attempts, the last: no answer"
            assert made.done == ["second"]

    run(main)


@pytest.mark.parametrize("error", [GiveUpError("refused"), ValueError("a damaged row")])
def test_what_can_never_be_done_blocks_nobody(root: Path, error: Exception) -> None:
    async def main() -> None:
        async with bench(root) as made:

            async def fails(job: Job) -> None:
                if job.payload == "bad":
                    raise error

            made.behave = fails
            await made.add("bad", "good")
            async with working(made) as worker:
                made.ticking = worker
                (job,) = await made.until_failed(1)
                await made.until_done(1)
            assert str(error) in job.problem
            assert job.attempts == (1 if isinstance(error, GiveUpError) else JOB_SURPRISES_MAX)

    run(main)


def test_where_all_would_fail_one_finds_out_when_that_is_over(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:
            is_down, asked = True, 0

            async def fails(job: Job) -> None:
                nonlocal asked
                asked += 1
                await trio.sleep(0.01)
                if is_down:
                    raise TryLaterError("nobody listens", is_for_all=True)

            made.behave = fails
            for number in range(50):
                await made.add(f"{number}", lane=f"lane-{number}")
            async with working(made) as worker:
                await trio.sleep(1.2)
                assert asked <= RULES.at_once_max + 3  # each alone, seconds apart
                is_down = False
                made.now += 100
                worker.wake()
                await made.until_done(50)
            assert made.most == RULES.at_once_max

    run(main)


def test_those_that_always_fail_do_not_hold_up_the_others(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:
            failed = 0

            async def fails(job: Job) -> None:
                nonlocal failed
                if job.payload == "bad":
                    failed += 1
                    raise TryLaterError("status 503", is_for_all=True)

            async def rest_no_more(worker: Worker) -> None:
                """As if the time between two probes were over each time."""
                while True:
                    worker._rests_until = 0.0
                    await trio.sleep(0.001)

            made.behave = fails
            for number in range(60):
                await made.add("bad", lane=f"bad-{number}")
            async with working(made) as worker, trio.open_nursery() as nursery:
                made.ticking = worker
                nursery.start_soon(rest_no_more, worker)

                async def each_was_tried() -> bool:
                    return all(job.attempts for job in await made.waiting())

                await made.until(each_was_tried)
                for count in range(1, 6):
                    before = failed
                    await made.add("good", lane="good")
                    await made.until_done(count)
                    assert failed - before < 25  # of 60 that were due before
                nursery.cancel_scope.cancel()

    run(main)


def test_job_that_hangs_is_put_off(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:
            made.behave = hangs
            await made.add("one")
            async with working(made, Rules(1, claim_secs=1)):

                async def is_so() -> bool:
                    (job,) = await made.waiting()
                    return job.problem == "not done within 1 s"

                await made.until(is_so)

    run(main)


def test_what_was_under_way_when_a_process_ended_is_done_by_the_next(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:
            made.behave = hangs
            await made.add("one")
            async with working(made):

                async def is_claimed() -> bool:
                    return made.under_way == 1

                await made.until(is_claimed)
            made.behave = None
            async with working(made):
                await made.until_done(1)
            assert made.done == ["one"]

    run(main)


def test_nothing_new_is_begun_while_the_registry_is_read_only(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:
            await made.change(lambda rows: switches.set_read_only(rows, Switched(1, "me")))
            await made.add("one")
            async with working(made) as worker:
                await trio.sleep(0.2)
                assert made.done == []
                await made.change(switches.end_read_only)
                worker.wake()
                await made.until_done(1)

    run(main)


def test_what_waits_for_too_long_has_failed_and_what_failed_long_ago_is_forgotten(
    root: Path,
) -> None:
    async def main() -> None:
        async with bench(root) as made:
            made.now = 10 * JOB_FAILED_SECS_MAX
            await made.add("old", at=made.now - JOB_SECS_MAX - 1)
            await made.add("new", at=made.now)
            await made.add("forgotten", lane="other", at=made.now)

            def bury(rows: Rows) -> None:
                *_, last = jobs.page(rows, QUEUE, has_failed=False, after=0, limit=10)
                jobs.bury(rows, last, "refused", made.now - JOB_FAILED_SECS_MAX - 1)

            await made.change(bury)
            worker = made.worker()
            assert await worker._give_up_old(made.now) == 0  # nobody has tried it yet
            await made.change(lambda rows: rows.execute("UPDATE jobs SET attempts = 1"))
            assert await worker._give_up_old(made.now) == 1
            (job,) = await made.failed()
            assert (job.payload, job.problem) == ("old", "given up after 7 days")
            assert [each.payload for each in await made.waiting()] == ["new"]

    run(main)


def test_somebody_may_have_a_job_tried_again_or_never(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:

            async def fails(job: Job) -> None:
                raise GiveUpError("refused")

            made.behave = fails
            await made.add("one", "two", lane="team/app@sha256:0")
            async with working(made) as worker:
                first, second = await made.until_failed(2)
                made.behave = None
                assert await retry_job(made.storage, first.id, made.now)
                assert await delete_job(made.storage, second.id, made.now)
                worker.wake()
                await made.until_done(1)
            assert made.done == ["one"]
            assert [each.id for each in await made.failed()] == []
            assert not await retry_job(made.storage, second.id, made.now)
            assert namespace_of(first) == "team/app"

    run(main)


def test_damage_to_the_rows_ends_the_worker_and_not_silently(root: Path) -> None:
    async def main() -> None:
        async with bench(root) as made:
            await made.change(lambda rows: rows.execute("DROP TABLE jobs"))
            with pytest.raises((sqlite3.Error, Exception), match="jobs"):
                await made.worker().run()

    run(main)
