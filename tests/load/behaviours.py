"""What slow and rude clients do, each with the answer that is expected, in words.

A behaviour returns what it saw in the same words. Those that break an upload off also finish it
afterwards, which shows that no lock is left and which bytes were kept.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from tests.factories import Content, make_blob
from tests.load.served import NAMESPACE, Served
from tests.server.wire import Wire

KIB, MIB = 1024, 1024 * 1024
STALL_SECS = 2
"""What the registry of these lines is configured with."""
BIG = make_blob(bytes(range(256)) * (16 * MIB // 256))
"""More than the buffers of two sockets take in."""
BIG_TARGET = f"/v2/{NAMESPACE}/blobs/{BIG.digest}"
SMALL_BUFFER_BYTES = 4096
ACCEPTED_SECS = 0.05
"""After this long what was sent has been read."""
PIPELINED = 50
NO_SESSION = f"/v2/{NAMESPACE}/blobs/uploads/01234567-89ab-4cde-8f01-23456789abcd"
LENGTH = {"Content-Length": "32"}
CHUNKED = {"Transfer-Encoding": "chunked"}
EXPECTING = {"Content-Length": "32", "Expect": "100-continue"}
LEFT = "logged 499"
"""How the log names a request whose client left."""
_numbers = count()


@dataclass(frozen=True)
class Behaviour:
    """One line of the table."""

    name: str
    expected: str
    act: Callable[[Served], str]


def fresh_blob() -> Content:
    """A blob of 32 bytes that is nowhere yet."""
    return make_blob(b"%032d" % next(_numbers))


def told(wire: Wire) -> str:
    """An answer in words: its status, and its error code if it has one."""
    if wire.socket.recv(1, socket.MSG_PEEK) == b"":
        return "no answer"
    answer = wire.answer()
    code = ""
    if answer.status >= 400 and answer.body:
        code = f" {json.loads(answer.body)['errors'][0]['code']}"
    return f"{answer.status}{code}"


def told_then_closed(wire: Wire) -> str:
    """As `told`; waits for the connection to be closed."""
    return f"{told(wire)}, {'closed' if wire.is_over() else 'open'}"


def reset(wire: Wire) -> str:
    """Leave as a client that was killed."""
    wire.reset()
    return "reset"


def half_close(wire: Wire) -> str:
    """Say nothing more, and listen."""
    wire.socket.shutdown(socket.SHUT_WR)
    return told_then_closed(wire)


# Requests that stop in their head

HEADS = (
    ("before the first byte", b"", "no answer"),
    ("in the request line", b"GET /v2/ HT", "400"),
    ("in the headers", b"GET /v2/ HTTP/1.1\r\nHost: loc", "400"),
)


def heads_that_stop() -> list[Behaviour]:
    """Half-close and reset in each part of a head. Stalls take longer: see `waits`."""

    def stopping(begun: bytes, leave: Callable[[Wire], str]) -> Callable[[Served], str]:
        def act(served: Served) -> str:
            with served.wire() as wire:
                wire.send(begun)
                time.sleep(ACCEPTED_SECS)
                return leave(wire)

        return act

    found = []
    for where, begun, answer in HEADS:
        expected = f"{answer}, closed"
        found.append(Behaviour(f"half-close {where}", expected, stopping(begun, half_close)))
        found.append(Behaviour(f"reset {where}", "reset", stopping(begun, reset)))
    return found


# Uploads that stop

PARTS: tuple[tuple[str, dict[str, str], Callable[[bytes], bytes], int], ...] = (
    ("in a body with Content-Length", LENGTH, lambda body: body[:4], 4),
    ("in a chunk header", CHUNKED, lambda body: b"4\r\n" + body[:4] + b"\r\n1", 4),
    ("in chunk data", CHUNKED, lambda body: b"4\r\n" + body[:4] + b"\r\n1c\r\n" + body[4:6], 6),
    ("in the trailers", CHUNKED, lambda body: b"20\r\n" + body + b"\r\n0\r\nX-T", 32),
    ("after 100 Continue", EXPECTING, lambda body: b"", 0),
)
"""Where an upload can stop: the headers, what is sent of the body, and how much of it counts."""


def interrupted(
    headers: dict[str, str], part: Callable[[bytes], bytes], leave: Callable[[Wire], str]
) -> Callable[[Served], str]:
    """Send a part of an upload of 32 bytes, leave in some way, and finish it afterwards."""

    def act(served: Served) -> str:
        blob, session = fresh_blob(), served.session()
        with served.wire() as wire:
            wire.request("PATCH", session.location, headers)
            if "Expect" in headers:
                assert wire.answer().status == 100
            wire.send(part(blob.body))
            if leave is reset:
                served.in_flight_reaches(1)
            seen = leave(wire)
        served.in_flight_reaches(0)
        return f"{seen}, logged {served.logged_status()}, {session.resumed(blob)}"

    return act


def uploads_that_stop() -> list[Behaviour]:
    """Stall, half-close and reset in each phase of an upload."""
    found = []
    for how, leave, seen in (
        ("stall", told_then_closed, "400 SIZE_INVALID, closed"),
        ("half-close", half_close, "400 SIZE_INVALID, closed"),
        ("reset", reset, "reset"),
    ):
        for where, headers, part, kept in PARTS:
            expected = f"{seen}, {LEFT}, {kept} kept, resumed"
            found.append(Behaviour(f"{how} {where}", expected, interrupted(headers, part, leave)))
    return found


# Downloads that stop


def _stop_reading(wire: Wire) -> str:
    """Take nothing for longer than the registry waits, then see how it ended.

    The kernels move bytes for a moment after we stop, and the registry notices a stall up to a
    quarter of its limit late. A look before that would take bytes, and be progress.
    """
    time.sleep(STALL_SECS * 1.5 + 0.5)
    return "reset by the registry" if wire.is_reset() else "ended in order"


def _half_close_and_read(wire: Wire) -> str:
    wire.socket.shutdown(socket.SHUT_WR)
    body = wire.read(len(BIG.body))
    return f"{'whole' if body == BIG.body else f'{len(body)} bytes'}, " + (
        "closed" if wire.is_over() else "open"
    )


def _downloading(leave: Callable[[Wire], str]) -> Callable[[Served], str]:
    def act(served: Served) -> str:
        with served.wire(buffer_bytes=SMALL_BUFFER_BYTES) as wire:
            wire.request("GET", BIG_TARGET)
            status, _ = wire.head()
            return f"{status}, {leave(wire)}"

    return act


def downloads_that_stop() -> list[Behaviour]:
    """Stall, half-close and reset in the middle of 16 MiB."""
    return [
        Behaviour(
            "stall while reading a download",
            "200, reset by the registry",
            _downloading(_stop_reading),
        ),
        Behaviour(
            "half-close after a GET of 16 MiB",
            "200, whole, closed",
            _downloading(_half_close_and_read),
        ),
        Behaviour("reset while reading a download", "200, reset", _downloading(reset)),
    ]


# Requests that are whole, and unusual


def _half_close_after_get(served: Served) -> str:
    with served.wire() as wire:
        wire.request("GET", "/v2/")
        return half_close(wire)


def _half_close_after_patch(served: Served) -> str:
    session = served.session()
    with served.wire() as wire:
        wire.request("PATCH", session.location, body=b"abc")
        seen = half_close(wire)
    session.cancel()
    return seen


def _pipelined(served: Served) -> str:
    """Each request asks for another byte of a blob, so that the order of the answers shows."""
    request = f"GET {BIG_TARGET} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=%d-%d\r\n\r\n"
    with served.wire() as wire:
        wire.send("".join(request % (number, number) for number in range(PIPELINED)).encode())
        answers = [wire.answer() for _ in range(PIPELINED)]
    in_order = b"".join(answer.body for answer in answers) == BIG.body[:PIPELINED]
    statuses = sorted({answer.status for answer in answers})
    order = "in order" if in_order else "out of order"
    return f"{len(answers)} × {', '.join(map(str, statuses))}, {order}"


def _expect_refused(served: Served) -> str:
    with served.wire() as wire:
        wire.request("PATCH", NO_SESSION, EXPECTING)
        return told_then_closed(wire)


def _accepted(headers: dict[str, str], body: Callable[[bytes], bytes]) -> Callable[[Served], str]:
    """A whole PATCH of 32 bytes; the connection is used again and the upload finished."""

    def act(served: Served) -> str:
        blob, session = fresh_blob(), served.session()
        with served.wire() as wire:
            wire.request("PATCH", session.location, headers)
            seen = ""
            if "Expect" in headers:
                seen = f"{told(wire)}, "
            wire.send(body(blob.body))
            seen += f"{told(wire)}, then {wire.ask('GET', '/v2/').status}"
        return f"{seen}, {session.resumed(blob)}"

    return act


def _byte_by_byte(served: Served) -> str:
    blob, session = fresh_blob(), served.session()
    with served.wire() as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"PATCH {session.location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 32\r\n\r\n"
        for byte in head.encode() + blob.body:
            wire.send(bytes([byte]))
            time.sleep(0.001)
        seen = told(wire)
    return f"{seen}, {session.resumed(blob)}"


def _slowly(served: Served) -> str:
    """Longer in all than the registry bears a stall, and never as long at once."""
    blob, session = fresh_blob(), served.session()
    with served.wire() as wire:
        wire.request("PATCH", session.location, {"Content-Length": "5"})
        for byte in blob.body[:5]:
            wire.send(bytes([byte]))
            time.sleep(STALL_SECS / 4)
        seen = told(wire)
    return f"{seen}, {session.resumed(blob)}"


def unusual_requests() -> list[Behaviour]:
    """What RFC 9112 allows and few clients do."""
    done, then = "32 kept, resumed", "202, then 200"
    return [
        Behaviour("half-close after a GET", "200, closed", _half_close_after_get),
        Behaviour("half-close after a whole PATCH", "202, closed", _half_close_after_patch),
        Behaviour(f"{PIPELINED} GETs in one segment", f"{PIPELINED} × 206, in order", _pipelined),
        Behaviour(
            "Expect: 100-continue, accepted",
            f"100, {then}, {done}",
            _accepted(EXPECTING, lambda body: body),
        ),
        Behaviour(
            "Expect: 100-continue, refused", "404 BLOB_UPLOAD_UNKNOWN, closed", _expect_refused
        ),
        Behaviour(
            "trailers after a chunked body",
            f"{then}, {done}",
            _accepted(
                CHUNKED, lambda body: b"20\r\n" + body + b"\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\n"
            ),
        ),
        Behaviour(
            "chunk extensions",
            f"{then}, {done}",
            _accepted(CHUNKED, lambda body: b'20;a="b";c\r\n' + body + b"\r\n0;d\r\n\r\n"),
        ),
        Behaviour(
            "chunks of one byte",
            f"{then}, {done}",
            _accepted(
                CHUNKED,
                lambda body: b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n",
            ),
        ),
        Behaviour("a body of two bytes a second", "202, 5 kept, resumed", _slowly),
        Behaviour("a whole request byte by byte", f"202, {done}", _byte_by_byte),
    ]


# Requests that break the rules


def _raw(head: bytes) -> Callable[[Served], str]:
    def act(served: Served) -> str:
        with served.wire() as wire:
            try:
                wire.send(head)
            except ConnectionError:
                return "reset before it was sent"
            return told_then_closed(wire)

    return act


def _head(*lines: str) -> bytes:
    return "\r\n".join([f"PATCH {NO_SESSION} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def _bad_chunks(sent: bytes) -> Callable[[Served], str]:
    def act(served: Served) -> str:
        session = served.session()
        with served.wire() as wire:
            wire.request("PATCH", session.location, CHUNKED)
            wire.send(sent)
            seen = told_then_closed(wire)
        session.cancel()
        return seen

    return act


def broken_requests() -> list[Behaviour]:
    """Two readings, bombs and noise: a bare status, and the connection is closed."""
    refused, too_large = "400, closed", "431, closed"
    heads = (
        ("two different lengths", refused, _head("Content-Length: 3", "Content-Length: 4")),
        ("a list of lengths", refused, _head("Content-Length: 3, 4")),
        ("a length beside chunked", refused,
         _head("Content-Length: 3", "Transfer-Encoding: chunked")),
        ("chunked, not last", "501, closed", _head("Transfer-Encoding: chunked, gzip")),
        ("a negative length", refused, _head("Content-Length: -1")),
        ("no Host", refused, b"GET /v2/ HTTP/1.1\r\n\r\n"),
        ("two Hosts", refused, _head("Host: other")),
        ("a header of 200 KiB", too_large, _head(f"X: {'y' * 200 * KIB}")),
        ("20,000 headers", too_large, _head(*["X-Y: z"] * 20_000)),
        ("a target of 200 KiB", too_large, b"GET /" + b"x" * 200 * KIB + b" HTTP/1.1\r\n\r\n"),
        ("headers without an end", too_large, _head(*["X-Y: z"] * 20_000)[:-2]),
        ("a TLS hello", refused, b"\x16\x03\x01\x02\x00\x01\x00" + b"\x00" * 512),
    )  # fmt: skip
    bodies = (
        ("a chunk size that is no number", b"x\r\n"),
        ("a chunk size of 30 digits", b"F" * 30 + b"\r\n"),
        ("a chunk header of 200 KiB", b"1;" + b"a" * 200 * KIB),
        ("trailers of 200 KiB", b"0\r\n" + b"X-Y: z\r\n" * (200 * KIB // 8)),
    )
    return [
        *(Behaviour(name, expected, _raw(head)) for name, expected, head in heads),
        *(Behaviour(name, "400 SIZE_INVALID, closed", _bad_chunks(sent)) for name, sent in bodies),
    ]


def all_behaviours() -> list[Behaviour]:
    """The lines, in the order of the table."""
    return [
        *heads_that_stop(),
        *uploads_that_stop(),
        *downloads_that_stop(),
        *unusual_requests(),
        *broken_requests(),
    ]
