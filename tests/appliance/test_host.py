"""Which port it is that systemd listens on, and whether it is free."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from angos_trio.appliance.host import (
    check_ports,
    group_id,
    ports_of,
    restart_service,
    run,
    write_port,
)
from angos_trio.appliance.layout import Layout
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import (
    CHILD_STOP_SECS_MAX,
    DRAIN_SECS_MAX,
    SERVICE_START_SECS_MAX,
    START_SECS_MAX,
)


def drop_in(layout: Layout, text: str, name: str = "port.conf") -> None:
    path = layout.units / "angos-trio.socket.d" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_drop_ins_of_the_socket_say_the_port(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert ports_of(layout) == (443,)
    drop_in(layout, "[Socket]\nListenStream = 10.0.0.5:8443\n")
    assert ports_of(layout) == (443, 8443)
    drop_in(layout, "# ours\n[Socket]\nListenStream=\nListenStream=[::1]:5000\n", "z.conf")
    assert ports_of(layout) == (5000,)
    drop_in(layout, "[Socket]\nListenStream=\nListenStream=/run/registry.sock\n", "z.conf")
    assert ports_of(layout) == ()


def test_a_port_that_is_taken_is_refused_and_the_cure_works(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with socket.socket() as taken, socket.socket() as free:
        for each in (taken, free):
            each.bind(("0.0.0.0", 0))
        taken.listen()
        port = free.getsockname()[1]
        free.close()
        drop_in(layout, f"[Socket]\nListenStream=\nListenStream={taken.getsockname()[1]}\n")
        with pytest.raises(OperatorError, match=r"is taken by .* another port with --port"):
            check_ports(layout, None)
        check_ports(layout, port)
        assert write_port(layout, port) == [layout.units / "angos-trio.socket.d" / "port.conf"]
        assert write_port(layout, port) == []
        assert ports_of(layout) == (port,)
        check_ports(layout, None)


def test_the_group_is_that_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "group").write_text("root:x:0:\nangos-trio:!:977:\n\nodd\n")
    assert group_id(Layout(tmp_path)) == 977
    (tmp_path / "etc" / "group").write_text("root:x:0:\n")
    with pytest.raises(OperatorError, match="there is no group angos-trio"):
        group_id(Layout(tmp_path))


def test_command_that_cannot_run_or_says_anything_is_a_sentence(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.write_text("")
    with pytest.raises(OperatorError, match="cannot be started, or was silent"):
        run([str(closed)])
    with pytest.raises(OperatorError, match="failed: caf\N{REPLACEMENT CHARACTER}"):
        run(["sh", "-c", "printf 'caf\\351' >&2; exit 1"])


def test_service_that_does_not_start_is_told_of_with_whatever_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, script in {
        "systemctl": '[ "$1" != restart ] || { echo "Job failed." >&2; exit 1; }',
        "journalctl": r"printf 'no such file: \377.toml\n'",
    }.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(OperatorError, match=r"does not start: no such file: \ufffd\.toml$"):
        restart_service()

    (tmp_path / "journalctl").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match=r"does not start: .*Job failed"):
        restart_service()


def test_service_may_take_as_long_as_it_may_ask_systemd_for() -> None:
    stop_secs = DRAIN_SECS_MAX + 2 * CHILD_STOP_SECS_MAX

    assert stop_secs + START_SECS_MAX < SERVICE_START_SECS_MAX
