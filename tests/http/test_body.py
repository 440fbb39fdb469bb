"""Request bodies that are pulled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from angos_trio.http.body import BodyTooLargeError, ClientGoneError, RequestBody
from angos_trio.limits.requests import SMALL_BODY_BYTES_MAX

Result = TypeVar("Result")
GONE = {"type": "http.disconnect"}


class Source:
    """An ASGI `receive` that brings the given parts, then waits for ever; counts what is taken."""

    def __init__(self, parts: Iterable[bytes | dict[str, Any]], *, ends: bool = True) -> None:
        self._messages = [
            {"type": "http.request", "body": part, "more_body": True}
            if isinstance(part, bytes)
            else part
            for part in parts
        ]
        if ends:
            self._messages.append({"type": "http.request", "body": b"", "more_body": False})
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if self.taken == len(self._messages):
            await trio.sleep_forever()
        self.taken += 1
        return self._messages[self.taken - 1]


def body_of(source: Source) -> RequestBody:
    body = RequestBody(None, None)
    body.attach(source)
    return body


def run(function: Callable[[], Awaitable[Result]]) -> Result:
    async def timed() -> Result:
        with trio.fail_after(5):
            return await function()

    return trio.run(timed, clock=trio.testing.MockClock(autojump_threshold=0))


async def collect(body: RequestBody) -> list[bytes]:
    return [part async for part in body]


def test_parts_come_as_they_arrived() -> None:
    assert run(lambda: collect(body_of(Source([b"a", b"bc", b"d"])))) == [b"a", b"bc", b"d"]


def test_last_part_may_come_with_the_end() -> None:
    last = {"type": "http.request", "body": b"z", "more_body": False}

    assert run(lambda: collect(body_of(Source([b"a", last], ends=False)))) == [b"a", b"z"]


def test_message_without_fields_is_an_empty_end() -> None:
    assert run(lambda: collect(body_of(Source([{"type": "http.request"}], ends=False)))) == []


def test_empty_part_in_the_middle_ends_nothing() -> None:
    parts = run(lambda: collect(body_of(Source([b"a", b"", b"b"]))))

    assert b"".join(parts) == b"ab"


def test_body_that_is_over_stays_over() -> None:
    async def twice() -> tuple[list[bytes], list[bytes]]:
        body = body_of(Source([b"x", b"x"]))
        return await collect(body), await collect(body)

    assert run(twice) == ([b"x", b"x"], [])


def test_nothing_is_received_before_it_is_asked_for() -> None:
    async def ask_once() -> int:
        source = Source([b"x"] * 100)
        body = body_of(source)
        assert source.taken == 0
        await anext(body)
        await trio.testing.wait_all_tasks_blocked()
        return source.taken

    assert run(ask_once) == 1


def test_body_without_a_source_is_empty() -> None:
    assert run(lambda: collect(RequestBody(None, None))) == []


def test_client_that_leaves_is_an_error_and_not_an_end() -> None:
    with pytest.raises(ClientGoneError):
        run(lambda: collect(body_of(Source([b"a", GONE], ends=False))))


def test_step_that_is_cancelled_loses_nothing() -> None:
    async def cancelled_between() -> list[bytes]:
        source = Source([b"a", b"b"], ends=False)
        body = body_of(source)
        found = [await anext(body), await anext(body)]
        with trio.move_on_after(1) as scope:
            await anext(body)
        assert scope.cancelled_caught
        source._messages.append({"type": "http.request", "body": b"c", "more_body": False})
        return found + await collect(body)

    assert run(cancelled_between) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("sizes", [[], [3], [1, 2], [1, 1, 1]])
def test_body_up_to_its_bound_is_read_whole(sizes: list[int]) -> None:
    source = Source([b"x" * size for size in sizes])

    assert run(lambda: body_of(source).read(3)) == b"x" * sum(sizes)


@pytest.mark.parametrize("sizes", [[4], [3, 1], [1, 1, 1, 1], [100]])
def test_body_over_its_bound_is_refused_as_soon_as_that_is_known(sizes: list[int]) -> None:
    source = Source([*(b"x" * size for size in sizes), b"never"])

    with pytest.raises(BodyTooLargeError):
        run(lambda: body_of(source).read(3))
    assert source.taken == len(sizes)


def test_awaited_body_has_a_bound_of_its_own() -> None:
    async def awaited(size: int) -> bytes:
        return await body_of(Source([b"x" * size]))

    assert len(run(lambda: awaited(SMALL_BODY_BYTES_MAX))) == SMALL_BODY_BYTES_MAX
    with pytest.raises(BodyTooLargeError):
        run(lambda: awaited(SMALL_BODY_BYTES_MAX + 1))
