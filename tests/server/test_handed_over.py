"""Sockets of systemd (sd_listen_fds(3)): which are taken, which are refused, and for what."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import write_config
from tests.config.documents import ARGON2ID
from tests.managed import below
from tests.managed import listening as managing
from tests.running import HOST, program

pytestmark = pytest.mark.slow
SECS_MAX = 60.0
HANDED = """
import fcntl, os, sys
count = len(sys.argv[1].split(":"))
given = [int(each) for each in sys.argv[2].split(":")]
high = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in given]
for place, each in enumerate(high):
    os.dup2(each, 3 + place, inheritable=True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count)}
os.environ["LISTEN_FDNAMES"] = sys.argv[1]
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Does what systemd does: the descriptors from 3 on, and the variables, of this very process."""


def handing(names: Sequence[str], sockets: Sequence[socket.socket], *arguments: str) -> list[str]:
    """A command that starts a registry with these."""
    for each in sockets:
        each.set_inheritable(True)
    numbers = ":".join(str(each.fileno()) for each in sockets)
    return [sys.executable, "-c", HANDED, ":".join(names), numbers, *program(), *arguments]


def serving(folder: Path, workers: int, more: str = "") -> list[str]:
    config = write_config(folder, workers=workers)
    config.write_text(f"{config.read_text()}{more}")
    return ["serve", "-c", str(config), "--data-dir", str(folder / "data")]


def listening(family: socket.AddressFamily, address: str) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind(address if family == socket.AF_UNIX else (address, 0))
    made.listen()
    return made


def refusal_of(
    folder: Path, names: Sequence[str], sockets: Sequence[socket.socket], more: str = ""
) -> str:
    """The one line that a start with these ends with."""
    command = handing(names, sockets, *serving(folder, 1, more))
    descriptors = [each.fileno() for each in sockets]
    ended = subprocess.run(
        command, pass_fds=descriptors, capture_output=True, text=True, timeout=SECS_MAX, check=False
    )
    assert ended.returncode == 1, ended
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    return line


@pytest.mark.parametrize("workers", [1, 3])
def test_all_that_are_handed_over_are_served(tmp_path: Path, workers: int) -> None:
    """IPv4, IPv6 and Unix, the probes on a socket of their own."""
    path = str(tmp_path / "requests.sock")
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(listening(socket.AF_INET, HOST)),
            stack.enter_context(listening(socket.AF_INET6, "::1")),
            stack.enter_context(listening(socket.AF_UNIX, path)),
            stack.enter_context(listening(socket.AF_INET, HOST)),
        ]
        names = ["https", "", "local", "health"]
        more = "[server.health]\nmetrics = true\n"
        command = handing(names, sockets, *serving(tmp_path, workers, more))
        descriptors = [each.fileno() for each in sockets]
        process = subprocess.Popen(command, pass_fds=descriptors, stderr=subprocess.DEVNULL)
        try:
            fourth, sixth, _, health = (each.getsockname() for each in sockets)
            with httpx.Client(timeout=SECS_MAX) as client:
                probe = f"http://{HOST}:{health[1]}"
                deadline = time.monotonic() + SECS_MAX
                while client.get(f"{probe}/readyz").status_code != 200:
                    assert time.monotonic() < deadline
                for base in (f"http://{HOST}:{fourth[1]}", f"http://[::1]:{sixth[1]}"):
                    assert client.get(f"{base}/v2/").status_code == 200
                assert client.get(f"{probe}/metrics").status_code == 200
                assert client.get(f"{probe}/v2/").status_code == 404
            with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
                assert client.get("http://localhost/v2/").status_code == 200
        finally:
            process.terminate()
            assert process.wait(SECS_MAX) == 0


def test_what_cannot_be_listened_on_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as idle, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        idle.bind((HOST, 0))
        for each in (idle, datagrams):
            line = refusal_of(tmp_path, ["https"], [each])
            assert line.startswith("angos-trio: descriptor 3 (https) was handed over, and is not a")
            assert "ListenStream=" in line


def test_name_of_health_needs_its_table(tmp_path: Path) -> None:
    with listening(socket.AF_INET, HOST) as requests, listening(socket.AF_INET, HOST) as health:
        line = refusal_of(tmp_path, ["https", "health"], [requests, health])

    assert "FileDescriptorName=health" in line
    assert "there is no [server.health]" in line


def test_metrics_are_for_this_host_also_on_a_socket_that_is_handed_over(tmp_path: Path) -> None:
    with (
        listening(socket.AF_INET, HOST) as requests,
        listening(socket.AF_INET, "0.0.0.0") as health,
    ):
        more = "[server.health]\nmetrics = true\n"
        line = refusal_of(tmp_path, ["https", "health"], [requests, health], more)

    assert "server.health.metrics" in line


def test_socket_that_others_reach_needs_a_policy(tmp_path: Path) -> None:
    with listening(socket.AF_INET, "0.0.0.0") as requests:
        line = refusal_of(tmp_path, ["https"], [requests])

    assert "[global.access_policy]" in line


def log_of(folder: Path, sockets: Sequence[socket.socket], workers: int, more: str = "") -> str:
    """What a registry with these has logged until it served and was stopped, and what it told a
    service manager."""
    command = handing(["https"] * len(sockets), sockets, *serving(folder, workers, more))
    descriptors = [each.fileno() for each in sockets]
    with managing(below(folder)) as manager:
        environment = {**os.environ, **manager.environment()}
        process = subprocess.Popen(
            command, pass_fds=descriptors, stderr=subprocess.PIPE, text=True, env=environment
        )
        try:
            status = manager.wait_for(READY="1")["STATUS"]
        finally:
            process.terminate()
            _, said = process.communicate(timeout=SECS_MAX)
    assert process.returncode == 0, said
    return f"{said}{status}"


@pytest.mark.parametrize("workers", [1, 2])
def test_unix_sockets_alone_are_named_where_it_started(tmp_path: Path, workers: int) -> None:
    path, name = str(tmp_path / "requests.sock"), f"angos-trio-test-{os.getpid()}"
    with (
        listening(socket.AF_UNIX, path) as first,
        listening(socket.AF_UNIX, f"\0{name}") as second,
    ):
        said = log_of(tmp_path, [first, second], workers)
    started = next(json.loads(line) for line in said.splitlines() if '"started"' in line)

    assert (started["host"], started["ports"]) == (None, [])
    assert started["paths"] == [path, f"@{name}"]
    assert f"serving {path}, @{name} " in said


@pytest.mark.parametrize(("host", "is_told"), [("0.0.0.0", True), (HOST, False)])
def test_passwords_in_the_clear_are_told_of_by_the_socket(
    tmp_path: Path, host: str, *, is_told: bool
) -> None:
    more = (
        f'[auth.identity.a]\nusername = "alice"\npassword = "{ARGON2ID}"\n[global.access_policy]\n'
    )
    with listening(socket.AF_INET, host) as requests:
        said = log_of(tmp_path, [requests], 1, more)

    assert (f"{host} takes passwords in the clear" in said) is is_told
