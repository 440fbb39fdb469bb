"""The end of a family, asked for or not, and a member that is frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.crash.client import Content, blob_path, digest_of
from tests.family.family import (
    WORKERS,
    Family,
    Report,
    Wrong,
    is_free,
    running_family,
    wait_until,
)
from tests.family.lines import Line, SlowRequest, connected, exchange, lines_to, worker_of
from tests.family.uploads import NAMESPACE, expect_blob, expect_offset, finish, start_upload
from tests.processes import is_running
from tests.running import HOST, free_port, program

END_SECS_MAX = 5.0
UPLOAD_SECS = 2.0
MIB = 1 << 20


def check_supervisor_killed(scratch: Path, rounds: int) -> list[Report]:
    """The supervisor is killed: its family ends, the directory is free, and a new one starts."""
    wrong: list[str] = []
    ended: list[float] = []
    started: list[float] = []
    pushed: list[str] = []
    for number in range(rounds):
        begun_at = time.monotonic()
        with running_family(scratch) as family, lines_to(family.address) as lines:
            started.append(time.monotonic() - begun_at)
            try:
                for line, digest in zip(lines, pushed[-len(lines) :], strict=False):
                    expect_blob(line, NAMESPACE, digest)
                content = Content(f"supervisor/{number}", 100_000)
                finish(lines[1], start_upload(lines[0]), content, 0)
                pushed.append(content.digest)
                location = start_upload(lines[2])
                SlowRequest(lines[2]).begin("PATCH", location, MIB, {})  # one has work to do
                family.registry.kill()
                ended.append(_wait_gone(family))
                if not is_free(family.registry.data_dir / "instance.lock"):
                    raise Wrong("the instance lock is held when all are gone")
            except Wrong as error:
                wrong.append(f"round {number}: {error}")
    figures = (
        f"{rounds} kills, all processes gone within {max(ended, default=0):.2f} s, the lock free; "
        f"the next start on the directory was whole within {max(started[1:], default=0):.1f} s"
    )
    return [Report("supervisor killed", figures, wrong)]


def _wait_gone(family: Family) -> float:
    family.look()

    def are_gone() -> bool:
        return not any(is_running(pid) for pid in family.pids)

    try:
        return wait_until(are_gone, "every process is gone", END_SECS_MAX)
    except Wrong:
        raise Wrong(f"processes are left after {END_SECS_MAX:.0f} s: {family.left()}") from None


def check_terminated(scratch: Path, rounds: int) -> list[Report]:
    """SIGTERM in the middle of an upload: it ends well, and so do all processes."""
    wrong: list[str] = []
    took: list[float] = []
    for number in range(rounds):
        with running_family(scratch) as family, lines_to(family.address) as lines:
            try:
                location = start_upload(lines[0])
                took.append(_terminate_during(family, lines[1], location))
                wrong += family.stop()
            except Wrong as error:
                wrong.append(f"round {number}: {error}")
        with running_family(scratch) as family, lines_to(family.address) as lines:
            try:
                expect_offset(lines[0], location, 4 * MIB)
            except Wrong as error:
                wrong.append(f"round {number}, after the next start: {error}")
            wrong += family.stop()
    figures = (
        f"{rounds} times a PATCH of 4 MiB went on for {UPLOAD_SECS:.0f} s after SIGTERM and got "
        f"202; exit code 0 and no process left {max(took, default=0):.1f} s after it; found again"
    )
    return [Report("SIGTERM during an upload", figures, wrong)]


def _terminate_during(family: Family, line: Line, location: str) -> float:
    slow, piece = SlowRequest(line), bytes(MIB // 8)
    slow.begin("PATCH", location, 4 * MIB, {"Content-Range": f"0-{4 * MIB - 1}"})
    for _ in range(8):
        slow.send(piece)
    family.registry.process.send_signal(signal.SIGTERM)
    for _ in range(24):
        time.sleep(UPLOAD_SECS / 24)  # a slow client
        slow.send(piece)
    answer, answered_at = slow.answer(), time.monotonic()
    if answer.status != 202 or answer.offset != 4 * MIB:
        raise Wrong(f"the upload ended with {answer.status} {answer.body[:200]!r}")
    code = family.registry.process.wait(30)
    if code != 0:
        raise Wrong(f"exit code {code}")
    if left := family.left():
        raise Wrong(f"processes are left: {left}")
    return time.monotonic() - answered_at


def check_frozen(scratch: Path, secs: float) -> list[Report]:
    """Each worker in turn is frozen for some time: new connections and the others go on."""
    wrong: list[str] = []
    reads, slowest = 0, 0.0
    with running_family(scratch) as family, lines_to(family.address) as lines:
        content = Content("frozen", 200_000)
        finish(lines[0], start_upload(lines[0]), content, 0)
        for frozen in lines:
            others = [line for line in lines if line is not frozen]
            pid = family.members[frozen.worker]
            os.kill(pid, signal.SIGSTOP)
            try:
                found, longest = _read_for(family.address, others, content, secs / len(WORKERS))
                reads, slowest = reads + found, max(slowest, longest)
            except Wrong as error:
                wrong.append(f"{frozen.worker} frozen: {error}")
            except OSError as error:
                wrong.append(f"{frozen.worker} frozen: {error!r}")
            finally:
                os.kill(pid, signal.SIGCONT)
            try:
                expect_blob(frozen, NAMESPACE, content.digest)
            except (Wrong, OSError) as error:
                wrong.append(f"{frozen.worker} after it was frozen: {error!r}")
        wrong += family.stop()
    figures = (
        f"each of {len(WORKERS)} for {secs / len(WORKERS):.1f} s; {reads} reads through the "
        f"others and over new connections, the slowest {slowest * 1000:.0f} ms"
    )
    return [Report("one worker frozen", figures, wrong)]


def _read_for(address: str, lines: list[Line], content: Content, secs: float) -> tuple[int, float]:
    """Read through each line and over a new connection for some time; how often, and the slowest.

    A pause lets the machine breathe.
    """
    reads, slowest, deadline = 0, 0.0, time.monotonic() + secs
    while time.monotonic() < deadline:
        for line in lines:
            begun_at = time.monotonic()
            expect_blob(line, NAMESPACE, content.digest)
            slowest = max(slowest, time.monotonic() - begun_at)
        begun_at, connection = time.monotonic(), connected(address)
        answer = exchange(connection, "GET", blob_path(NAMESPACE, content.digest))
        connection.close()
        slowest = max(slowest, time.monotonic() - begun_at)
        if answer.status != 200 or digest_of(answer.body) != content.digest:
            raise Wrong(f"a new connection to {worker_of(answer)} answers {answer.status}")
        reads += len(lines) + 1
        time.sleep(0.01)
    return reads, slowest


def check_second_start(scratch: Path) -> list[Report]:
    """A second registry on the directory is refused with one line, and the first goes on."""
    wrong: list[str] = []
    with running_family(scratch) as family:
        data_dir, begun_at = family.registry.data_dir, time.monotonic()
        options = ["--listen", f"{HOST}:{free_port()}", "--data-dir", str(data_dir)]
        configured = ["-c", str(scratch / "family.toml")]
        second = subprocess.run(
            [*program(), "serve", *configured, *options],
            capture_output=True,
            text=True,
            timeout=30,
        )
        took = time.monotonic() - begun_at
        said = (second.stdout + second.stderr).splitlines()
        if second.returncode != 1 or len(said) != 1 or str(data_dir) not in said[0]:
            wrong.append(f"exit code {second.returncode}, said {said}")
        with lines_to(family.address) as lines:
            for line in lines:
                line.expect(200, "GET", "/v2/")
        wrong += family.stop()
    figures = f"exit code {second.returncode} after {took:.1f} s: {' '.join(said)!r}"
    return [Report("second start on the directory", figures, wrong)]
