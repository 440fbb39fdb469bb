"""Slow and rude clients in one table: what each does, the answer that is expected, what was seen,
and what is left behind. Exit code 1 when a line differs or anything is left."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import table
from tests.load.behaviours import BIG, STALL_SECS, Behaviour, all_behaviours
from tests.load.served import Served, serving

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


def observe(served: Served, behaviour: Behaviour) -> Line:
    """Do it, and look at what is left."""
    begun_at = time.monotonic()
    try:
        seen = behaviour.act(served)
    except (AssertionError, OSError) as error:
        seen = f"{type(error).__name__}: {error}"
    secs = time.monotonic() - begun_at
    return Line(behaviour.name, behaviour.expected, seen, tuple(served.left()), secs)


def main() -> int:
    """Run all lines; 0 when each is as expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the waits of 90 s")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="angos-trio-rude-") as scratch:
        root = Path(scratch)
        with serving(IMPATIENT, root / "impatient") as served:
            served.push(BIG)
            lines = [observe(served, behaviour) for behaviour in all_behaviours()]
    heads = ("what the client does", "expected", "seen", "left", "took", "right")
    print(table(heads, [line.cells() for line in lines]))
    return 0 if all(line.is_right for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
