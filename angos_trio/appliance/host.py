"""The host's side of a service: its user, its directories, its units, and asking systemd."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from angos_trio.appliance.layout import NAME, Layout
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import SERVICE_START_SECS_MAX
from angos_trio.pki.files import replace

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


def check_port(port: int = PORT) -> None:
    """Refuse where something else listens already. Raises OperatorError."""
    if says("is-active", SOCKET) == "active":
        return
    with socket.socket(socket.AF_INET6) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("::", port))
        except OSError as error:
            raise OperatorError(
                f"port {port}: {error.strerror}: stop what listens there (`ss -ltnp` names it), or "
                f"give the registry another port with `systemctl edit {SOCKET}`"
            ) from error


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
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
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


def owner_ids() -> tuple[int, int]:
    """The user and group of the service. Raises OperatorError."""
    try:
        found = pwd.getpwnam(NAME)
    except KeyError:
        raise OperatorError(
            f"there is no user {NAME}: run `self install --systemd` again"
        ) from None
    return found.pw_uid, found.pw_gid


def are_units_installed(layout: Layout) -> bool:
    """Whether the service was set up here."""
    return (layout.units / SERVICE).exists()


def start_service() -> None:
    """Switch the units on, and return when the registry answers. Raises OperatorError."""
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "enable", "--quiet", *STARTED])
    run(["systemctl", "start", SOCKET, RENEW_TIMER])
    restart_service()


def restart_service() -> None:
    """Start it, or start it anew; the socket keeps what connects meanwhile. Raises OperatorError
    with the last that it said."""
    run(["systemctl", "daemon-reload"])
    try:
        run(["systemctl", "restart", SERVICE], SERVICE_START_SECS_MAX)
    except OperatorError as error:
        said = last_words()
        raise OperatorError(f"{SERVICE} does not start: {said or error}") from None


def is_active() -> bool:
    """Whether the service runs."""
    return says("is-active", SERVICE) in ("active", "reloading", "activating")


def last_words() -> str:
    """The last line of the service's that is no information, from the journal; empty if none."""
    command = ["journalctl", "--quiet", "--no-pager", f"--unit={SERVICE}", "--output=cat"]
    ended = _run([*command, "--priority=err", "--lines=1", "--boot"], _SECS_MAX)
    return ended.stdout.strip() if ended is not None and ended.returncode == 0 else ""


def says(*question: str) -> str:
    """What systemctl answers; empty when there is none, or it does not answer."""
    ended = _run(["systemctl", *question], _SECS_MAX)
    return "" if ended is None else ended.stdout.strip()


def run(command: Sequence[str], secs: float = _SECS_MAX) -> None:
    """Run a command of the system to its end. Raises OperatorError with what it said."""
    ended = _run(command, secs)
    words = " ".join(command)
    if ended is None:
        raise OperatorError(f"`{words}` is not there, or was silent for {secs:.0f} seconds")
    if ended.returncode != 0:
        said = ended.stderr.strip() or ended.stdout.strip() or f"code {ended.returncode}"
        raise OperatorError(f"`{words}` failed: {said.splitlines()[0]}")


def _run(command: Sequence[str], secs: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=secs,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
