"""Runs that somebody asks for: one of a kind at a time, told to whoever asks."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from angos_trio.maintenance.tasks import Document, Tasks, Tell, Work, describe
from angos_trio.oci.codes import Code
from tests.oci.refusals import refused
from tests.registry.support import Clock
from tests.storage.support import opened, run

Scene = Callable[[Tasks, Clock], Awaitable[None]]


class Kind:
    """A kind of run that waits until it is let go."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.may_go = trio.Event()
        self.begun = trio.Event()
        self.failure = failure
        self.options: list[Document] = []

    async def __call__(self, options: Document, tell: Tell) -> Document:
        self.options.append(options)
        await tell({"seen": 1})
        self.begun.set()
        await self.may_go.wait()
        if self.failure is not None:
            raise self.failure
        return {"seen": 2}


def played(root: Path, scene: Scene, **kinds: Work) -> None:
    async def test() -> None:
        clock = Clock()
        async with opened(root) as storage, trio.open_nursery() as nursery:
            tasks = Tasks(storage.shared, clock)
            nursery.start_soon(tasks.run, kinds)
            await scene(tasks, clock)
            nursery.cancel_scope.cancel()

    run(test)


async def ended(tasks: Tasks, name: str) -> Document:
    """What is told of a run once it is over."""
    for _ in range(2000):
        found = describe(await tasks.find(name))
        if found is not None and found["ended_at"] is not None:
            return found
        await trio.sleep(0.01)
    raise AssertionError("the run has no end")


def test_run_is_told_of_from_the_wish_to_its_end(root: Path) -> None:
    kind = Kind()

    async def scene(tasks: Tasks, clock: Clock) -> None:
        assert await tasks.find("gc") is None
        wanted = await tasks.want("gc", {"now": True})
        assert (wanted.state, wanted.number) == ("wanted", 1)
        await kind.begun.wait()
        found = describe(await tasks.find("gc"))
        assert found is not None
        assert (found["state"], found["outcome"]) == ("running", {"seen": 1})
        kind.may_go.set()
        assert await ended(tasks, "gc") == {
            "number": 1,
            "state": "done",
            "options": {"now": True},
            "wanted_at": clock.now,
            "ended_at": clock.now,
            "outcome": {"seen": 2},
        }
        assert kind.options == [{"now": True}]

    played(root, scene, gc=kind)


def test_second_run_of_a_kind_waits_for_the_end_of_the_first(root: Path) -> None:
    kind, other = Kind(), Kind()

    async def scene(tasks: Tasks, clock: Clock) -> None:
        await tasks.want("gc", {})
        with refused(Code.TOOMANYREQUESTS, 429):
            await tasks.want("gc", {})
        await tasks.want("scrub", {})
        await other.begun.wait()
        with refused(Code.TOOMANYREQUESTS, 429):
            await tasks.want("gc", {})
        kind.may_go.set()
        await ended(tasks, "gc")
        assert (await tasks.want("gc", {})).number == 2

    played(root, scene, gc=kind, scrub=other)


def test_run_that_fails_says_why_and_ends_no_other(root: Path) -> None:
    failing, other = Kind(OSError("the disk is gone")), Kind()

    async def scene(tasks: Tasks, clock: Clock) -> None:
        await tasks.want("scrub", {})
        await tasks.want("gc", {})
        failing.may_go.set()
        found = await ended(tasks, "gc")
        assert (found["state"], found["outcome"]) == ("failed", {"error": "the disk is gone"})
        other.may_go.set()
        assert (await ended(tasks, "scrub"))["state"] == "done"

    played(root, scene, gc=failing, scrub=other)


def test_run_of_a_process_that_ended_has_failed(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            tasks, kind = Tasks(storage.shared, Clock()), Kind()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tasks.run, {"gc": kind})
                await tasks.want("gc", {})
                await kind.begun.wait()
                nursery.cancel_scope.cancel()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tasks.run, {"gc": kind})
                assert (await ended(tasks, "gc"))["state"] == "failed"
                nursery.cancel_scope.cancel()

    run(test)


def test_wish_of_another_process_is_found_soon(root: Path) -> None:
    kind = Kind()
    kind.may_go.set()

    async def scene(tasks: Tasks, clock: Clock) -> None:
        await trio.sleep(0.1)
        asked_elsewhere = Tasks(tasks.shared, clock)
        await asked_elsewhere.want("gc", {})
        assert (await ended(tasks, "gc"))["state"] == "done"
        assert json.dumps(kind.options) == "[{}]"

    played(root, scene, gc=kind)
