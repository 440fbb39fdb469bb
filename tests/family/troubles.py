"""Processes that hang, that run out of file handles, and a machine with one core."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx

from angos_trio.limits.processes import CHILD_SILENT_SECS_MAX
from tests.family.family import STEWARD, Family, Report, Wrong, running_family, wait_until
from tests.processes import family as processes_of
from tests.running import HOST, free_port, program

HANDLES = 60
SPARE_SECS = 10.0


def check_hung(scratch: Path) -> list[Report]:
    """A worker and the steward stop going round for good: both are killed and started anew."""
    wrong: list[str] = []
    took: dict[str, float] = {}
    reads = 0
    with running_family(scratch) as family:
        hung = {name: family.members[name] for name in ("worker-2", STEWARD)}
        begun_at = time.monotonic()
        for pid in hung.values():
            os.kill(pid, signal.SIGSTOP)
        while len(took) < len(hung):
            if time.monotonic() - begun_at > CHILD_SILENT_SECS_MAX + SPARE_SECS:
                wrong.append(f"not started anew: {set(hung) - set(took)}")
                break
            reads += _answers(family)
            family.look()
            for name, pid in hung.items():
                if name not in took and family.members.get(name, pid) != pid:
                    took[name] = time.monotonic() - begun_at
            time.sleep(0.1)
        if "process.silent" not in family.registry.log:
            wrong.append("the log does not tell that a process was silent")
        wait_until(lambda: _is_well(family), "nothing is degraded any more")
        wrong += family.stop()
    figures = f"{reads} requests answered meanwhile; started anew after " + ", ".join(
        f"{name} {secs:.0f} s" for name, secs in took.items()
    )
    return [Report("a worker and the steward hung", figures, wrong)]


def _answers(family: Family) -> int:
    """One request over a new connection. Raises Wrong."""
    answer = httpx.get(f"http://{family.address}/v2/", timeout=20)
    if answer.status_code != 200:
        raise Wrong(f"{answer.status_code} {answer.text[:200]}")
    return 1


def _is_well(family: Family) -> bool:
    answer = httpx.get(f"http://{family.address}/readyz")
    return bool(answer.json() == {"status": "ready"})


def check_handles(scratch: Path) -> list[Report]:
    """All workers but one may open no further file: the one goes on, and afterwards all do."""
    wrong: list[str] = []
    with running_family(scratch) as family:
        short = [family.members[f"worker-{number}"] for number in (2, 3, 4)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for pid in short:
            open_now = len(os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now, hard))
        answered = sum(_answers(family) for _ in range(HANDLES))
        with _held_open(family.address, HANDLES):
            answered += sum(_answers(family) for _ in range(HANDLES))
        for pid in short:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        names = {
            httpx.get(f"http://{family.address}/v2/").headers["X-Angos-Worker"]
            for _ in range(4 * HANDLES)
        }
        if family.ended:
            wrong.append(f"processes ended: {family.ended}")
        wrong += family.stop()
    figures = (
        f"{answered} requests answered while three of four had none; {len(names)} answer after"
    )
    return [Report("no file handles left", figures, wrong)]


@contextlib.contextmanager
def _held_open(address: str, count: int) -> Iterator[None]:
    """So many connections on which nobody says anything."""
    host, _, port = address.partition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection((host, int(port))))
        yield


def check_one_core(scratch: Path) -> list[Report]:
    """On one core a configured registry is one process; four workers asked for are four."""
    wrong: list[str] = []
    found = {}
    for workers, wanted in ((0, 1), (4, 6)):
        config = scratch / f"one-core-{workers}.toml"
        config.write_text(f"[server]\nworkers = {workers}\n")
        address = f"{HOST}:{free_port()}"
        data = scratch / f"data-{workers}"
        command = [*program(), "serve", "-c", str(config), "--listen", address]
        with (scratch / "log").open("ab") as log:
            process = subprocess.Popen(
                ["taskset", "--cpu-list", "0", *command, "--data-dir", str(data)], stderr=log
            )
        try:
            wait_until(partial(_is_ready, address), "it is ready")
            found[workers] = len(processes_of(process.pid))
            if found[workers] != wanted:
                wrong.append(f"workers = {workers}: {found[workers]} processes, not {wanted}")
        finally:
            process.terminate()
            if (code := process.wait(30)) != 0:
                wrong.append(f"workers = {workers}: exit code {code}")
    figures = f"{found[0]} process by itself; with four workers {found[4]} processes, ready too"
    return [Report("a machine with one core", figures, wrong)]


def _is_ready(address: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://{address}/readyz").status_code == 200
    return False
