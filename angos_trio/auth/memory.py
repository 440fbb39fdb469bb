"""What is kept for a short time, and what is asked once for all who ask at the same time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

from angos_trio.records import Mutable, field

Value = TypeVar("Value")


class ShortMemory(Generic[Value]):
    """Values under keys, each until a time; the oldest make room. Times are of one clock, whichever
    the caller takes."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._kept: dict[bytes, tuple[Value, float]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, now: float) -> Value | None:
        """The value, if its time is not over."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[1] <= now:
            del self._kept[key]
            return None
        return kept[0]

    def put(self, key: bytes, value: Value, until: float) -> None:
        """Keep a value as the newest."""
        self._kept.pop(key, None)
        while len(self._kept) >= self._count_max:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = value, until


class _Asked(Mutable, Generic[Value], eq=False):
    done: trio.Event = field(default_factory=trio.Event)
    answers: list[Value] = field(default_factory=list)


class AskedOnce(Generic[Value]):
    """Lets those who ask the same at the same time wait for one answer."""

    def __init__(self) -> None:
        self._asked: dict[bytes, _Asked[Value]] = {}

    async def ask(self, key: bytes, work: Callable[[], Awaitable[Value]]) -> Value:
        """The answer of `work`, or of another's that runs under the same key. Where that one is
        cancelled or raises, the next who waits does the work itself."""
        while (asked := self._asked.get(key)) is not None:
            await asked.done.wait()
            if asked.answers:
                return asked.answers[0]
        asked = self._asked[key] = _Asked()
        try:
            answer = await work()
            asked.answers.append(answer)
            return answer
        finally:
            del self._asked[key]
            asked.done.set()
