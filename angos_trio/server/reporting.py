"""What is reported to the service manager, and when: readiness, a line of status, the watchdog."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from angos_trio.clock import behind, epoch_seconds, iso
from angos_trio.limits.processes import (
    START_EXTEND_SECS,
    START_SECS_MAX,
    STATUS_SECS,
    WATCHDOG_FEEDS,
)
from angos_trio.records import Frozen, Mutable, field
from angos_trio.server.manager import Manager


class Phase(enum.Enum):
    """Where in its life a registry is."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class Look(Frozen):
    """How the registry is doing at one moment.

    `workers` answer requests of `wanted` that should; 0 of 0 where one process does everything.
    `is_well`: requests are answered, and somebody looks after the rest.
    """

    connections: int = 0
    workers: int = 0
    wanted: int = 0
    is_well: bool = True
    problems: tuple[str, ...] = ()


def status_of(places: Sequence[str], look: Look, reload: str) -> str:
    """The line of a registry that serves: where, with how many, and what is wrong."""
    by = "in one process"
    if look.wanted:
        of = "" if look.workers == look.wanted else f" of {look.wanted}"
        by = f"with {look.workers}{of} workers"
    parts = [f"serving {', '.join(places)} {by}, {_connections(look.connections)}"]
    return "; ".join([*parts, *filter(None, [reload]), *look.problems])


def stopping_status(connections: int, secs: float) -> str:
    """The line of one that stops; `secs` are left to the requests that go on."""
    if connections == 0:
        return "stopping"
    return f"stopping: {_connections(connections)}, for {max(secs, 0):.0f} s at most"


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


class Reporter(Mutable):
    """Tells the manager what changed, as often as somebody goes round. Times are monotonic."""

    manager: Manager = field(default_factory=Manager)
    places: Sequence[str] = ()
    """Where requests are taken: ports, and paths of Unix sockets."""
    phase: Phase = Phase.STARTING
    _reload: str = ""
    _told: str = ""
    _tell_at: float = 0.0
    _feed_at: float = 0.0
    _drained_at: float = 0.0
    _started_at: float | None = None

    def go_round(self, look: Look, now: float) -> None:
        """To be called each second or more often."""
        self.manager.say_again()
        if self.phase is Phase.STARTING:
            self._stay_starting(now)
            return
        if self.phase is Phase.STOPPING or look.is_well:
            self._feed(now)
        if now >= self._tell_at:
            self._tell(self._line(look, now), now)

    def ready(self, look: Look, now: float) -> None:
        """Requests are answered from now on."""
        if self.phase is not Phase.STARTING:
            return
        self.phase = Phase.SERVING
        self._tell_at = now
        self._told = self._line(look, now)
        self.manager.ready(self._told)
        self._feed(now)

    def reloading(self) -> None:
        """A hang-up came. Until requests are answered, and once they end, nobody waits for it."""
        if self.phase is Phase.SERVING:
            self.manager.reloading()

    def reloaded(self, refused: str | None, look: Look, now: float) -> None:
        """All took the new configuration; or nobody did, and why."""
        # A clock that cannot be right is not told: who supervises does not count time by itself.
        done = "reloaded" if behind() else f"reloaded at {iso(epoch_seconds())}"
        self._reload = done if refused is None else f"reload refused: {refused}"
        if self.phase is Phase.SERVING:
            self._told = self._line(look, now)
            self.manager.ready(self._told)

    def stopping(self, look: Look, now: float, drain_secs: float, more_secs: float) -> None:
        """Requests may go on for `drain_secs`, the process may need `more_secs` beyond that."""
        self.phase = Phase.STOPPING
        self._drained_at = now + drain_secs
        self._told = self._line(look, now)
        self.manager.stopping(self._told, drain_secs + more_secs)

    def _line(self, look: Look, now: float) -> str:
        if self.phase is Phase.STOPPING:
            return stopping_status(look.connections, self._drained_at - now)
        return status_of(self.places, look, self._reload)

    def _stay_starting(self, now: float) -> None:
        """A database is copied and changed, or an earlier instance's uploads are looked at; what
        has hung for an hour is left to the manager."""
        if self._started_at is None:
            self._started_at = now
            self.manager.status("starting")
        if now >= self._tell_at and now - self._started_at < START_SECS_MAX:
            self._tell_at = now + START_EXTEND_SECS / 3
            self.manager.extend(START_EXTEND_SECS)

    def _feed(self, now: float) -> None:
        if self.manager.watchdog_secs is not None and now >= self._feed_at:
            self._feed_at = now + self.manager.watchdog_secs / WATCHDOG_FEEDS
            self.manager.feed()

    def _tell(self, line: str, now: float) -> None:
        if line != self._told:
            self._told, self._tell_at = line, now + STATUS_SECS
            self.manager.status(line)
