"""Rude clients that take time or come in numbers: waits at the registry's real bounds, 10,000 idle
connections, and a reader of one byte a second beside pulls."""

from __future__ import annotations

import resource
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from angos_trio.limits.requests import HEADER_SECS_MAX, IDLE_SECS_MAX
from tests.load.behaviours import BIG, BIG_TARGET, HEADS, SMALL_BUFFER_BYTES, told
from tests.load.resident import MIB, resident_bytes
from tests.load.served import Served
from tests.server.wire import Wire

GET = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
CROWD = 10_000
SPARE_DESCRIPTORS = 500
ASKS_EVERY = 10
"""Of the crowd, one in so many has had an answer; it also shows that those before it are in."""
QUICK_MS = 50.0
LOOKS = 50
PULLS, PAUSE_SECS = 8, 0.1
"""Of one turn: a second or so, in which the slow reader takes a byte or two."""
FACTOR_MAX = 2.0
LATE_SECS_MAX = 4.0
"""How much later than its bound a wait may end."""


@dataclass(frozen=True)
class Wait:
    """A client that says no more, and how long the registry bears that."""

    name: str
    sent: bytes
    answer: str
    bound_secs: float

    @property
    def expected(self) -> str:
        """The line's answer in words."""
        return f"{self.answer}, closed after {self.bound_secs:.0f} s"

    def act(self, served: Served) -> tuple[str, float]:
        """Wait for the end; tells what was seen and the seconds that it took."""
        begun_at = time.monotonic()
        timeout = self.bound_secs + 3 * LATE_SECS_MAX
        with Wire(served.address, timeout_secs=timeout) as wire:
            wire.send(self.sent)
            seen = told(wire)
            end = "closed" if wire.is_over() else "open"
        secs = time.monotonic() - begun_at
        is_timely = self.bound_secs - 0.1 <= secs < self.bound_secs + LATE_SECS_MAX
        after = self.bound_secs if is_timely else secs
        return f"{seen}, {end} after {after:.0f} s", secs


def waits(*, is_quick: bool) -> list[Wait]:
    """The stalls in a head, which no setting shortens; the long ones are left out if quick."""
    found = [
        Wait(f"stall {where}", begun, "408", HEADER_SECS_MAX) for where, begun, _ in HEADS if begun
    ]
    if not is_quick:
        found += [
            Wait("stall before the first byte", b"", "no answer", IDLE_SECS_MAX),
            Wait("stall after a request", GET, "200", IDLE_SECS_MAX),
        ]
    return found


@contextmanager
def waiting(
    served: Served, chosen: list[Wait]
) -> Iterator[list[tuple[Wait, Future[tuple[str, float]]]]]:
    """All waits at once, beside whatever is done in the `with` block; its end waits for them."""
    with ThreadPoolExecutor(len(chosen)) as threads:
        yield [(wait, threads.submit(wait.act, served)) for wait in chosen]


class Crowd:
    """10,000 idle connections to one registry."""

    name = f"{CROWD:,} idle connections"
    expected = f"{CROWD:,} open, a GET beside them is quick"

    def __init__(self) -> None:
        self.note = ""

    def act(self, served: Served) -> str:
        """Open all, ask beside them, look at what the registry holds, and close all."""
        if (limit := raise_descriptor_limit()) < CROWD + SPARE_DESCRIPTORS:
            return f"this user may have {limit} files open"
        idle_bytes = resident_bytes(served.pid)
        begun_at = time.monotonic()
        with ExitStack() as closing:
            plugs = [closing.enter_context(socket.socket()) for _ in range(CROWD)]
            for number, plug in enumerate(plugs):
                plug.settimeout(10)
                plug.connect(served.address)
                if number % ASKS_EVERY == 0:
                    plug.sendall(GET)
                    assert plug.recv(4096).startswith(b"HTTP/1.1 200")
            opened_secs = time.monotonic() - begun_at
            problems = served.left(held_connections=CROWD)
            held_bytes = resident_bytes(served.pid) - idle_bytes
            latency_ms = statistics.median(_asked_ms(served) for _ in range(LOOKS))
            _reset_every_second(plugs)
        self.note = (
            f"{CROWD:,} connections opened in {opened_secs:.1f} s; resident "
            f"{idle_bytes / MIB:.1f} MiB before, {(idle_bytes + held_bytes) / MIB:.1f} MiB with "
            f"them ({held_bytes / CROWD / 1024:.1f} KiB each); GET on a new connection beside "
            f"them: median {latency_ms:.1f} ms"
        )
        if problems:
            return "; ".join(problems)
        speed = "quick" if latency_ms < QUICK_MS else f"{latency_ms:.0f} ms"
        return f"{CROWD:,} open, a GET beside them is {speed}"


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many files as it may; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CROWD + SPARE_DESCRIPTORS
    if soft < wanted <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _asked_ms(served: Served) -> float:
    begun_at = time.perf_counter()
    assert served.ask("GET", "/v2/").status == 200
    return (time.perf_counter() - begun_at) * 1000


def _reset_every_second(plugs: list[socket.socket]) -> None:
    """The others are closed in order."""
    for plug in plugs[::2]:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class SlowReader:
    """A reader of one byte a second beside pulls of the same blob."""

    name = "a reader of 1 byte/s beside pulls"
    expected = f"median pull within a factor of {FACTOR_MAX:.0f}"

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self.note = ""

    def act(self, served: Served) -> str:
        """Pull in turns alone and beside the reader."""
        alone: list[float] = []
        beside: list[float] = []
        with served.wire() as wire:
            _pulls_ms(wire)
            for _ in range(self._rounds):
                alone += _pulls_ms(wire)
                with reading_slowly(served):
                    beside += _pulls_ms(wire)
        medians = statistics.median(alone), statistics.median(beside)
        ratio = medians[1] / medians[0]
        self.note = (
            f"pull of {len(BIG.body) // MIB} MiB, {len(beside)} times each in turns: median "
            f"{medians[0]:.1f} ms alone, {medians[1]:.1f} ms beside the reader, ratio {ratio:.2f}"
        )
        return self.expected if ratio <= FACTOR_MAX else f"median pull {ratio:.2f} times as long"


@contextmanager
def reading_slowly(served: Served) -> Iterator[None]:
    """A client that takes one byte of a download a second meanwhile."""
    is_over = threading.Event()
    with served.wire(buffer_bytes=SMALL_BUFFER_BYTES) as wire:
        wire.request("GET", BIG_TARGET)
        assert wire.head()[0] == 200

        def read() -> None:
            while True:
                assert len(wire.socket.recv(1)) == 1
                if is_over.wait(1):
                    return

        thread = threading.Thread(target=read, name="reader")
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def _pulls_ms(wire: Wire) -> list[float]:
    """The pulls of one turn."""
    found = []
    for _ in range(PULLS):
        begun_at = time.perf_counter()
        answer = wire.ask("GET", BIG_TARGET)
        found.append((time.perf_counter() - begun_at) * 1000)
        assert answer.body == BIG.body
        time.sleep(PAUSE_SECS)
    return found
