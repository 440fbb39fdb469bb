"""Slow and rude clients in one table: what each does, the answer that is expected, what was seen,
and what is left behind. Exit code 1 when a line differs or anything is left."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.bench.report import table
from tests.load.behaviours import BIG, STALL_SECS, all_behaviours
from tests.load.crowds import (
    Crowd,
    SlowReader,
    Wait,
    raise_descriptor_limit,
    waiting,
    waits,
)
from tests.load.served import Served, serving

Waiting = tuple[Wait, Future[tuple[str, float]]]
ROUNDS, ROUNDS_QUICK = 6, 3
IMPATIENT = f"[server]\nstall_timeout = {STALL_SECS}\n"


@dataclass(frozen=True)
class Line:
    """What became of a behaviour."""

    name: str
    expected: str
    seen: str
    left: tuple[str, ...]
    secs: float

    @property
    def is_right(self) -> bool:
        """Whether the answer is the expected one and nothing is left."""
        return self.seen == self.expected and not self.left

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        return (
            self.name,
            self.expected,
            "the same" if self.seen == self.expected else self.seen,
            "; ".join(self.left) or "nothing",
            f"{self.secs:.2f} s",
            "yes" if self.is_right else "NO",
        )


class Act(Protocol):
    """What a line is made of."""

    @property
    def name(self) -> str: ...

    @property
    def expected(self) -> str: ...

    @property
    def act(self) -> Callable[[Served], str]: ...


def observe(served: Served, behaviour: Act) -> Line:
    """Do it, and look at what is left."""
    begun_at = time.monotonic()
    try:
        seen = behaviour.act(served)
    except (AssertionError, OSError) as error:
        seen = f"{type(error).__name__}: {error}"
    secs = time.monotonic() - begun_at
    return Line(behaviour.name, behaviour.expected, seen, tuple(served.left()), secs)


def observe_waits(served: Served, pending: Sequence[Waiting]) -> list[Line]:
    """The lines of waits that are over; what is left is looked at after the last of them."""
    outcomes = []
    for wait, outcome in pending:
        try:
            outcomes.append((wait, *outcome.result()))
        except (AssertionError, OSError) as error:
            outcomes.append((wait, f"{type(error).__name__}: {error}", 0.0))
    left = tuple(served.left())
    return [Line(wait.name, wait.expected, seen, left, secs) for wait, seen, secs in outcomes]


def run(root: Path, *, is_quick: bool) -> tuple[list[Line], list[str]]:
    """All lines, and what there is to say beside them.

    Three registries: one that is waited for at its real bounds, meanwhile one with a short stall
    timeout, and after that one with the defaults.
    """
    crowd, reader = Crowd(), SlowReader(ROUNDS_QUICK if is_quick else ROUNDS)
    with serving("", root / "waiting") as waited:
        with waiting(waited, waits(is_quick=is_quick)) as pending:
            with serving(IMPATIENT, root / "impatient") as served:
                served.push(BIG)
                lines = [observe(served, behaviour) for behaviour in all_behaviours()]
            with serving("", root / "patient") as served:
                served.push(BIG)
                lines += [observe(served, reader), observe(served, crowd)]
        lines = [*observe_waits(waited, pending), *lines]
    return lines, [note for note in (reader.note, crowd.note) if note]


def main() -> int:
    """Run all lines; 0 when each is as expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="without the waits of 120 s, and with fewer pulls"
    )
    chosen = parser.parse_args()
    begun_at = time.monotonic()
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix="angos-trio-rude-") as scratch:
        lines, notes = run(Path(scratch), is_quick=chosen.quick)
    heads = ("what the client does", "expected", "seen", "left", "took", "right")
    print(table(heads, [line.cells() for line in lines]))
    print(*notes, sep="\n")
    wrong = sum(not line.is_right for line in lines)
    print(f"{len(lines)} lines, {wrong} wrong, {time.monotonic() - begun_at:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
