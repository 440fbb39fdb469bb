"""The registry's log, kept so that tests can read it."""

from __future__ import annotations

import io
import json
from typing import Any

from angos_trio.telemetry import log
from tests.server.wire import eventually


class LogLines:
    """Takes the log of this process from `begin` on, until something else configures it."""

    def __init__(self) -> None:
        self._stream = io.StringIO()

    def begin(self) -> None:
        """Forget what was logged, and take what comes."""
        self._stream = io.StringIO()
        log.configure("info", self._stream)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def all(self) -> list[dict[str, Any]]:
        """Every line so far. Raises ValueError for one that is no JSON."""
        return [json.loads(line) for line in self.text.splitlines()]

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in self.all() if line["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines of one event, when there are `count` of them or more.

        A server logs a request after its answer is sent, so a client may look too early.
        """
        eventually(
            lambda: len(self.of(event)) >= count,
            lambda: f"{count} lines of {event} expected in: {self.text}",
        )
        return self.of(event)

    def crashes(self) -> list[dict[str, Any]]:
        """Lines that only a defect of the code can cause."""
        return [line for line in self.all() if line["event"].endswith(".crashed")]
