"""The clients: installed where they are missing, each with its version.

Debian's come by apt-get, in the version that Debian has; those written in Go are built at the
version of tests/pins.toml and kept in .cache, and so are packages of npm and of PyPI.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.machine import REPOSITORY, Failure, command, require
from tests.pins import pins

GO_PROGRAMS = REPOSITORY / ".cache" / "go-bin"
NPM_PACKAGES = REPOSITORY / ".cache" / "npm"
PYPI_PACKAGES = REPOSITORY / ".cache" / "pypi"

# The Debian package of each program that is not named like its package.
PACKAGES = {
    "certutil": "libnss3-tools",
    "ctr": "containerd",
    "docker": "docker.io",
    "dockerd": "docker.io",
    "htpasswd": "apache2-utils",
    "ip": "iproute2",
    "node": "nodejs",
    "pk12util": "libnss3-tools",
    "systemd-nspawn": "systemd-container",
}


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


def path_with_go_programs() -> str:
    """A PATH on which the programs that were built are found, too."""
    return f"{GO_PROGRAMS}{os.pathsep}{os.environ['PATH']}"


def _go_version(program: Path) -> str:
    """The version of the module that a program was built from."""
    found = re.search(r"^\tmod\t\S+\t(\S+)", command("go", "version", "-m", program), re.MULTILINE)
    return found[1] if found else ""


def npm_package(package: str) -> Path:
    """Where a package of npm is, or would be, at its pin."""
    home = NPM_PACKAGES / f"{package}-{pins('npm')[package]}"
    return home / "node_modules" / package


def install_npm(package: str) -> str:
    """Install a package with what it needs and what runs it, unless it is there; its version."""
    version: str = pins("npm")[package]
    home = npm_package(package).parents[1]
    programs = ["node"] if home.exists() else ["node", "npm"]
    if not all(map(shutil.which, programs)):
        install_debian(programs)
    if not home.exists():
        print(f"installing {package}@{version}", flush=True)
        partial = NPM_PACKAGES / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        command(require("npm"), "install", *quiet, f"{package}@{version}", directory=partial)
        partial.rename(home)
    return version


def pypi_program(package: str) -> Path:
    """Where the program of a package of PyPI is, or would be, at its pin."""
    return PYPI_PACKAGES / f"{package}-{pins('e2e-pypi')[package]}" / "bin" / package


def install_pypi(package: str) -> str:
    """Install a package in a virtual environment of its own, unless it is there; its version. What
    it needs may not fit what the registry needs."""
    version: str = pins("e2e-pypi")[package]
    program = pypi_program(package)
    if not program.exists():
        home = program.parents[1]
        print(f"installing {package}=={version}", flush=True)
        command(sys.executable, "-m", "venv", "--clear", home)
        quiet = ("--quiet", "--disable-pip-version-check")
        command(home / "bin" / "python", "-m", "pip", "install", *quiet, f"{package}=={version}")
    return version
