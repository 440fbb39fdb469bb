"""JSON logs, one object a line, on standard error; or entries of the journal, where that is it.

A line has `timestamp` (RFC 3339, UTC), `level`, `room` and `event`, and the fields of the event.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from functools import partial
from typing import Any, Final, TextIO

from angos_trio.telemetry.journal import Journal, LineHandler, is_journal
from angos_trio.telemetry.lines import EventDict, Lines
from angos_trio.telemetry.plain_structlog import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
REPEAT_SECS: Final = 10.0
_JSON: Final = structlog.processors.JSONRenderer()


def configure(
    level: str = "info", stream: TextIO | None = None, journal: Journal | None = None
) -> None:
    """Set logging up for this process; what other libraries log has the same form.

    Without a `journal` that is given, the one of the system is used where the stream leads to it.
    """
    target = stream or sys.stderr
    if journal is None and is_journal(target):
        journal = Journal(target, render)
    takes = Lines(target, render) if journal is None else journal
    stamps: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ends: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, _JSON]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *stamps, *ends[:-1], _as_it_is],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=partial(_same, takes),
        cache_logger_on_first_use=False,
    )
    handler = LineHandler(takes)
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


def render(event: EventDict) -> str:
    """A log line's JSON."""
    return str(_JSON(None, "", event))


def _same(takes: Journal | Lines, *_: Any) -> Journal | Lines:
    """All loggers write to the one."""
    return takes


def _as_it_is(_: Any, __: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    return (event,), {}


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
