"""What is reported to the service manager in which phase, and when its watchdog is fed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from angos_trio.limits.processes import (
    CHILD_BACKOFF_SECS_MIN,
    CHILD_HEARD_SECS_MAX,
    CHILD_SILENT_SECS_MAX,
    START_EXTEND_SECS,
    START_SECS_MAX,
    STATUS_SECS,
)
from angos_trio.records import replace
from angos_trio.server.manager import take_manager
from angos_trio.server.reporting import Look, Reporter, status_of, stopping_status
from tests.managed import Listening, below, listening

WELL = Look(connections=12, workers=4, wanted=4)


@pytest.mark.parametrize(
    ("look", "reload", "line"),
    [
        (Look(connections=1), "", "serving 443 in one process, 1 connection"),
        (WELL, "", "serving 443 with 4 workers, 12 connections"),
        (replace(WELL, workers=1), "", "serving 443 with 1 of 4 workers, 12 connections"),
        (
            replace(WELL, problems=("the disk is full", "read-only")),
            "reload refused: server.x",
            "serving 443 with 4 workers, 12 connections; reload refused: server.x; "
            "the disk is full; read-only",
        ),
    ],
)
def test_line_says_where_with_how_many_and_what_is_wrong(
    look: Look, reload: str, line: str
) -> None:
    assert status_of(["443"], look, reload) == line


def test_line_of_a_stop_says_what_is_left() -> None:
    assert stopping_status(0, 3) == "stopping"
    assert stopping_status(2, 29.6) == "stopping: 2 connections, for 30 s at most"
    assert stopping_status(1, -1) == "stopping: 1 connection, for 0 s at most"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Listening]:
    with listening(below(tmp_path)) as found:
        yield found


@pytest.fixture
def reporter(manager: Listening) -> Iterator[Reporter]:
    """Its manager wants to be fed within 8 s."""
    with closing(take_manager(dict(manager.environment(8)))) as told:
        yield Reporter(told, places=["443"])


def test_start_asks_for_time_and_not_for_ever(reporter: Reporter, manager: Listening) -> None:
    for now in range(0, 2 * int(START_SECS_MAX), 5):
        reporter.go_round(Look(), now)
        manager.hear()

    first, *others = manager.heard
    assert first == {"STATUS": "starting"}
    assert others == [{"EXTEND_TIMEOUT_USEC": f"{int(START_EXTEND_SECS)}000000"}] * len(others)
    assert len(others) == START_SECS_MAX / START_EXTEND_SECS * 3


def test_line_is_told_when_it_changes_and_not_more_often(
    reporter: Reporter, manager: Listening
) -> None:
    reporter.ready(WELL, 0)
    said = manager.hear()
    for tenth in range(100):
        reporter.go_round(replace(WELL, connections=tenth // 2), tenth / 10)
        said += manager.hear()
    reporter.go_round(replace(WELL, connections=5), 100)
    reporter.go_round(replace(WELL, connections=5), 200)
    said = [message for message in (*said, *manager.hear(0.1)) if "STATUS" in message]

    assert said[0]["READY"] == "1"
    assert len(said) == 1 + 10 / STATUS_SECS + 1
    assert said[-1] == {"STATUS": "serving 443 with 4 workers, 5 connections"}


def test_watchdog_is_fed_only_while_all_is_well(reporter: Reporter, manager: Listening) -> None:
    reporter.ready(WELL, 0)
    assert manager.hear(0.1)[1:] == [{"WATCHDOG": "1"}]

    for now, is_well, is_fed in [
        (1, True, False),
        (2, True, True),
        (4, False, False),
        (9, False, False),
        (9.1, True, True),
        (10, True, False),
    ]:
        reporter.go_round(replace(WELL, is_well=is_well), now)
        assert ({"WATCHDOG": "1"} in manager.hear(0.02)) is is_fed, now


def test_without_a_watchdog_nothing_is_fed(manager: Listening) -> None:
    with closing(take_manager(dict(manager.environment()))) as told:
        reporter = Reporter(told)
        reporter.ready(WELL, 0)
        reporter.go_round(WELL, 100)

    assert not any("WATCHDOG" in message for message in manager.hear(0.1))


def test_stop_asks_for_the_time_of_the_drain_and_is_watched_no_more(
    reporter: Reporter, manager: Listening
) -> None:
    reporter.ready(WELL, 0)
    manager.hear(0.05)
    reporter.stopping(WELL, 10, drain_secs=120, more_secs=60)
    reporter.go_round(Look(connections=1, is_well=False), 30)
    said = manager.hear(0.1)

    assert said == [
        {
            "STOPPING": "1",
            "EXTEND_TIMEOUT_USEC": "180000000",
            "STATUS": "stopping: 12 connections, for 120 s at most",
        },
        {"WATCHDOG": "1"},
        {"STATUS": "stopping: 1 connection, for 100 s at most"},
    ]


def test_reload_is_told_with_its_outcome(reporter: Reporter, manager: Listening) -> None:
    reporter.ready(WELL, 0)
    manager.hear(0.05)
    reporter.reloading()
    reporter.reloaded("server.x: not known", WELL, 1)
    reporter.go_round(WELL, 50)
    reporter.reloading()
    reporter.reloaded(None, WELL, 60)
    said = [message for message in manager.hear(0.1) if "WATCHDOG" not in message]
    begun, refused, begun_again, taken = said

    assert begun["RELOADING"] == begun_again["RELOADING"] == "1"
    assert refused["READY"] == taken["READY"] == "1"
    assert refused["STATUS"].endswith("12 connections; reload refused: server.x: not known")
    assert "; reloaded at 2" in taken["STATUS"]


def test_reload_of_one_that_does_not_serve_is_not_told(
    reporter: Reporter, manager: Listening
) -> None:
    """A manager that hears of it after the stop would wait for it."""
    reporter.reloading()
    reporter.reloaded(None, WELL, 0)
    assert manager.hear(0.1) == []

    reporter.ready(WELL, 0)
    reporter.stopping(WELL, 1, drain_secs=1, more_secs=1)
    manager.hear(0.1)
    reporter.reloading()
    reporter.reloaded(None, WELL, 2)
    assert manager.hear(0.1) == []


def test_time_of_a_reload_is_left_out_where_the_clock_cannot_be_right(
    reporter: Reporter, manager: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.ready(WELL, 0)
    monkeypatch.setattr(time, "time", lambda: 100.0)
    reporter.reloaded(None, WELL, 1)

    assert manager.hear(0.1)[-1]["STATUS"].endswith("; reloaded")


def test_registry_is_ready_once(reporter: Reporter, manager: Listening) -> None:
    reporter.ready(WELL, 0)
    reporter.ready(WELL, 1)

    assert len([message for message in manager.hear(0.1) if "READY" in message]) == 1


def test_supervisor_mends_hanging_processes_before_the_unit_starts_all_anew() -> None:
    """All processes hang: the watchdog was fed for the last time when they were heard lately, the
    supervisor kills them after 30 s, and the next ones are ready within some seconds."""
    watchdog_secs, start_secs = 60, 10
    unfed = CHILD_SILENT_SECS_MAX - CHILD_HEARD_SECS_MAX + CHILD_BACKOFF_SECS_MIN + start_secs
    before = watchdog_secs / 4 + CHILD_HEARD_SECS_MAX

    assert unfed + before < watchdog_secs
