"""How long a process that failed waits, whose turn a new connection is, and whose a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.limits.processes import CHILD_BACKOFF_SECS_MAX, CHILD_BACKOFF_SECS_MIN, WORKERS_MAX
from angos_trio.limits.requests import ACCEPT_DELAY_SECS, ACCEPT_DELAY_SECS_MAX
from angos_trio.server.sockets import Turns, turn_delay_secs
from angos_trio.server.supervisor import backoff_secs
from tests.zipapp.built import REPOSITORY

SECS_MAX = 60.0


@pytest.mark.parametrize(
    ("failures", "secs"),
    [(0, 0.1), (1, 0.2), (2, 0.4), (5, 3.2), (8, 25.6), (9, 30.0), (100, 30.0), (10**9, 30.0)],
)
def test_each_failure_in_a_row_doubles_the_wait(failures: int, secs: float) -> None:
    assert backoff_secs(failures) == pytest.approx(secs)


@given(st.integers(0, 10**6))
def test_wait_never_shrinks_and_has_bounds(failures: int) -> None:
    secs = backoff_secs(failures)

    assert CHILD_BACKOFF_SECS_MIN <= secs <= CHILD_BACKOFF_SECS_MAX
    assert backoff_secs(failures + 1) >= secs


def test_worker_with_fewest_connections_does_not_wait() -> None:
    assert turn_delay_secs(0, 0) == 0
    assert turn_delay_secs(7, 7) == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_worker_waits_longer_the_more_it_has(fewest: int, more: int) -> None:
    secs = turn_delay_secs(fewest + more, fewest)

    assert 0 <= secs <= ACCEPT_DELAY_SECS_MAX
    assert turn_delay_secs(fewest + more + 1, fewest) >= secs
    assert secs == pytest.approx(min(more * ACCEPT_DELAY_SECS, ACCEPT_DELAY_SECS_MAX))


def test_turns_are_told_and_kept_for_each_worker() -> None:
    turns = Turns(3)
    assert [turns.delay_secs(worker) for worker in range(3)] == [0, 0, 0]

    turns.tell(0, 2)
    turns.tell(2, 1)

    assert turns.delay_secs(1) == 0
    assert 0 < turns.delay_secs(2) < turns.delay_secs(0)

    turns.tell(1, 5)
    turns.tell(0, 0)
    assert turns.delay_secs(0) == 0
    assert turns.delay_secs(1) == ACCEPT_DELAY_SECS_MAX


def test_the_most_workers_have_a_turn() -> None:
    turns = Turns(WORKERS_MAX)
    turns.tell(WORKERS_MAX - 1, 1)

    assert turns.delay_secs(WORKERS_MAX - 1) > turns.delay_secs(0) == 0


FAMILY = """
import os, pathlib, signal, sys
from angos_trio.server.child import Child
from angos_trio.server.supervisor import Supervisor

marker = pathlib.Path(sys.argv[1])

def is_first():
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

def tell(*words):
    print(*words, flush=True)

def serve(main, **options):
    options["on_reload"] = lambda outcome: tell("refused" if isinstance(outcome, str) else "taken")
    options["on_hangup"] = lambda: b"{}"
    raise SystemExit(Supervisor([Child("worker-1", main)], 1.0, **options).run())
"""


def family(folder: Path, more: str) -> subprocess.Popen[str]:
    """A supervisor of one worker, which the further lines start."""
    return subprocess.Popen(
        [sys.executable, "-c", FAMILY + more, str(folder / "marker")],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_signal_for_a_child_that_was_just_forked_is_its_own(tmp_path: Path) -> None:
    struck = """
os.register_at_fork(after_in_child=lambda: is_first() and os.kill(os.getpid(), signal.SIGTERM))
stop = lambda: os.kill(os.getpid(), signal.SIGTERM)
serve(lambda link: (link.ready(), signal.pause()), on_ready=stop)
"""
    with family(tmp_path, struck) as started:
        said, _ = started.communicate(timeout=SECS_MAX)

    assert started.returncode == 0, said
    ends = [line.split("code=")[1].split()[0] for line in said.splitlines() if "code=" in line]
    assert ends == ["-15", "-15"], "the first was ended, and the next was told to stop"


def test_reload_while_nobody_runs_is_taken_by_who_starts_next(tmp_path: Path) -> None:
    ends = """
import time
def main(link):
    if not is_first():
        os._exit(9)
    link.ready()
    time.sleep(0.2)
    os._exit(9)
serve(main, on_ready=lambda: tell("ready"))
"""
    with family(tmp_path, ends) as started:
        assert started.stdout is not None
        try:
            for line in started.stdout:
                if "restart_secs=3.2" in line:
                    os.kill(started.pid, signal.SIGHUP)
                if line.split() in (["taken"], ["refused"]):
                    break
        finally:
            started.kill()

    assert line == "taken\n"
