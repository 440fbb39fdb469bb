"""Logs: one JSON object a line, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from angos_trio.telemetry.log import LEVELS, configure, logger


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where logs go during a test; logging is as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """Every line, which must be a JSON object."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(isinstance(line, dict) for line in found)
    return found


def test_line_says_when_what_where_and_how_bad(stream: io.StringIO) -> None:
    configure(stream=stream)
    before = datetime.now(UTC)
    logger("storage").warning("disk.slow", seconds=1.5, path="a/b")
    (line,) = lines(stream)

    assert line.pop("timestamp") >= before.isoformat().replace("+00:00", "Z")
    assert line == {
        "level": "warning",
        "room": "storage",
        "event": "disk.slow",
        "seconds": 1.5,
        "path": "a/b",
    }


def test_time_is_utc_as_rfc_3339_has_it(stream: io.StringIO) -> None:
    configure(stream=stream)
    logger("app").info("started")
    text = str(lines(stream)[0]["timestamp"])

    assert text.endswith("Z")
    assert datetime.fromisoformat(text).utcoffset() == datetime.now(UTC).utcoffset()


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
    ],
)
def test_level_says_how_much_is_told(stream: io.StringIO, level: str, expected: list[str]) -> None:
    configure(level, stream)
    for name in ("debug", "info", "warning", "error"):
        getattr(logger("app"), name)("happened")

    assert [line["level"] for line in lines(stream)] == expected
    assert level in LEVELS


@pytest.mark.parametrize(
    "text",
    [
        'a\n{"level":"error","event":"forged"}',
        "a\r\nb",
        "nul \0 and escape \x1b[31m",
        "separators \u2028 \u2029 \x85 \x0b \x0c",
        "lone surrogate \udc80",
        "\N{SNOWMAN}",
        '"quoted" \\ back',
    ],
)
def test_hostile_text_stays_in_its_field(stream: io.StringIO, text: str) -> None:
    configure(stream=stream)
    logger("http").info("request", path=text)
    (line,) = lines(stream)

    assert line["path"] == text
    assert stream.getvalue().isascii()


@pytest.mark.parametrize("value", [b"bytes", object(), {1, 2}, ValueError("x"), float("nan")])
def test_value_that_json_does_not_know_does_not_lose_the_line(
    stream: io.StringIO, value: object
) -> None:
    configure(stream=stream)
    logger("app").info("odd", value=value)

    assert lines(stream)[0]["event"] == "odd"


def test_traceback_is_a_field_of_one_line(stream: io.StringIO) -> None:
    configure(stream=stream)
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logger("http").exception("request.crashed", request_id="1f")
    (line,) = lines(stream)

    assert line["level"] == "error"
    assert "ValueError: first" in str(line["exception"])
    assert "test_log.py" in str(line["exception"])


def test_logger_made_before_the_configuration_follows_it(stream: io.StringIO) -> None:
    early = logger("registry.pull")
    configure("warning", stream)
    early.info("quiet")
    early.error("loud")

    assert [(line["room"], line["event"]) for line in lines(stream)] == [("registry.pull", "loud")]


@pytest.mark.parametrize("text", ["a warning", "two\nlines", "100 %"])
def test_what_other_libraries_log_is_json_too(stream: io.StringIO, text: str) -> None:
    """An operator's collector reads one format, and a line of a library's is no hole in it."""
    configure(stream=stream)
    logging.getLogger("hypercorn.error").warning(text)
    (line,) = lines(stream)

    assert (line["event"], line["level"]) == (text, "warning")


def test_traceback_of_another_library_is_one_line(stream: io.StringIO) -> None:
    configure(stream=stream)
    try:
        raise ValueError("unforeseen")
    except ValueError:
        logging.getLogger("quart.serving").exception("failed")

    assert "unforeseen" in str(lines(stream))


def test_other_libraries_are_heard_from_warnings_on(stream: io.StringIO) -> None:
    configure("debug", stream)
    logging.getLogger("quart").info("chatter")

    assert stream.getvalue() == ""


def test_configuring_again_replaces_the_stream(stream: io.StringIO) -> None:
    configure(stream=io.StringIO())
    configure(stream=stream)
    logger("app").info("here")

    assert len(lines(stream)) == 1


def test_line_that_nobody_reads_ends_nobody(stream: io.StringIO) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as broken, open("/dev/full", "w") as full:
        for target in (broken, full):
            configure(stream=target)
            logger("app").info("happened")
            logging.getLogger("quart").warning("careful")


def test_the_next_line_tells_how_many_were_lost(stream: io.StringIO) -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with os.fdopen(reads, "rb") as reader, os.fdopen(writes, "w") as target:
        configure(stream=target)
        page = os.write(writes, bytes(1024 * 1024))
        logger("app").info("lost")
        logging.getLogger("quart").warning("lost too")
        reader.read(page)
        logger("app").info("later")
        logger("app").info("later still")
        told, *others = [json.loads(reader.readline()) for _ in range(2)]

    assert (told["event"], told["lost_lines"]) == ("later", 2)
    assert "lost_lines" not in others[0]
