"""The host's side of a service: its user, its directories, its units, and asking systemd."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from angos_trio.appliance.layout import NAME, Layout
from angos_trio.clock import wall_seconds
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import SERVICE_START_SECS_MAX
from angos_trio.net.listeners import in_the_way, listeners_here, who_has
from angos_trio.pki.files import make_directory, replace

SERVICE: Final = f"{NAME}.service"
SOCKET: Final = f"{NAME}.socket"
RENEW_TIMER: Final = f"{NAME}-renew.timer"
STARTED: Final = (SOCKET, SERVICE, RENEW_TIMER)
"""What `self install --systemd` switches on."""
PORT: Final = 443
_PYTHON: Final = "/usr/bin/python3"
"""The interpreter that the units name where no other is put in its place."""
_SHIPPED: Final = (
    Path(__file__).with_name("systemd"),
    Path(__file__).parents[2] / "packaging" / "systemd",
)
"""Where units are: in the one file, and in the sources."""
_HOMES: Final = ("/home", "/root", "/run/user")
"""What `ProtectHome` hides from the service."""
_SECS_MAX: Final = 60.0
_JOURNAL_SECS: Final = 0.5
REFUSED: Final = "refused to start: "
"""How the status begins of a service that says why it does not start."""


def check_host(layout: Layout) -> None:
    """Refuse where no service can be set up. Raises OperatorError."""
    if os.geteuid() != 0:
        raise OperatorError("a service is set up by root: run this with sudo, or as root")
    if layout.root == Path("/") and not Path("/run/systemd/system").is_dir():
        raise OperatorError(
            "this host was not started by systemd: leave --systemd away, and start "
            "`angos-trio serve -c FILE` by what looks after services here"
        )
    python = os.path.realpath(sys.executable)
    if python.startswith(_HOMES):
        raise OperatorError(
            f"this Python is {python}, and a service does not see home directories: run this with "
            "a Python of the system, such as /usr/bin/python3"
        )


def ports_of(layout: Layout) -> tuple[int, ...]:
    """Where systemd listens for the registry: on 443, or where a drop-in of its socket says."""
    found = [PORT]
    for drop_in in sorted((layout.units / f"{SOCKET}.d").glob("*.conf")):
        for line in drop_in.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = (part.strip() for part in line.partition("="))
            if name == "ListenStream" and not value:
                found = []
            elif name == "ListenStream":
                port = value.rpartition(":")[2]
                found += [int(port)] if port.isascii() and port.isdecimal() else []
    return tuple(found)


def check_ports(layout: Layout, wanted: int | None) -> None:
    """Refuse where something else listens already. Raises OperatorError."""
    is_active = says("is-active", SOCKET) == "active"
    for port in ports_of(layout) if wanted is None else (wanted,):
        if is_active and port in ports_of(layout):
            continue
        here = listeners_here()
        taken = [each for host in ("::", "0.0.0.0") for each in in_the_way(here, host, port)]
        if taken:
            holder = who_has(taken[0])
            whom = holder.describe() if holder else "another program"
            raise OperatorError(
                f"port {port} is taken by {whom}: stop that, or give the registry another port "
                "with --port"
            )


def write_port(layout: Layout, port: int) -> list[Path]:
    """Write the drop-in by which systemd listens on another port; for 443 only over an earlier
    one."""
    path = layout.units / f"{SOCKET}.d" / "port.conf"
    if port == PORT and not path.exists():
        return []
    return _write_drop_in(path, f"[Socket]\nListenStream=\nListenStream={port}\n".encode())


def write_outbound(layout: Layout) -> list[Path]:
    """Write the drop-in that lets the service open connections."""
    path = layout.units / f"{SERVICE}.d" / "outbound.conf"
    return _write_drop_in(path, outbound_drop_in().encode())


def _write_drop_in(path: Path, content: bytes) -> list[Path]:
    if path.exists() and path.read_bytes() == content:
        return []
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace(path, content, 0o644)
    return [path]


def write_units(layout: Layout) -> list[Path]:
    """Write units, user and directories as this release wants them; those that are new or changed.

    What `systemctl edit` has written beside them stays.
    """
    written = []
    for source, target in _wanted(layout):
        content = source.read_bytes()
        if sys.executable != _PYTHON:
            content = content.replace(f"{_PYTHON} ".encode(), f"{sys.executable} ".encode())
        if not target.exists() or target.read_bytes() != content:
            make_directory(target.parent, 0o755)
            replace(target, content, 0o644)
            written.append(target)
    return written


def _wanted(layout: Layout) -> list[tuple[Path, Path]]:
    shipped = next((each for each in _SHIPPED if each.is_dir()), None)
    if shipped is None:
        raise OperatorError("this file has no units in it: build it anew with `make zipapp`")
    units = sorted(
        each for each in shipped.iterdir() if each.suffix in (".service", ".socket", ".timer")
    )
    etc = layout.root / "etc"
    return [
        *((unit, layout.units / unit.name) for unit in units),
        (shipped / f"{NAME}.sysusers.conf", etc / "sysusers.d" / f"{NAME}.conf"),
        (shipped / f"{NAME}.tmpfiles.conf", etc / "tmpfiles.d" / f"{NAME}.conf"),
    ]


def outbound_drop_in() -> str:
    """What lets the service reach other hosts."""
    for each in _SHIPPED:
        found = each / f"{SERVICE}.d" / "outbound.conf"
        if found.exists():
            return found.read_text(encoding="utf-8")
    raise OperatorError("this file has no units in it: build it anew with `make zipapp`")


def make_user_and_directories(layout: Layout) -> None:
    """As `sysusers.d` and `tmpfiles.d` say. Raises OperatorError."""
    root = [] if layout.root == Path("/") else [f"--root={layout.root}"]
    run(["systemd-sysusers", *root, f"{NAME}.conf"])
    run(["systemd-tmpfiles", *root, "--create", f"{NAME}.conf"])


def group_id(layout: Layout) -> int:
    """The group of the service, as the system knows it that it will run on. Raises OperatorError
    and OSError."""
    if layout.root == Path("/"):
        with suppress(KeyError):
            return grp.getgrnam(NAME).gr_gid
    else:
        for line in (layout.root / "etc" / "group").read_text(encoding="utf-8").splitlines():
            name, _, number, *_ = (*line.split(":"), "", "", "")
            if name == NAME and number.isdecimal():
                return int(number)
    raise OperatorError(f"there is no group {NAME}: run `self install --systemd` again")


def are_units_installed(layout: Layout) -> bool:
    """Whether the service was set up here."""
    return (layout.units / SERVICE).exists()


def enable_service(layout: Layout) -> None:
    """Let the service start with its system. Raises OperatorError."""
    root = [] if layout.root == Path("/") else [f"--root={layout.root}"]
    run(["systemctl", *root, "enable", "--quiet", *STARTED])


def start_service(layout: Layout, *, is_socket_new: bool) -> None:
    """Switch the units on, and return when the registry answers; `is_socket_new`: systemd has to
    listen somewhere else now. Raises OperatorError."""
    run(["systemctl", "daemon-reload"])
    enable_service(layout)
    run(["systemctl", "start", SOCKET, RENEW_TIMER])
    if is_socket_new:
        run(["systemctl", "restart", SOCKET])
    restart_service()


def restart_service() -> None:
    """Start it, or start it anew; the socket keeps what connects meanwhile. Raises OperatorError
    with the last that it said."""
    run(["systemctl", "daemon-reload"])
    begun = wall_seconds()
    try:
        run(["systemctl", "restart", SERVICE], SERVICE_START_SECS_MAX)
    except OperatorError as error:
        said = last_words(begun)
        raise OperatorError(f"{SERVICE} does not start: {said or error}") from None


def is_active() -> bool:
    """Whether the service runs."""
    return says("is-active", SERVICE) in ("active", "reloading", "activating")


def last_words(since: int) -> str:
    """Why the service did not start after a time (epoch seconds): what it told systemd, or wrote
    last, or else the last error that systemd tells of it. Empty if there is nothing."""
    told = says("show", "--value", "--property=StatusText", SERVICE)
    if told.startswith(REFUSED):
        return told.removeprefix(REFUSED)
    command = ["journalctl", "--quiet", "--no-pager", "--boot", f"--since=@{since}"]
    own = [f"_SYSTEMD_UNIT={SERVICE}", "_TRANSPORT=stdout"]
    own.append(f"SYSLOG_IDENTIFIER={Path(sys.executable).name}")
    for which in (own, own, [f"--unit={SERVICE}", "--priority=err"]):
        time.sleep(_JOURNAL_SECS)  # it takes what a process has written when it has time
        ended = _run([*command, "--output=cat", "--lines=1", *which], _SECS_MAX)
        if ended is not None and ended.returncode == 0 and ended.stdout.strip():
            return ended.stdout.strip().splitlines()[-1].removeprefix(f"{NAME}: ")
    return ""


def main_pid() -> str:
    """The process of the service; `0` when it does not run."""
    return says("show", "--value", "--property=MainPID", SERVICE) or "0"


def says(*question: str) -> str:
    """What systemctl answers; empty when there is none, or it does not answer."""
    ended = _run(["systemctl", *question], _SECS_MAX)
    return "" if ended is None else ended.stdout.strip()


def run(command: Sequence[str], secs: float = _SECS_MAX) -> None:
    """Run a command of the system to its end. Raises OperatorError with what it said."""
    ended = _run(command, secs)
    words = " ".join(command)
    if ended is None:
        raise OperatorError(f"`{words}` cannot be started, or was silent for {secs:.0f} seconds")
    if ended.returncode != 0:
        said = ended.stderr.strip() or ended.stdout.strip() or f"code {ended.returncode}"
        raise OperatorError(f"`{words}` failed: {said.splitlines()[0]}")


def _run(command: Sequence[str], secs: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # a line of the journal may be anything
            timeout=secs,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
