"""How long the one file takes. What disturbs a machine adds time only: the best of some counts,
and the median is told beside it."""

from __future__ import annotations

import http.client
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.running import HOST, START_SECS_MAX, free_port
from tests.zipapp.built import one_file

ROUNDS = 7
FIRST_SECS_MAX = 4.0
LATER_SECS_MAX = 1.0
VERSION_SECS_MAX = 0.15


def best_secs(work: Callable[[int], None]) -> float:
    """The best of some rounds."""
    times = []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - begun)
    print(", ".join(f"{each:.2f}" for each in times), "s", end=" ")
    print(f"(best {min(times):.2f}, median {statistics.median(times):.2f})", end=" ")
    return min(times)


def serve_once(scratch: Path, cache: Path) -> None:
    """Start a registry and stop it when it has answered."""
    address = f"{HOST}:{free_port()}"
    data = scratch / "data"
    process = subprocess.Popen(
        [sys.executable, one_file(), "serve", "--listen", address, "--data-dir", str(data)],
        env={"PATH": os.environ["PATH"], "SHIV_ROOT": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(address)
    finally:
        process.kill()
        process.wait()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + START_SECS_MAX
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.005)
        finally:
            connection.close()
    raise TimeoutError(address)


def test_the_first_start_serves_soon(tmp_path: Path) -> None:
    def first(number: int) -> None:
        serve_once(tmp_path / str(number), tmp_path / f"cache-{number}")

    found = best_secs(first)
    print(f"from nothing to the first answer; {FIRST_SECS_MAX} at most")
    assert found < FIRST_SECS_MAX
    for number in range(ROUNDS):
        shutil.rmtree(tmp_path / f"cache-{number}")


def test_a_later_start_serves_at_once(tmp_path: Path) -> None:
    serve_once(tmp_path, tmp_path / "cache")
    found = best_secs(lambda _: serve_once(tmp_path, tmp_path / "cache"))
    print(f"to the first answer; {LATER_SECS_MAX} at most")
    assert found < LATER_SECS_MAX


def test_the_version_is_told_at_once(tmp_path: Path) -> None:
    def version(_: int) -> None:
        subprocess.run(
            [sys.executable, one_file(), "--version"],
            env={"PATH": os.environ["PATH"], "SHIV_ROOT": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    found = best_secs(version)
    print(f"for --version; {VERSION_SECS_MAX} at most")
    assert found < VERSION_SECS_MAX
