"""The clients: installed where they are missing, each with its version.

Debian's come by apt-get, in the version that Debian has; those written in Go are built at the
version of tests/pins.toml and kept in .cache.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.machine import REPOSITORY, Failure, command, require

GO_PROGRAMS = REPOSITORY / ".cache" / "go-bin"

# The Debian package of each program that is not named like its package.
PACKAGES = {"ctr": "containerd", "docker": "docker.io", "dockerd": "docker.io"}


def pins(section: str) -> dict[str, Any]:
    """One table of tests/pins.toml."""
    text = (REPOSITORY / "tests" / "pins.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)[section]
    return table


def install_debian(programs: Sequence[str]) -> None:
    """Install the packages of the programs that are missing, as root and with apt-get."""
    packages = sorted({PACKAGES.get(name, name) for name in programs if not _is_there(name)})
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Failure(f"please install {', '.join(packages)}: only root on Debian can do it here")
    print(f"installing {', '.join(packages)}", flush=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    command("apt-get", "update", environment=quiet)
    install = ("apt-get", "install", "--yes", "--no-install-recommends")
    command(*install, *packages, environment=quiet)


def _is_there(program: str) -> bool:
    """Whether Debian's program is there; one of the same name elsewhere is another program."""
    return shutil.which(program, path="/usr/bin:/usr/sbin") is not None


def debian_version(program: str) -> str:
    """The first version number that the program prints."""
    printed = command(require(program), "--version", errors_too=True)
    found = re.search(r"\d+\.\d+[\w.+~-]*", printed)
    return found[0].rstrip(".,") if found else "unknown"


def install_go(program: str) -> Path:
    """Build a program at its pin, unless it is there at that version."""
    pinned = pins("e2e")[program]
    target = GO_PROGRAMS / program
    if target.exists() and _go_version(target) == pinned["version"]:
        return target
    if shutil.which("go") is None:
        raise Failure(f"{program} is written in Go, and there is no `go` on the PATH")
    wish = f"{pinned['module']}@{pinned['version']}"
    print(f"installing {wish}", flush=True)
    GO_PROGRAMS.mkdir(parents=True, exist_ok=True)
    # On one core and behind everything else, so that nothing that runs beside it is slowed.
    command(
        *("nice", "-n", "19", "go", "install", "-p", "1", wish),
        directory=GO_PROGRAMS,
        environment={
            "GOBIN": str(GO_PROGRAMS),
            "GOWORK": "off",
            "CGO_ENABLED": "0",
            "GOMAXPROCS": os.environ.get("GOMAXPROCS", "1"),
        },
    )
    return target


def _go_version(program: Path) -> str:
    """The version of the module that a program was built from."""
    found = re.search(r"^\tmod\t\S+\t(\S+)", command("go", "version", "-m", program), re.MULTILINE)
    return found[1] if found else ""
