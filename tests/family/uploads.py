"""Uploads whose requests are answered by different workers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

from tests.crash.client import Content, blob_path, digest_of, uploads_path
from tests.family.family import Report, Wrong, running_family, wait_until
from tests.family.lines import Line, SlowRequest, lines_to

NAMESPACE = "family/uploads"
MIB = 1 << 20


def start_upload(line: Line, namespace: str = NAMESPACE) -> str:
    """Begin an upload; its location."""
    return line.expect(202, "POST", uploads_path(namespace)).headers["location"]


def append(line: Line, location: str, content: bytes, offset: int) -> None:
    """Send a chunk with its range. Raises Wrong when the offset is another then."""
    window = {"Content-Range": f"{offset}-{offset + len(content) - 1}"}
    answer = line.expect(202, "PATCH", location, content, window)
    if answer.offset != offset + len(content):
        raise Wrong(f"offset {answer.offset} after {len(content)} bytes at {offset}")


def expect_offset(line: Line, location: str, offset: int) -> None:
    """A worker says that so much is there. Raises Wrong."""
    found = line.expect(204, "GET", location).offset
    if found != offset:
        raise Wrong(f"{line.worker} says offset {found}, expected {offset}")


def finish(line: Line, location: str, content: Content, offset: int) -> None:
    """Send the rest. Raises Wrong when it does not become what was sent."""
    path = f"{location}?digest={content.digest}"
    answer = line.expect(201, "PUT", path, content.bytes()[offset:])
    if answer.headers["docker-content-digest"] != content.digest:
        raise Wrong(f"PUT says digest {answer.headers['docker-content-digest']}")


def expect_blob(line: Line, namespace: str, digest: str) -> None:
    """A worker gives the blob's bytes. Raises Wrong."""
    body = line.expect(200, "GET", blob_path(namespace, digest)).body
    if digest_of(body) != digest:
        raise Wrong(f"{line.worker} gives {len(body)} bytes that are not {digest}")


def in_chunks(lines: Sequence[Line], content: Content) -> None:
    """POST, three PATCHes and PUT, each through the next worker, and a status of yet another."""
    body, offset, turns = content.bytes(), 0, itertools.cycle(lines)
    location = start_upload(next(turns))
    for size in (content.size // 3, content.size // 5, content.size // 4):
        append(next(turns), location, body[offset : offset + size], offset)
        offset += size
        expect_offset(next(turns), location, offset)
        next(turns)
    finish(next(turns), location, content, offset)
    for line in lines:
        expect_blob(line, NAMESPACE, content.digest)


def at_once(lines: Sequence[Line], content: Content) -> None:
    """POST through one worker, all bytes in a PUT through another."""
    finish(lines[1], start_upload(lines[0]), content, 0)
    expect_blob(lines[2], NAMESPACE, content.digest)


def cancelled(lines: Sequence[Line], content: Content) -> None:
    """Begun, written to, cancelled and looked for through four workers."""
    location = start_upload(lines[0])
    append(lines[1], location, content.bytes(), 0)
    lines[2].expect(204, "DELETE", location)
    lines[3].expect(404, "GET", location)
    lines[1].expect(404, "GET", location)


def cancelled_while_written(lines: Sequence[Line], content: Content) -> float:
    """Cancelled through one worker in the middle of a PATCH to another; when the PATCH ended."""
    location, body = start_upload(lines[0]), content.bytes()
    slow = SlowRequest(lines[1])
    slow.begin("PATCH", location, 2 * len(body), {})
    slow.send(body)
    wait_until(lambda: _offset(lines[2], location) > 0, "another worker sees the bytes")
    lines[2].expect(204, "DELETE", location)
    lines[3].expect(404, "GET", location)
    secs = wait_until(slow.is_cut_off, "the PATCH of a cancelled upload ends", secs=10)
    lines[1].close()
    return secs


def _offset(line: Line, location: str) -> int:
    return line.expect(204, "GET", location).offset


def check_uploads(scratch: Path, rounds: int) -> list[Report]:
    """Every way of an upload through several workers."""
    wrong: list[str] = []
    slowest = 0.0
    with running_family(scratch) as family:
        try:
            with lines_to(family.address) as lines:
                for number in range(rounds):
                    order = random.Random(number).sample(lines, len(lines))
                    in_chunks(order, Content(f"chunks/{number}", 300_000 + 77 * number))
                    at_once(order, Content(f"once/{number}", 90_000 + number))
                    cancelled(order, Content(f"cancel/{number}", 5_000 + number))
                for number in range(max(1, rounds // 5)):
                    order = random.Random(number).sample(lines, len(lines))
                    content = Content(f"slow/{number}", 3 * MIB)
                    slowest = max(slowest, cancelled_while_written(order, content))
        except Wrong as error:
            wrong.append(str(error))
        wrong += family.stop()
    figures = (
        f"{rounds} in chunks, {rounds} at once, {rounds} cancelled, each through 4 workers; "
        f"{max(1, rounds // 5)} cancelled while written to (cut off within {slowest:.1f} s)"
    )
    return [Report("uploads across workers", figures, wrong)]
