"""JSON logs, one object a line, on standard error.

A line has `timestamp` (RFC 3339, UTC), `level`, `room` and `event`, and the fields of the event.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
REPEAT_SECS: Final = 10.0


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Set logging up for this process; what other libraries log has the same form."""
    target = stream or sys.stderr
    stamps: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ends: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *stamps, *ends],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_room, *stamps],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # Out of descriptors, Trio says so ten times a second, each time with a traceback.
    logging.getLogger("trio.serve_listeners").filters[:] = [_Seldom()]


def name_process(name: str) -> None:
    """From now on every line of this process has a field `process`."""
    structlog.contextvars.bind_contextvars(process=name)


def _name_room(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Another library's logger stands where our rooms do."""
    event["room"] = event["_record"].name
    return event


class _Seldom(logging.Filter):
    """Lets a record pass every ten seconds, without its traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._silent_until:
            return False
        self._silent_until = now + REPEAT_SECS
        record.exc_info = None
        return True


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that names its room."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return bound
