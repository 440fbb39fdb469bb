"""What is kept for a short time, and what is asked once for many."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.memory import AskedOnce, ShortMemory
from tests.oci.strategies import QUICK

KEYS = st.binary(min_size=1, max_size=1)


def test_value_is_there_until_its_time() -> None:
    memory = ShortMemory[str](2)
    memory.put(b"a", "one", 10)

    assert memory.get(b"a", 9.9) == "one"
    assert memory.get(b"b", 0) is None
    assert memory.get(b"a", 10) is None
    assert len(memory) == 0


def test_oldest_makes_room_and_what_is_put_again_is_new() -> None:
    memory = ShortMemory[int](2)
    memory.put(b"a", 1, 10)
    memory.put(b"b", 2, 10)
    memory.put(b"a", 3, 10)
    memory.put(b"c", 4, 10)

    assert [memory.get(key, 0) for key in (b"a", b"b", b"c")] == [3, None, 4]


@QUICK
@given(st.lists(st.tuples(KEYS, st.integers(0, 9))), st.integers(0, 9))
def test_memory_never_holds_more_than_it_may_nor_what_is_over(
    puts: list[tuple[bytes, int]], now: int
) -> None:
    memory, last = ShortMemory[int](5), dict(puts)
    for key, until in puts:
        memory.put(key, until, until)
        assert len(memory) <= 5
    for key, until in last.items():
        assert memory.get(key, now) in ((until, None) if until > now else (None,))


class Work:
    """Answers when it is told to; counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = trio.Event()
        self.fails = False

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.go_on.wait()
        if self.fails:
            raise LookupError(number)
        return number


def test_many_who_ask_at_once_get_one_answer_and_later_another() -> None:
    async def main() -> tuple[list[int], int]:
        asked, work, answers = AskedOnce[int](), Work(), []

        async def ask() -> None:
            answers.append(await asked.ask(b"a", work))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            work.go_on.set()
        return answers, await asked.ask(b"a", work)

    assert trio.run(main) == ([1] * 5, 2)


def test_different_questions_do_not_wait_for_each_other() -> None:
    async def main() -> int:
        asked, stuck, work = AskedOnce[int](), Work(), Work()
        work.go_on.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.ask, b"a", stuck)
            await trio.testing.wait_all_tasks_blocked()
            answer = await asked.ask(b"b", work)
            nursery.cancel_scope.cancel()
        return answer

    assert trio.run(main) == 1


def test_where_the_first_is_cancelled_the_next_asks() -> None:
    async def main() -> tuple[list[int], int]:
        asked, work, answers = AskedOnce[int](), Work(), []
        first = trio.CancelScope()

        async def ask(scope: trio.CancelScope) -> None:
            with scope:
                answers.append(await asked.ask(b"a", work))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, first)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(3):
                nursery.start_soon(ask, trio.CancelScope())
            await trio.testing.wait_all_tasks_blocked()
            first.cancel()
            await trio.testing.wait_all_tasks_blocked()
            work.go_on.set()
        return answers, work.begun

    assert trio.run(main) == ([2, 2, 2], 2)


def test_error_is_its_own_askers_and_the_next_tries_for_themselves() -> None:
    async def main() -> list[int]:
        asked, work, seen = AskedOnce[int](), Work(), []
        work.fails = True
        work.go_on.set()

        async def ask() -> None:
            with pytest.raises(LookupError) as raised:
                await asked.ask(b"a", work)
            seen.append(raised.value.args[0])

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        return sorted(seen)

    assert trio.run(main) == [1, 2, 3]
