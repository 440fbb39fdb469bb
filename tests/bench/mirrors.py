"""Pulling through: from a warm cache beside a local pull, cold from a slow upstream beside that
upstream itself, and cold beside docker-registry in proxy mode. The upstream is a docker-registry.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from angos_trio.records import replace
from tests.bench.rows import MIB, PAUSE_SECS, Figures, Measured, Row, Run, load
from tests.bench.sides import CACHE, OURS, THEIRS, Serving, Side, start
from tests.running import HOST

WARM_MIN, COLD_MIN, PEER_MIN = 0.95, 1 / 1.2, 1.0
"""Throughput of a pull through by that of what it is measured beside, at least."""
LIMIT_BYTES = 100_000_000
"""That the slow upstream gives in a second."""
PIECE_BYTES = 256 * 1024

WARM = Row("through, warm: pull 1 MiB images", "pull", "images", 8, 640, 160, MIB, "push", 64, 16)
COLD = Row("through, cold, 100 MB/s: pull 100 MiB images", "pull", "images", 1, 2, 1, 100 * MIB)
PEER = (
    Row("through, cold: pull 1 MiB images", "pull", "images", 8, 64, 32, MIB),
    Row("through, cold: pull 100 MiB images", "pull", "images", 1, 2, 1, 100 * MIB),
)
MINIMA = {WARM.name: WARM_MIN, COLD.name: COLD_MIN, **{row.name: PEER_MIN for row in PEER}}
"""The least ratio of each row."""


class Limited:
    """Hands bytes on between clients and a registry, and back no faster than a limit: of all
    connections together, in bytes a second."""

    def __init__(self, address: str, limit: int) -> None:
        host, _, port = address.rpartition(":")
        self._place = (host, int(port))
        self._limit = limit
        self._lock = threading.Lock()
        self._free_at = time.monotonic()
        self.last_at = 0.0
        """When the last bytes of an answer were handed on."""
        self._listener = socket.create_server((HOST, 0))
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more; what is connected ends with its client."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._place)
            for source, target, is_slow in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._pump, args=(source, target, is_slow), daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_slow: bool) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        with suppress(OSError):
            while size := source.recv_into(buffer):
                if is_slow:
                    self._wait(size)
                target.sendall(buffer[:size])
                if is_slow:
                    self.last_at = time.monotonic()
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _wait(self, size: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - 0.05) + size / self._limit
            wait_secs = self._free_at - now
        if wait_secs > 0:
            time.sleep(wait_secs)


@dataclass(frozen=True)
class Place:
    """An upstream, and where its images are pulled: the two sides that are compared."""

    upstream: Side
    sides: tuple[Side, Side]


def _through(folder: Path, url: str, repositories: Sequence[str]) -> Serving:
    """Ours, with repositories that are pulled through from those of the same name."""
    folder.mkdir(parents=True)
    file = folder / "mirror.toml"
    file.write_text(
        "\n".join(
            f'[[repository."{name}".upstream]]\nurl = "{url}/{name}"' for name in repositories
        ),
        encoding="utf-8",
    )
    return Serving([str(file)])


@contextmanager
def _emptied(root: Path) -> Iterator[ExitStack]:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            yield stack
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _push(side: Side, row: Row, prefix: str, count: int) -> None:
    words = ("-prefix", prefix, "-scenario", "push", "-clients", 8 if row.size <= MIB else 1)
    load(side, *words, "-count", count, "-size", row.size, "-entries", 1)


def _pull(side: Side, row: Row, prefix: str, stored: int = 0) -> Run:
    """One run; `stored` are the bytes that a side comes to store by it."""
    os.sync()
    time.sleep(PAUSE_SECS)
    _have_memory(2 * stored)
    entries = row.entries or row.count
    words = ("-prefix", prefix, "-scenario", "pull", "-clients", row.clients)
    return load(side, *words, "-count", row.count, "-size", row.size, "-entries", entries)


def _have_memory(size: int) -> None:
    """Have memory at hand for so many bytes of files.

    A virtual machine may give its host what it does not use. The first write to such memory then
    takes ten times as long, and which side would meet that is chance.
    """
    scratch, block = CACHE / "scratch", bytes(MIB)
    with scratch.open("wb", buffering=0) as file:
        for _ in range(0, size, MIB):
            file.write(block)
    scratch.unlink()


def measure_warm(row: Row, rounds: int) -> Measured:
    """What was pulled through before, beside the same images where they were pushed."""
    with _emptied(CACHE / "mirror") as stack:
        root = CACHE / "mirror"
        upstream = stack.enter_context(start(THEIRS, root / "upstream"))
        serving = _through(root / "files", f"http://{upstream.address}", ["images"])
        near = stack.enter_context(start(OURS, root / "near", None, serving))
        local = stack.enter_context(start(OURS, root / "local", None))
        for side in (upstream, local):
            _push(side, row, "images", row.entries)
        for side in (near, local):
            _pull(side, replace(row, count=row.entries), "images")
        ours, theirs = Figures(), Figures()
        for _ in range(rounds):
            ours.runs.append(_pull(near, row, "images"))
            theirs.runs.append(_pull(local, row, "images"))
        return Measured(row, ours, theirs, near.memory(), local.memory())


def _cold(row: Row, rounds: int, place: Callable[[ExitStack, Sequence[str]], Place]) -> Measured:
    """Images that nobody has pulled before, new ones for each run."""
    names = [f"round{number}" for number in range(rounds + 1)]
    with _emptied(CACHE / "mirror") as stack:
        found = place(stack, names)
        figures = (Figures(), Figures())
        for number, name in enumerate(names):
            _push(found.upstream, row, name, row.count)
            for side, figure in zip(found.sides, figures, strict=True):
                run = _pull(side, row, name, row.count * row.size)
                if number:  # the first warms up
                    figure.runs.append(run)
        memories = [side.memory() for side in found.sides]
        return Measured(row, *figures, *memories)


def measure_limited(row: Row, rounds: int) -> Measured:
    """Through ours from an upstream with a limit, beside a pull from that upstream itself."""
    root = CACHE / "mirror"

    def place(stack: ExitStack, names: Sequence[str]) -> Place:
        upstream = stack.enter_context(start(THEIRS, root / "upstream"))
        limited = Limited(upstream.address, LIMIT_BYTES)
        stack.callback(limited.close)
        serving = _through(root / "files", f"http://{limited.address}", names)
        near = stack.enter_context(start(OURS, root / "near", None, serving))
        return Place(upstream, (near, replace(upstream, address=limited.address)))

    return _cold(row, rounds, place)


def measure_peer(row: Row, rounds: int) -> Measured:
    """Through ours, beside docker-registry that stands before the same upstream."""
    root = CACHE / "mirror"

    def place(stack: ExitStack, names: Sequence[str]) -> Place:
        upstream = stack.enter_context(start(THEIRS, root / "upstream"))
        url = f"http://{upstream.address}"
        near = stack.enter_context(
            start(OURS, root / "near", None, _through(root / "files", url, names))
        )
        proxy = stack.enter_context(start(THEIRS, root / "proxy", None, Serving(upstream=url)))
        return Place(upstream, (near, proxy))

    return _cold(row, rounds, place)


def measure_mirrors(rounds: int, *, is_quick: bool, name: str = "") -> list[Measured]:
    """All rows whose name contains what is given."""
    measured = []
    ways = [(WARM, measure_warm), (COLD, measure_limited), *((row, measure_peer) for row in PEER)]
    for row, way in ways:
        if name not in row.name or (is_quick and row is PEER[-1]):
            continue  # the large one takes too long for a quick run
        item = way(row.made_quick() if is_quick else row, rounds)
        measured.append(item)
        print(f"{row.name:<46} ratio {item.ratio:6.2f}", flush=True)
    return measured


def too_slow(measured: Sequence[Measured], ratio_min: float) -> list[str]:
    """What is below its least ratio, one line each."""
    return [
        f"{item.row.name}: ratio {item.ratio:.2f}, {MINIMA[item.row.name]:.2f} is meant"
        for item in measured
        if item.ratio < MINIMA[item.row.name] * min(1.0, ratio_min)
    ]
