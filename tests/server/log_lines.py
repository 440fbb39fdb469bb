"""The registry's log, kept so that tests can read it."""

from __future__ import annotations

import io
import json
from typing import Any

from angos_trio.telemetry import log


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

    def crashes(self) -> list[dict[str, Any]]:
        """Lines that only a defect of the code can cause."""
        return [line for line in self.all() if line["event"].endswith(".crashed")]
