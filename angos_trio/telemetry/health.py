"""Whether the registry can do its work, told in one look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """`problems` is empty when all is well; each is a sentence for the operator."""

    problems: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether requests of every kind can be served."""
        return not self.problems
