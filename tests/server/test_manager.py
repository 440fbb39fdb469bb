"""What is said to a service manager, and that saying it neither waits nor raises."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from angos_trio.limits.processes import STATUS_CHARACTERS_MAX
from angos_trio.server.manager import Manager, take_manager
from tests.managed import ABSTRACT, below, listening


def environ_of(address: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": address}


@pytest.mark.parametrize("is_abstract", [False, True])
def test_each_message_has_the_words_of_sd_notify(tmp_path: Path, *, is_abstract: bool) -> None:
    address = f"{ABSTRACT}{os.getpid()}" if is_abstract else below(tmp_path)
    with listening(address) as manager, closing(take_manager(environ_of(address))) as told:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        told.ready("serving 443")
        told.status("a\nREADY=0\n b")
        told.reloading()
        told.stopping("stopping", 2.5)
        told.extend(1.5)
        told.feed()
        ready, status, reloading, *others = manager.hear(0.1)

    assert ready == {"READY": "1", "MAINPID": str(os.getpid()), "STATUS": "serving 443"}
    assert status == {"STATUS": "a READY=0 b"}, "a message is lines"
    assert reloading["RELOADING"] == "1"
    assert 0 <= int(reloading["MONOTONIC_USEC"]) - before < 60_000_000
    assert others == [
        {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "2500000", "STATUS": "stopping"},
        {"EXTEND_TIMEOUT_USEC": "1500000"},
        {"WATCHDOG": "1"},
    ]


def test_status_has_a_bound_and_takes_any_text(tmp_path: Path) -> None:
    address = below(tmp_path)
    with listening(address) as manager, closing(take_manager(environ_of(address))) as told:
        told.status("x" * 100_000)
        told.status("lone \udc80")
        long, odd = manager.hear(0.1)

    assert len(long["STATUS"]) == STATUS_CHARACTERS_MAX
    assert odd["STATUS"] == "lone ?"


def test_variables_are_taken_out_of_the_environment(tmp_path: Path) -> None:
    environ = {
        "NOTIFY_SOCKET": below(tmp_path),
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "OTHER": "stays",
    }

    with closing(take_manager(environ)) as told:
        assert told.watchdog_secs == 3
    assert environ == {"OTHER": "stays"}


@pytest.mark.parametrize(
    ("usec", "pid"),
    [("3000000", "1"), ("", ""), ("0", ""), ("x", ""), ("-5", ""), ("1e6", ""), ("\u0663", "")],
)
def test_watchdog_of_others_and_what_is_no_time_is_none(usec: str, pid: str) -> None:
    environ = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}

    with closing(take_manager(environ)) as told:
        assert told.watchdog_secs is None


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "a"}]
)
def test_without_a_manager_nothing_is_said(environ: dict[str, str]) -> None:
    assert take_manager(environ) == Manager()
    Manager().ready("to nobody")


def test_manager_that_is_gone_holds_nothing_up() -> None:
    with closing(take_manager(environ_of("/nowhere/notify"))) as told:
        told.ready("nobody")
        told.status("hears")
        told.say_again()


def test_what_has_to_be_said_is_said_once_there_is_room(tmp_path: Path) -> None:
    address = below(tmp_path)
    with listening(address) as manager, closing(take_manager(environ_of(address))) as told:
        for _ in range(5_000):
            told.feed()
        told.ready("serving")
        told.status("not before the other")
        full = manager.hear(0.1)
        told.say_again()
        (late,) = manager.hear(0.1)

    assert full == [{"WATCHDOG": "1"}] * len(full)
    assert late["READY"] == "1"
