"""Jobs as rows: what is due, whose it is, and in which order a lane goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from angos_trio.storage.metadata import jobs
from angos_trio.storage.metadata.jobs import Count, Job, Wanted
from tests.storage.support import database

QUEUE, OTHER = "webhook.a", "prefetch"


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with database(tmp_path) as connection:
        yield connection


def add(rows: sqlite3.Connection, lane: str = "team/app", queue: str = QUEUE, **more: str) -> bool:
    return jobs.add(rows, Wanted(queue, lane, "{}", 100, **more), 100)


def claim(rows: sqlite3.Connection, now: int = 100, limit: int = 10) -> list[Job]:
    return jobs.claim(rows, QUEUE, now, now + 60, limit)


def test_lane_goes_on_with_the_next_when_one_is_done(rows: sqlite3.Connection) -> None:
    for _ in range(3):
        add(rows)
    order = []
    while found := claim(rows):
        (job,) = found
        order.append(job.id)
        jobs.done(rows, job, 100)

    assert order == [1, 2, 3]
    assert jobs.counts(rows) == {}


def test_lanes_and_queues_wait_for_nobody_but_themselves(rows: sqlite3.Connection) -> None:
    for lane in ("a", "a", "b"):
        add(rows, lane)
    add(rows, "a", OTHER)

    assert [(job.id, job.lane) for job in claim(rows)] == [(1, "a"), (3, "b")]
    assert claim(rows) == []
    assert [job.lane for job in jobs.claim(rows, OTHER, 100, 160, 1)] == ["a"]


def test_what_is_put_off_holds_its_lane_until_it_is_due(rows: sqlite3.Connection) -> None:
    add(rows)
    add(rows)
    (job,) = claim(rows)
    jobs.put_off(rows, job, 130, "no answer")

    assert claim(rows, 129) == []
    assert jobs.next_due(rows, QUEUE, 129) == 130
    (again,) = claim(rows, 130)
    assert (again.id, again.attempts, again.problem) == (job.id, 2, "no answer")


def test_what_has_failed_holds_nobody_up_and_can_be_tried_again(rows: sqlite3.Connection) -> None:
    add(rows)
    add(rows)
    (first,) = claim(rows)
    jobs.bury(rows, first, "refused", 110)
    (second,) = claim(rows, 110)

    assert jobs.counts(rows) == {QUEUE: Count(1, 1, 100)}
    assert jobs.retry(rows, first.id, 120)
    assert claim(rows, 120) == []  # the second is under way
    jobs.done(rows, second, 120)
    (again,) = claim(rows, 120)
    assert (again.id, again.attempts, again.created_at) == (first.id, 1, 120)


def test_retried_job_comes_before_those_that_stood_behind_it(rows: sqlite3.Connection) -> None:
    for _ in range(2):
        add(rows)
    (first,) = claim(rows)
    jobs.bury(rows, first, "refused", 100)

    (second,) = claim(rows)
    jobs.put_off(rows, second, 999, "no answer")

    jobs.retry(rows, first.id, 100)

    assert [job.id for job in claim(rows)] == [first.id]


def test_waiting_job_can_be_hurried_and_one_that_is_not_there_cannot(
    rows: sqlite3.Connection,
) -> None:
    add(rows)
    (job,) = claim(rows)
    jobs.put_off(rows, job, 999, "no answer")

    assert jobs.retry(rows, job.id, 101)
    assert [found.id for found in claim(rows, 101)] == [job.id]
    assert not jobs.retry(rows, 4711, 101)
    assert not jobs.delete(rows, 4711, 101)


def test_word_of_one_whose_claim_is_another_s_counts_no_more(rows: sqlite3.Connection) -> None:
    add(rows)
    (slow,) = claim(rows, 100)
    (quick,) = claim(rows, 160)

    jobs.done(rows, slow, 161)
    jobs.bury(rows, slow, "too late", 161)
    jobs.put_off(rows, slow, 999, "too late")

    found = jobs.find(rows, quick.id)
    assert found is not None
    assert (found.attempts, found.problem, found.failed_at, found.due_at) == (2, "", None, 100)
    jobs.done(rows, quick, 162)
    assert jobs.find(rows, quick.id) is None


def test_claims_of_who_is_no_more_are_released(rows: sqlite3.Connection) -> None:
    add(rows)
    claim(rows)

    jobs.release(rows, QUEUE)

    assert [job.attempts for job in claim(rows)] == [2]


def test_same_key_waits_once_and_again_when_it_is_under_way(rows: sqlite3.Connection) -> None:
    assert add(rows, key="x")
    assert not add(rows, key="x")
    assert add(rows, queue=OTHER, key="x")
    claim(rows)

    assert add(rows, key="x")  # what is under way began with less
    assert not add(rows, key="x")


def test_deleted_job_leaves_its_lane_to_the_next(rows: sqlite3.Connection) -> None:
    add(rows)
    add(rows)
    (job,) = claim(rows)

    assert jobs.delete(rows, job.id, 100)
    jobs.done(rows, job, 100)

    assert [found.id for found in claim(rows)] == [2]


def test_what_another_clock_put_off_is_due_again(rows: sqlite3.Connection) -> None:
    add(rows)
    (job,) = claim(rows)
    jobs.put_off(rows, job, 10**9, "no answer")

    jobs.hurry(rows, QUEUE, 100, 10**9)
    assert claim(rows) == []
    jobs.hurry(rows, QUEUE, 100, 10**9 - 1)
    assert len(claim(rows)) == 1


def test_pages_are_of_one_state_and_of_one_queue_or_all(rows: sqlite3.Connection) -> None:
    for lane in ("a", "b", "c"):
        add(rows, lane)
    add(rows, "a", OTHER)
    first, *_ = claim(rows)
    jobs.bury(rows, first, "refused", 100)

    def page(queue: str, after: int = 0, limit: int = 10, *, has_failed: bool = False) -> list[int]:
        found = jobs.page(rows, queue, has_failed=has_failed, after=after, limit=limit)
        return [job.id for job in found]

    assert page("") == [2, 3, 4]
    assert page(QUEUE) == [2, 3]
    assert page("", limit=2) == [2, 3]
    assert page("", after=3) == [4]
    assert page("", has_failed=True) == [1]
    assert jobs.queues(rows) == [OTHER, QUEUE]
    assert jobs.count_waiting(rows, QUEUE) == 2


def test_what_failed_is_forgotten_by_age_and_by_number(rows: sqlite3.Connection) -> None:
    for number in range(5):
        add(rows, f"lane-{number}")
    for at, job in enumerate(claim(rows)):
        jobs.bury(rows, job, "refused", 1000 + at)

    assert jobs.forget_failed(rows, QUEUE, 1001, 10) == 1
    assert jobs.forget_failed(rows, QUEUE, 0, 2) == 2
    left = jobs.page(rows, "", has_failed=True, after=0, limit=10)
    assert [job.failed_at for job in left] == [1003, 1004]


def test_old_ones_were_tried_and_are_not_under_way(rows: sqlite3.Connection) -> None:
    for lane in ("never tried", "put off", "under way"):
        add(rows, lane)
    _, put_off, _ = claim(rows)
    jobs.release(rows, QUEUE)
    rows.execute("UPDATE jobs SET attempts = 0 WHERE lane = 'never tried'")
    rows.execute("UPDATE jobs SET claimed_until = 200 WHERE lane = 'under way'")

    assert [job.id for job in jobs.too_old(rows, QUEUE, 101, 10)] == [put_off.id]
    assert jobs.too_old(rows, QUEUE, 100, 10) == []
    assert len(jobs.left(rows, QUEUE, 10)) == 3


def test_probe_takes_what_failed_least(rows: sqlite3.Connection) -> None:
    for lane in "abc":
        add(rows, lane)
    for job in claim(rows):
        jobs.put_off(rows, job, 100, "no answer")
    add(rows, "new")

    (probe,) = jobs.claim(rows, QUEUE, 200, 260, 1, is_probe=True)

    assert probe.lane == "new"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT min(due_at) FROM jobs WHERE queue = 'a' AND due_at IS NOT NULL "
        "AND claimed_until <= 1",
        "SELECT min(id) FROM jobs WHERE queue = 'a' AND lane = 'b' AND failed_at IS NULL",
        "SELECT 1 FROM jobs WHERE queue = 'a' AND lane = 'b' AND due_at IS NOT NULL",
        "SELECT 1 FROM jobs WHERE queue = 'a' AND key = 'b' AND failed_at IS NULL AND attempts = 0",
        "SELECT count(*) FROM jobs WHERE queue = 'a' AND failed_at IS NULL",
    ],
)
def test_what_is_asked_often_is_found_by_an_index(rows: sqlite3.Connection, query: str) -> None:
    plan = [row[3] for row in rows.execute(f"EXPLAIN QUERY PLAN {query}")]

    assert all("USING" in step and "INDEX" in step for step in plan if step.startswith("S")), plan


class Lanes(RuleBasedStateMachine):
    """Whatever is done to jobs, and by whom: each lane with one that waits has one that is next."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(TemporaryDirectory())
        self.rows = self.stack.enter_context(database(Path(folder)))
        self.now = 100
        self.claimed: list[Job] = []

    def teardown(self) -> None:
        self.stack.close()

    @rule(lane=st.sampled_from("ab"), key=st.sampled_from([None, "k"]))
    def add(self, lane: str, key: str | None) -> None:
        jobs.add(self.rows, Wanted(QUEUE, lane, "{}", self.now, key), self.now)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        self.claimed += jobs.claim(self.rows, QUEUE, self.now, self.now + 60, limit)

    @rule(secs=st.sampled_from([1, 61]))
    def wait(self, secs: int) -> None:
        self.now += secs

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), how=st.sampled_from(["done", "put_off", "bury"]))
    def end(self, data: st.DataObject, how: str) -> None:
        job = self.claimed.pop(data.draw(st.integers(0, len(self.claimed) - 1)))
        if how == "done":
            jobs.done(self.rows, job, self.now)
        elif how == "put_off":
            jobs.put_off(self.rows, job, self.now + 5, "later")
        else:
            jobs.bury(self.rows, job, "never", self.now)

    @rule(number=st.integers(1, 12), how=st.sampled_from(["retry", "delete"]))
    def decide(self, number: int, how: str) -> None:
        getattr(jobs, how)(self.rows, number, self.now)

    @rule()
    def release(self) -> None:
        jobs.release(self.rows, QUEUE)

    @invariant()
    def each_lane_has_one_that_is_next(self) -> None:
        found = self.rows.execute(
            "SELECT lane, count(due_at), min(CASE WHEN due_at IS NOT NULL THEN id END), min(id), "
            "sum(claimed_until > 0) FROM jobs WHERE failed_at IS NULL GROUP BY lane"
        )
        for lane, due, next_id, first_id, claimed in found:
            assert due == 1, lane
            assert claimed <= 1, lane
            assert claimed or next_id == first_id, lane

    @invariant()
    def what_failed_is_never_due(self) -> None:
        query = (
            "SELECT count(*) FROM jobs WHERE failed_at IS NOT NULL "
            "AND (due_at IS NOT NULL OR claimed_until > 0)"
        )
        assert self.rows.execute(query).fetchone() == (0,)


TestLanes = Lanes.TestCase
TestLanes.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
