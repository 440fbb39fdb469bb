"""What a process notices of itself for the service manager's line of status."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from angos_trio.app.building import REFUSED_RELOAD
from angos_trio.limits.processes import CHILD_ALIVE_SECS, CHILD_STOP_SECS_MAX, REPORT_SECS
from angos_trio.records import Mutable, field
from angos_trio.server.reporting import Look, Reporter
from angos_trio.telemetry.health import Readiness


async def watch_problems(readiness: Callable[[], Readiness], tell: Callable[[str], None]) -> None:
    """Tell what keeps the registry from its work or its housework, each few seconds, until
    cancelled."""
    while True:
        tell(problems_of(await trio.to_thread.run_sync(readiness)))
        await trio.sleep(REPORT_SECS)


def problems_of(readiness: Readiness) -> str:
    """A line of them; how a reload ended is told without being looked for."""
    found = (*readiness.problems, *readiness.degraded)
    return "; ".join(problem for problem in found if not problem.startswith(REFUSED_RELOAD))


class Alone(Mutable):
    """What is reported where one process does everything: that its event loop goes round."""

    reporter: Reporter = field(default_factory=Reporter)
    connections: int = 0
    problems: str = ""

    async def go_round(self) -> None:
        """Report some times a second, until cancelled: as long as the event loop goes round."""
        while True:
            self.reporter.go_round(self._look(), time.monotonic())
            await trio.sleep(CHILD_ALIVE_SECS / 4)

    def tell_connections(self, count: int) -> None:
        """So many there are now."""
        self.connections = count

    def tell_problems(self, problems: str) -> None:
        """This is wrong now."""
        self.problems = problems

    def ready(self) -> None:
        """Connections are taken."""
        self.reporter.ready(self._look(), time.monotonic())

    def reloading(self) -> None:
        """A new configuration is looked at."""
        self.reporter.reloading()

    def reloaded(self, refused: str | None) -> None:
        """It counts; or why it does not."""
        self.reporter.reloaded(refused, self._look(), time.monotonic())

    def stopping(self, drain_secs: float) -> None:
        """Requests may go on for so long."""
        self.reporter.stopping(self._look(), time.monotonic(), drain_secs, CHILD_STOP_SECS_MAX)

    def _look(self) -> Look:
        return Look(self.connections, problems=(self.problems,) if self.problems else ())
