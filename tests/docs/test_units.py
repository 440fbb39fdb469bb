"""The units of systemd: well-formed, as hardened as they were measured, and all in the docs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY
from tests.skips import leave_out

UNITS = REPOSITORY / "packaging" / "systemd"
FILES = sorted(path for path in UNITS.rglob("*") if path.is_file())
SECTIONED = [path for path in FILES if path.suffix in (".service", ".socket", ".timer")]
SERVICES = [path for path in SECTIONED if path.suffix == ".service"]
DROP_INS = sorted(UNITS.glob("*.d/*.conf"))
PROGRAM = "/usr/bin/python3 -I -B -X utf8 /usr/lib/angos-trio/current/angos-trio"
MAY_REPEAT = {("Service", "SystemCallFilter"), ("Service", "LoadCredential")}
SECS_MAX = 60.0

HARDENED = {
    "CapabilityBoundingSet": "",
    "NoNewPrivileges": "yes",
    "DevicePolicy": "closed",
    "KeyringMode": "private",
    "LimitCORE": "0",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "PrivateDevices": "yes",
    "PrivateMounts": "yes",
    "PrivateNetwork": "yes",
    "PrivateTmp": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHome": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RestrictAddressFamilies": "AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
}
"""What every service of ours has."""


def directives(path: Path) -> list[tuple[str, str, str]]:
    """Section, name and value of each line."""
    found, section = [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, f"{path.name}: {line}"
            found.append((section, name, value))
    return found


def of_service(path: Path) -> dict[str, str]:
    """The last value of each directive of `[Service]`."""
    return {name: value for section, name, value in directives(path) if section == "Service"}


@pytest.mark.parametrize("path", [*SECTIONED, *DROP_INS], ids=lambda path: path.name)
def test_each_directive_stands_once_and_comments_on_lines_of_their_own(path: Path) -> None:
    """systemd takes what stands behind a value for a part of it."""
    found = directives(path)
    may_repeat = set(MAY_REPEAT)
    if ("Service", "Type", "oneshot") in found:
        may_repeat.add(("Service", "ExecStart"))
    counts = Counter((section, name) for section, name, _ in found)

    assert [key for key, count in counts.items() if count > 1 and key not in may_repeat] == []
    assert [value for _, _, value in found if "#" in value or value != value.strip()] == []
    assert all(section and re.fullmatch("[A-Z][A-Za-z]+", name) for section, name, _ in found)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_every_service_is_hardened(path: Path) -> None:
    found = of_service(path)

    assert {name: found.get(name) for name in HARDENED} == HARDENED
    filters = [value for _, name, value in directives(path) if name == "SystemCallFilter"]
    assert filters == ["@system-service", "~@privileged @resources"]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_every_command_of_ours_is_the_same_program(path: Path) -> None:
    """So that an installation can put another interpreter in its place."""
    commands = [value for _, name, value in directives(path) if name.startswith("Exec")]
    ours = [command for command in commands if "angos-trio/current" in command]

    assert ours
    assert all(f"{PROGRAM} " in command for command in ours)
    assert all("PYTHON" not in value for _, _, value in directives(path)), "-I does not look at it"


def test_only_the_renewal_is_root_and_each_writes_its_own_directory() -> None:
    found = {path.stem: of_service(path) for path in SERVICES}

    assert {name: each.get("User") for name, each in found.items()} == {
        "angos-trio": "angos-trio",
        "angos-trio-backup": "angos-trio",
        "angos-trio-renew": None,
    }
    assert found["angos-trio"]["StateDirectory"] == "angos-trio"
    assert {name: each.get("ReadWritePaths") for name, each in found.items()} == {
        "angos-trio": None,
        "angos-trio-backup": "/var/backups/angos-trio",
        "angos-trio-renew": "/etc/angos-trio/pki",
    }


def test_backup_that_is_not_made_is_a_failure() -> None:
    """A condition that does not hold is none: the timer stays green."""
    found = directives(UNITS / "angos-trio-backup.service")

    assert [name for _, name, _ in found if name.startswith("Condition")] == []


def test_renewal_waits_for_no_journal() -> None:
    """Without it, or with one of an older backup, the server's certificate ends all the same."""
    key = "/etc/angos-trio/pki/private/issuing.key"
    found = directives(UNITS / "angos-trio-renew.service")
    start = of_service(UNITS / "angos-trio.service")["ExecStartPre"]

    assert [value for _, name, value in found if name.startswith("Condition")] == [key]
    assert f"test ! -e {key} ||" in start


def test_every_file_is_in_the_docs() -> None:
    text = (REPOSITORY / "docs" / "systemd.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(angos-trio[^`]*\.(?:service|socket|timer|conf))`", text))

    assert {path.relative_to(UNITS).as_posix() for path in FILES} <= named


@pytest.mark.slow
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        leave_out("systemd-analyze is not installed")
    for path in SECTIONED:
        # The program and the user are there once it is installed.
        text = path.read_text(encoding="utf-8").replace("/usr/bin/python3", "/bin/sh")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    names = [str(tmp_path / path.name) for path in SECTIONED]
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names],
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
    )
    if "Failed to" in ended.stderr and "angos-trio" not in ended.stderr:
        leave_out(f"systemd-analyze does not work here: {ended.stderr.strip()[:200]}")

    ours = [line for line in ended.stderr.splitlines() if "angos-trio" in line]
    assert ours == []
