"""A supervisor's offer: all processes take it, or none does. Real processes, forked by a program
of its own so that they are not forks of the tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SECS_MAX = 15.0
PROGRAM = """
import os, select, signal, sys, time
from functools import partial
from angos_trio.server.link import Offer
from angos_trio.server.child import Child
from angos_trio.server.supervisor import Supervisor
from angos_trio.telemetry import log

def tell(*words):
    os.write(1, (" ".join(words) + "\\n").encode())

def live(name, link):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    link.ready()
    offered = None
    while True:
        link.alive()
        if not select.select([link], [], [], 0.2)[0]:
            continue
        word = link.hear()
        if isinstance(word, Offer):
            offered = word.content.decode()
            if offered == f"refused by {name}":
                link.refuse(word, "cannot")
            elif offered == f"kills {name}":
                os._exit(9)
            elif offered == f"hangs {name}":
                time.sleep(60)
            else:
                link.accept(word)
        elif word is not None:
            tell(name, type(word).__name__, str(len(offered or "")), getattr(word, "reason", ""))

log.configure()
contents = iter(sys.argv[1:])
Supervisor(
    [Child(name, partial(live, name)) for name in ("a", "b", "c")],
    drain_secs=1,
    on_ready=lambda: tell("ready"),
    on_hangup=lambda: next(contents).encode(),
    on_reload=lambda outcome: tell("outcome", repr(outcome)[:60]),
).run()
"""


def said_after(tmp_path: Path, count: int, *contents: str) -> list[str]:
    """What the program said once it was told so often to hang up, until so many lines are there."""
    out = tmp_path / "out"
    with out.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *contents], stdout=stream, stderr=subprocess.DEVNULL
        )
    try:
        wait(lambda: "ready" in out.read_text())
        for number in range(len(contents)):
            process.send_signal(signal.SIGHUP)
            wait(partial(has_outcomes, out, number + 1))
        wait(lambda: len(out.read_text().splitlines()) >= count)
        return sorted(out.read_text().splitlines())
    finally:
        process.terminate()
        assert process.wait(SECS_MAX) == 0


def has_outcomes(out: Path, count: int) -> bool:
    return out.read_text().count("outcome") >= count


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_take_what_all_accept_however_large(tmp_path: Path) -> None:
    said = said_after(tmp_path, 5, "x" * 100_000)
    assert said[:3] == ["a Take 100000 ", "b Take 100000 ", "c Take 100000 "]


def test_one_refusal_is_one_for_all(tmp_path: Path) -> None:
    said = said_after(tmp_path, 9, "refused by b", "fine")
    assert said[:8] == sorted(
        [f"{name} Drop 12 b: cannot" for name in "abc"]
        + [f"{name} Take 4 " for name in "abc"]
        + ["outcome 'b: cannot'", "outcome b'fine'"]
    )


def test_process_that_dies_of_an_offer_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    said = said_after(tmp_path, 4, "kills b")
    assert [line for line in said if "Take" in line] == ["a Take 7 ", "c Take 7 "]


def test_process_that_hangs_refuses_for_all(tmp_path: Path) -> None:
    said = said_after(tmp_path, 4, "hangs c")
    assert {"a Drop 7 no answer from c", "b Drop 7 no answer from c"} <= set(said)
