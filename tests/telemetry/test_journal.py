"""Log lines in systemd's journal: fields, their form on the wire, bounds, and what is left where
the journal takes nothing."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.limits.processes import JOURNAL_ENTRY_BYTES_MAX, JOURNAL_VALUE_BYTES_MAX
from angos_trio.telemetry import log
from angos_trio.telemetry.journal import Journal, entry_of, is_journal
from tests.oci.strategies import QUICK


def fields_of(entry: bytes) -> dict[str, str]:
    """An entry as the journal reads it."""
    found = {}
    while entry:
        line, _, rest = entry.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        assert name.decode() not in found
        found[name.decode()] = value.decode()
        entry = rest
    return found


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where lines go that the journal does not take; logging is as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


@pytest.fixture
def journald(tmp_path: Path, stream: io.StringIO) -> Iterator[socket.socket]:
    """A journal that listens, which logging was told of."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "journal"))
        end.settimeout(1)
        log.configure(stream=stream, journal=Journal(stream, log.render, str(tmp_path / "journal")))
        yield end


def heard(journald: socket.socket) -> dict[str, str]:
    return fields_of(journald.recv(1024 * 1024))


def test_entry_has_words_for_people_and_fields_for_filters(
    journald: socket.socket, stream: io.StringIO
) -> None:
    log.logger("audit").warning(
        "access.denied", request_id="1f", action="push-blob", status=403, rule=None, by=["a", "b"]
    )

    assert heard(journald) == {
        "MESSAGE": 'access.denied: request_id 1f, action push-blob, status 403, by ["a", "b"]',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "angos-trio",
        "ANGOS_EVENT": "access.denied",
        "ANGOS_ROOM": "audit",
        "ANGOS_REQUEST_ID": "1f",
        "ANGOS_ACTION": "push-blob",
        "ANGOS_STATUS": "403",
        "ANGOS_RULE": "null",
        "ANGOS_BY": '["a", "b"]',
    }
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("level", "priority"), [("info", "6"), ("warning", "4"), ("error", "3")])
def test_level_is_the_priority(journald: socket.socket, level: str, priority: str) -> None:
    getattr(log.logger("app"), level)("happened")
    found = heard(journald)

    assert (found["PRIORITY"], found["MESSAGE"]) == (priority, "happened")
    assert "ANGOS_LEVEL" not in found
    assert "ANGOS_TIMESTAMP" not in found


def test_process_is_a_field(journald: socket.socket) -> None:
    with structlog.contextvars.bound_contextvars(process="worker-1"):
        log.logger("app").info("happened")
    found = heard(journald)

    assert (found["ANGOS_PROCESS"], found["MESSAGE"]) == ("worker-1", "happened")


@pytest.mark.parametrize(
    "text", ["a\nPRIORITY=0\nMESSAGE=forged", "\x1b[31mred", "nul \0", "\u2028", "back\\slash", "é"]
)
def test_text_of_others_stays_in_its_field(journald: socket.socket, text: str) -> None:
    log.logger("http").info("request", path=text)
    found = heard(journald)

    assert found["ANGOS_PATH"] == text
    assert found["PRIORITY"] == "6"
    assert found["MESSAGE"].isprintable(), "the line that people read is one"


def test_traceback_is_read_as_lines(journald: socket.socket) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.logger("http").exception("request.crashed", request_id="1f")
    found = heard(journald)

    assert found["MESSAGE"].startswith("request.crashed: request_id 1f\nTraceback ")
    assert found["MESSAGE"].endswith("ValueError: first\nsecond")
    assert found["ANGOS_EXCEPTION"].endswith("ValueError: first\nsecond")


@pytest.mark.parametrize("value", [b"bytes", object(), {1, 2}, float("nan"), "lone \udc80"])
def test_odd_value_loses_no_entry(journald: socket.socket, value: object) -> None:
    log.logger("app").info("odd", value=value)

    assert heard(journald)["ANGOS_EVENT"] == "odd"


def test_what_other_libraries_log_is_an_entry_too(journald: socket.socket) -> None:
    logging.getLogger("hypercorn.error").warning("two\nlines")
    found = heard(journald)

    assert found["ANGOS_ROOM"] == "hypercorn.error"
    assert found["ANGOS_EVENT"] == "two\nlines"
    assert found["PRIORITY"] == "4"


def test_sizes_have_bounds(journald: socket.socket) -> None:
    log.logger("app").info("big", value="é" * JOURNAL_VALUE_BYTES_MAX)
    found = heard(journald)
    assert found["ANGOS_VALUE"].endswith("é …")
    assert len(found["ANGOS_VALUE"].encode()) <= JOURNAL_VALUE_BYTES_MAX + len(" …".encode())

    log.logger("app").info("many", **{f"field_{number}": "x" * 10_000 for number in range(100)})
    entry = journald.recv(1024 * 1024)
    assert len(entry) <= JOURNAL_ENTRY_BYTES_MAX
    assert fields_of(entry)["ANGOS_EVENT"] == "many"


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none(), max_size=8))
@QUICK
def test_every_event_is_an_entry_with_names_that_the_journal_takes(event: dict[str, Any]) -> None:
    for name in fields_of(entry_of(event)):
        assert len(name) <= 64
        assert name.replace("_", "A").isalnum()
        assert name.isascii()
        assert name.upper() == name


def test_line_goes_to_the_stream_where_no_journal_listens(stream: io.StringIO) -> None:
    log.configure(stream=stream, journal=Journal(stream, log.render, "/nowhere/journal"))
    log.logger("app").info("happened", number=1)
    logging.getLogger("quart").warning("careful")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert [(line["event"], line["level"]) for line in lines] == [
        ("happened", "info"),
        ("careful", "warning"),
    ]
    assert "timestamp" in lines[0]


def test_journal_that_does_not_read_holds_nothing_up_and_loses_nothing(
    journald: socket.socket, stream: io.StringIO
) -> None:
    for number in range(2_000):
        log.logger("app").info("happened", number=number)
    journald.setblocking(False)
    numbers = {json.loads(line)["number"] for line in stream.getvalue().splitlines()}
    while len(numbers) < 2_000:
        numbers.add(int(heard(journald)["ANGOS_NUMBER"]))

    assert numbers == set(range(2_000))


def test_journal_that_reads_nothing_at_all_is_not_waited_for_and_hears_how_much_it_missed(
    journald: socket.socket, tmp_path: Path
) -> None:
    """As systemd has it: standard error leads to the journal, too."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w", encoding="utf-8") as stream:
        log.configure(stream=stream, journal=Journal(stream, log.render, str(tmp_path / "journal")))
        for number in range(20_000):
            log.logger("app").info("happened", number=number)
        journald.setblocking(False)
        theirs.setblocking(False)
        numbers = []
        with suppress(BlockingIOError):
            while True:
                numbers.append(int(heard(journald)["ANGOS_NUMBER"]))
        content = b""
        with suppress(BlockingIOError):
            while part := theirs.recv(1024 * 1024):
                content += part
        numbers += [json.loads(line)["number"] for line in content.splitlines()]
        log.logger("app").info("later")
        log.logger("app").info("later still")

    assert numbers == list(range(len(numbers)))
    assert heard(journald)["ANGOS_LOST_LINES"] == str(20_000 - len(numbers))
    assert "ANGOS_LOST_LINES" not in heard(journald)


def test_stream_is_the_journal_when_device_and_inode_say_so() -> None:
    with tempfile.TemporaryFile("w") as file:
        found = os.fstat(file.fileno())
        same = f"{found.st_dev}:{found.st_ino}"

        assert is_journal(file, {"JOURNAL_STREAM": same})
        assert not is_journal(file, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not is_journal(file, {})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": same})
