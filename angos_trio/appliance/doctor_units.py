"""systemd: whether it is there, and how the registry's units are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from angos_trio.appliance.doctor import Finding, bad, note, ok, warn
from angos_trio.limits.appliance import UNITS_SECS_MAX

SERVICE: Final = "angos-trio.service"
SOCKET: Final = "angos-trio.socket"
_ASKED: Final = (
    "LoadState,ActiveState,SubState,UnitFileState,DropInPaths,Result,ExecMainStatus,NRestarts,"
    "StatusText,NeedDaemonReload,Listen,User"
)
_PLACE: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9.]+):([0-9]{1,5}) \(Stream\)")
_VERSION_MIN: Final = 247
"""The first with LoadCredential."""
Unit = Mapping[str, str]
"""What `systemctl show` says of a unit."""


class NoSystemd(Exception):
    """There is none, or it does not answer; says why."""


def has_systemd() -> bool:
    """Whether systemd runs this host (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def ask_systemd(*words: str) -> str:
    """What systemctl says. Raises NoSystemd."""
    if not has_systemd():
        raise NoSystemd("systemd does not run here: start angos-trio serve by other means")
    try:
        ended = subprocess.run(
            ["systemctl", *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=UNITS_SECS_MAX,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise NoSystemd(f"systemd does not answer within {UNITS_SECS_MAX:.0f} s") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or f"code {error.returncode}"
        raise NoSystemd(f"systemctl {words[0]} failed: {reason}") from None
    except OSError as error:
        raise NoSystemd(f"systemctl cannot be started: {error.strerror}") from None
    return ended.stdout


def parse_unit(text: str) -> dict[str, str]:
    """The lines `NAME=VALUE` of a unit; of several lines with a name all values."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator:
            found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def unit(name: str) -> Unit:
    """A unit, installed or not. Raises NoSystemd."""
    return parse_unit(ask_systemd("show", "--property", _ASKED, name))


def judge_version(text: str) -> Iterator[Finding]:
    """From the first line of `systemctl --version`."""
    words = text.split()
    number = words[1] if len(words) > 1 and words[0] == "systemd" else ""
    if not number.isdecimal():
        yield note("systemd does not tell its version")
    elif int(number) < _VERSION_MIN:
        yield warn(
            f"systemd {number} is older than {_VERSION_MIN}: it cannot hand keys over",
            "name the files of certificates by their paths in server.tls",
        )
    else:
        yield ok(f"systemd {number}")


def judge_unit(name: str, found: Unit) -> Iterator[Finding]:
    """How a unit is."""
    if found.get("LoadState") in ("not-found", None, ""):
        yield note(f"{name} is not installed", "angos-trio self install --systemd installs it")
        return
    if found["LoadState"] != "loaded":
        yield bad(
            f"{name} is {found['LoadState']}", f"systemctl status {name} says what is wrong with it"
        )
        return
    state = f"{name} is {found.get('ActiveState', '?')} ({found.get('SubState', '?')})"
    if _fails(found):
        reason, code = found.get("Result", "?"), found.get("ExecMainStatus", "")
        yield bad(
            f"{state}: {reason}{f', code {code}' if code else ''}",
            f"journalctl -u {name} -n 20 says why; then systemctl restart {name}",
        )
    elif found.get("ActiveState") == "active":
        said = found.get("StatusText")
        yield ok(f"{state}{f': {said}' if said else ''}")
    else:
        yield note(state, f"systemctl enable --now {name} starts it")
    yield from _judge_file(name, found)


def _fails(found: Unit) -> bool:
    """Whether it failed, or does so again and again: between two tries it is being activated."""
    active, sub = found.get("ActiveState"), found.get("SubState", "")
    tries_again = active == "activating" and found.get("Result", "success") not in ("success", "")
    return active == "failed" or sub.startswith("auto-restart") or tries_again


def _judge_file(name: str, found: Unit) -> Iterator[Finding]:
    if found.get("NeedDaemonReload") == "yes":
        yield warn(f"{name} was changed on disk and not read since", "systemctl daemon-reload")
    if found.get("UnitFileState") in ("disabled", "masked"):
        yield note(
            f"{name} is {found['UnitFileState']}: it does not start with the host",
            f"systemctl enable {name}",
        )
    if drop_ins := found.get("DropInPaths"):
        yield note(f"{name} is changed by {', '.join(drop_ins.split())}")
    if (restarts := found.get("NRestarts", "0")) not in ("0", ""):
        yield note(f"{name} was started anew {restarts} times since it was started by hand")


def look_at_units() -> Iterator[Finding]:
    """systemd, the socket and the service."""
    try:
        yield from judge_version(ask_systemd("--version"))
        for name in (SOCKET, SERVICE):
            yield from judge_unit(name, unit(name))
    except NoSystemd as why:
        yield note(str(why))


def places_of(found: Unit) -> list[tuple[str, int]]:
    """Hosts and ports of a socket's unit; without its Unix sockets."""
    matches = map(_PLACE.fullmatch, found.get("Listen", "").splitlines())
    return [(match[1].strip("[]"), int(match[2])) for match in matches if match]


def user_of_service() -> str | None:
    """As whom the installed service runs; None where it is not installed, or nobody knows."""
    try:
        found = unit(SERVICE)
    except NoSystemd:
        return None
    return user_of(found)


def user_of(found: Unit) -> str | None:
    """The user of a service, which is root where it says nothing; None for a unit that is not
    there."""
    return found.get("User") or "root" if found.get("LoadState") == "loaded" else None


def places_of_socket() -> list[tuple[str, int]]:
    """Where systemd listens for the registry; none where it does not, or nobody knows."""
    try:
        return places_of(unit(SOCKET))
    except NoSystemd:
        return []


def listens_for_us() -> bool:
    """Whether the registry's socket of systemd is active; False where nobody knows."""
    try:
        return unit(SOCKET).get("ActiveState") == "active"
    except NoSystemd:
        return False
