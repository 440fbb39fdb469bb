"""The host's side of a service: its user, its directories, its units, and asking systemd."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from angos_trio.appliance import doctor_units
from angos_trio.appliance.doctor_units import places_of_socket
from angos_trio.appliance.layout import NAME, Layout
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import SERVICE_START_SECS_MAX
from angos_trio.net.listeners import in_the_way, listeners_here, who_has
from angos_trio.pki.files import replace

SERVICE: Final = doctor_units.SERVICE
SOCKET: Final = doctor_units.SOCKET
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


def port_of(wanted: int | None) -> int:
    """The port that was asked for, else that of the socket's unit, else 443."""
    there = [port for _, port in places_of_socket()]
    return wanted or next(iter(there), PORT)


def check_port(port: int) -> None:
    """Refuse where something else listens already. Raises OperatorError."""
    is_ours = port in [each for _, each in places_of_socket()]
    if is_ours and says("is-active", SOCKET) == "active":
        return
    here = listeners_here()
    taken = [each for host in ("::", "0.0.0.0") for each in in_the_way(here, host, port)]
    if taken:
        holder = who_has(taken[0])
        whom = holder.describe() if holder else "another program"
        raise OperatorError(
            f"port {port} is taken by {whom}: stop that, or give the registry another port with "
            "--port"
        )


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


def _shipped() -> Path:
    shipped = next((each for each in _SHIPPED if each.is_dir()), None)
    if shipped is None:
        raise OperatorError("this file has no units in it: build it anew with `make zipapp`")
    return shipped


def _wanted(layout: Layout) -> list[tuple[Path, Path]]:
    shipped = _shipped()
    units = sorted(
        each for each in shipped.iterdir() if each.suffix in (".service", ".socket", ".timer")
    )
    etc = layout.root / "etc"
    return [
        *((unit, layout.units / unit.name) for unit in units),
        (shipped / f"{NAME}.sysusers.conf", etc / "sysusers.d" / f"{NAME}.conf"),
        (shipped / f"{NAME}.tmpfiles.conf", etc / "tmpfiles.d" / f"{NAME}.conf"),
    ]


def write_outbound(layout: Layout) -> list[Path]:
    """Write the drop-in that lets the service reach other hosts; it stays until it is removed."""
    source = _shipped() / f"{SERVICE}.d" / "outbound.conf"
    return _write_drop_in(layout.units / f"{SERVICE}.d" / source.name, source.read_bytes())


def write_port(layout: Layout, port: int) -> list[Path]:
    """Write the drop-in by which systemd listens on another port; for 443 only over an earlier
    one."""
    path = layout.units / f"{SOCKET}.d" / "port.conf"
    if port == PORT and not path.exists():
        return []
    return _write_drop_in(path, f"[Socket]\nListenStream=\nListenStream={port}\n".encode())


def _write_drop_in(path: Path, content: bytes) -> list[Path]:
    if path.exists() and path.read_bytes() == content:
        return []
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace(path, content, 0o644)
    return [path]


def make_user_and_directories(layout: Layout) -> None:
    """As `sysusers.d` and `tmpfiles.d` say. Raises OperatorError."""
    root = [] if layout.root == Path("/") else [f"--root={layout.root}"]
    run(["systemd-sysusers", *root, f"{NAME}.conf"])
    run(["systemd-tmpfiles", *root, "--create", f"{NAME}.conf"])


def group_id(layout: Layout) -> int:
    """The group of the service, which is another one in another tree. Raises OperatorError."""
    groups = layout.root / "etc/group"
    for line in groups.read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(":")
        number = rest.split(":")[1] if rest.count(":") else ""
        if name == NAME and number.isdecimal():
            return int(number)
    raise OperatorError(f"{groups} has no group {NAME}: run `self install --systemd` again")


def are_units_installed(layout: Layout) -> bool:
    """Whether the service was set up here."""
    return (layout.units / SERVICE).exists()


def enable_service(layout: Layout) -> None:
    """Let the units start with the host. Raises OperatorError."""
    root = [] if layout.root == Path("/") else [f"--root={layout.root}"]
    run(["systemctl", *root, "enable", "--quiet", *STARTED])


def start_service(*, is_socket_new: bool) -> None:
    """Start the units, and return when the registry answers; `is_socket_new`: systemd has to listen
    somewhere else now. Raises OperatorError."""
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "start", SOCKET, RENEW_TIMER])
    if is_socket_new:
        run(["systemctl", "restart", SOCKET])
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


def places() -> str:
    """Where systemd listens, in words."""
    found = [
        f"port {port}" if address == "::" else f"{address} port {port}"
        for address, port in places_of_socket()
    ]
    return ", ".join(found) or "its socket"


def last_words() -> str:
    """The last line that the service's first process has said, from the journal; empty if none."""
    pid = says("show", "--property=ExecMainPID", "--value", SERVICE)
    command = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=1", "--boot"]
    ended = _run([*command, f"_SYSTEMD_UNIT={SERVICE}", f"_PID={pid}"], _SECS_MAX)
    said = ended.stdout.strip() if ended is not None and ended.returncode == 0 else ""
    return said.removeprefix(f"{NAME}: ")


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
