"""Whether the registry can do its work, told in one look."""

from __future__ import annotations

import time
from typing import Final

from angos_trio.records import Frozen

BEGAN: Final = time.monotonic()
"""When the first process of the instance was started; the others are forked from it."""


class Readiness(Frozen):
    """What keeps the registry from its work, and what only keeps it from its housework.

    Both are empty when all is well; each entry is a sentence for the operator.
    """

    problems: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether requests of every kind can be served."""
        return not self.problems
