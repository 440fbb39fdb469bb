"""Named checks with their verdicts and seconds: printed as they end, and as a table at the end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Final

from tests.e2e.machine import Failure, NotRunnable
from tests.running import RegistryDidNotStart, RegistryDidNotStop

OK: Final = "ok"
FAILED: Final = "FAILED"
NOT_RUN: Final = "NOT RUN"

REGISTRY: Final = "registry"
"""Stands in the report beside the clients, for what the registry itself is asked after them."""

# Clients that cannot run on some machine for a reason that nobody here can change. A client that
# is not named here and does not run counts as failed.
KNOWN_IMPOSSIBLE: Mapping[str, str] = {}

CLIENT_WIDTH = 11
NAME_WIDTH = 74


# What a check may end in: a failure, a registry that is gone or does not come or go, an answer that
# cannot be read.
MISHAPS = (
    *(Failure, OSError, HTTPException, ValueError, LookupError, subprocess.TimeoutExpired),
    *(RegistryDidNotStart, RegistryDidNotStop),
)


def tell(error: Exception) -> str:
    """The reason of a mishap in words."""
    said = str(error)
    return said if isinstance(error, Failure | NotRunnable) else f"{type(error).__name__}: {said}"


@dataclass(frozen=True)
class Outcome:
    """How one check of one client ended; `reason` is empty when all was well."""

    client: str
    name: str
    verdict: str
    secs: float
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the run as a whole fails by this."""
        if self.verdict == NOT_RUN:
            return self.client not in KNOWN_IMPOSSIBLE
        return self.verdict != OK


@dataclass
class Report:
    """All outcomes of a run, the version of each client, and what it is called in the docs if that
    is not its name."""

    outcomes: list[Outcome] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def check(self, client: str, name: str) -> Iterator[None]:
        """One check: what goes wrong in the block is recorded, and the run goes on."""
        started = time.monotonic()
        verdict, reason = OK, ""
        try:
            yield
        except NotRunnable as error:
            verdict, reason = NOT_RUN, str(error)
        except MISHAPS as error:
            verdict, reason = FAILED, tell(error)
        self.add(Outcome(client, name, verdict, time.monotonic() - started, reason))

    def add(self, outcome: Outcome) -> None:
        """Record and print an outcome."""
        self.outcomes.append(outcome)
        print(_line(outcome), flush=True)
        for line in outcome.reason.splitlines():
            print(f"    {line}", flush=True)

    @property
    def failures(self) -> list[Outcome]:
        """What makes the run fail."""
        return [outcome for outcome in self.outcomes if outcome.is_failure]

    def table(self) -> str:
        """Every check again, client by client, and a line that counts."""
        lines = []
        for client, version in self.versions.items():
            mine = [outcome for outcome in self.outcomes if outcome.client == client]
            if mine:
                secs = sum(outcome.secs for outcome in mine)
                lines += ["", f"{client} {version} ({secs:.1f} s)".strip()]
                lines += [f"  {_line(outcome, with_client=False)}" for outcome in mine]
        passed = sum(outcome.verdict == OK for outcome in self.outcomes)
        skipped = sum(outcome.verdict == NOT_RUN for outcome in self.outcomes)
        failed = sum(outcome.verdict == FAILED for outcome in self.outcomes)
        secs = sum(outcome.secs for outcome in self.outcomes)
        lines += ["", f"{passed} passed, {failed} failed, {skipped} not run in {secs:.1f} s"]
        return "\n".join(lines)


def _line(outcome: Outcome, *, with_client: bool = True) -> str:
    client = f"{outcome.client:<{CLIENT_WIDTH}} " if with_client else ""
    dots = f"{outcome.name} ".ljust(NAME_WIDTH, ".")
    return f"{client}{dots} {outcome.verdict} {outcome.secs:6.1f} s"
