"""Log lines for systemd's journal, by its native protocol: each field is one of the journal's.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL: an entry is a datagram of `NAME=value` lines; a value
of several lines is the name, a line break, its length in 8 bytes (little-endian), and the bytes.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

from angos_trio.limits.processes import JOURNAL_ENTRY_BYTES_MAX, JOURNAL_VALUE_BYTES_MAX
from angos_trio.telemetry.lines import EventDict, Lines, has_room, with_lost

ADDRESS: Final = "/run/systemd/journal/socket"
IDENTIFIER: Final = "angos-trio"
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_PREFIX: Final = "ANGOS_"
_NAME_MAX: Final = 64
_WORDS_MAX: Final = JOURNAL_VALUE_BYTES_MAX // 8
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9_]")
_OWN: Final = frozenset({"timestamp", "level"})
"""The journal has a time of its own, and the priority."""


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to a stream goes to the journal: `JOURNAL_STREAM` has its device and
    inode (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def entry_of(event: Mapping[str, Any]) -> bytes:
    """A log line as the journal takes it, bounded in each field and altogether."""
    fields = {
        "MESSAGE": _message(event),
        "PRIORITY": str(PRIORITIES.get(str(event.get("level")), PRIORITIES["info"])),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
    }
    for name, value in event.items():
        if name not in _OWN:
            fields[_field_name(name)] = _text(value)
    entry = b""
    for name, value in fields.items():
        line = _line(name, value)
        if len(entry) + len(line) <= JOURNAL_ENTRY_BYTES_MAX:
            entry += line
    return entry


def _message(event: Mapping[str, Any]) -> str:
    """What people read: the event, its fields as words, and at the end a traceback as it is."""
    words = [
        f"{name} {_plain(_text(value))}"
        for name, value in event.items()
        if name not in _OWN | {"event", "room", "process", "exception"} and value is not None
    ]
    said = f"{_plain(str(event.get('event', '')))}{': ' if words else ''}{', '.join(words)}"
    if "exception" in event:  # its end says most
        said = f"{said[:_WORDS_MAX]}\n{str(event['exception'])[-_WORDS_MAX:]}"
    return said


def _plain(text: str) -> str:
    """Text of others ends no line and moves no cursor."""
    return text if text.isprintable() else ascii(text)[1:-1]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=repr)


def _field_name(name: str) -> str:
    """Upper-case letters, digits and underscores, 64 at most (systemd.journal-fields(7))."""
    return f"{_PREFIX}{_NOT_IN_NAMES.sub('_', name.upper())}"[:_NAME_MAX]


def _line(name: str, value: str) -> bytes:
    content = value.encode(errors="backslashreplace")
    if len(content) > JOURNAL_VALUE_BYTES_MAX:
        whole = content[:JOURNAL_VALUE_BYTES_MAX].decode(errors="ignore")
        content = f"{whole} …".encode()
    if b"\n" not in content:
        return b"%s=%s\n" % (name.encode(), content)
    length = len(content).to_bytes(8, "little")
    return b"%s\n%s%s\n" % (name.encode(), length, content)


class Journal:
    """Takes log lines. Where there is no journal, or it has no room at this moment, they go to a
    stream, as `render` has them; one that finds no room there either is lost, and the next tells
    how many were."""

    def __init__(
        self, stream: TextIO, render: Callable[[EventDict], str], address: str = ADDRESS
    ) -> None:
        self._otherwise = Lines(stream, render)
        self._stream = stream
        self._address = address
        self._lost = 0

    def msg(self, event: EventDict) -> None:
        """Write one. Never waits for the journal; the stream leads there by another queue."""
        told = with_lost(event, self._lost)
        try:
            _socket().sendto(entry_of(told), self._address)
        except BlockingIOError:
            if not has_room(self._stream):
                self._lost += 1
                return
            self._otherwise.msg(told)
        except OSError:
            self._otherwise.msg(told)
        self._lost = 0

    debug = info = warning = error = critical = exception = msg


@functools.cache
def _socket() -> socket.socket:
    """One for all that this process and its children ever log."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


class LineHandler(logging.Handler):
    """Hands on what other libraries log; its formatter makes a line of JSON of it."""

    def __init__(self, takes: Journal | Lines) -> None:
        super().__init__()
        self._takes = takes

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        self._takes.msg(json.loads(self.format(record)))
