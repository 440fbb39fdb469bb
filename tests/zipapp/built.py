"""The one file, as `make zipapp` has built it. Only the standard library is used."""

from __future__ import annotations

import hashlib
import os
import zipfile
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DIST = REPOSITORY / "dist"


_PACKAGE = "site-packages/angos_trio"


class NotBuilt(Exception):
    """There is no file, or one of other sources; says how to make one."""


@cache
def one_file(machine: str | None = None) -> Path:
    """The file of a machine, this one if it is not said. Raises NotBuilt."""
    wanted = machine or os.uname().machine
    found = sorted(DIST.glob(f"angos-trio-*-{wanted}.pyz"), key=lambda each: each.stat().st_mtime)
    if not found:
        raise NotBuilt(f"there is no {DIST}/angos-trio-…-{wanted}.pyz: run `make zipapp`")
    differs = differing(found[-1])
    if differs:
        raise NotBuilt(
            f"{found[-1]} is older than the sources ({differs[0]}, {len(differs)} in all): run "
            "`make zipapp`"
        )
    return found[-1]


def differing(file: Path, repository: Path = REPOSITORY) -> list[str]:
    """What of the sources is not in a file as it is, or not any more."""
    with zipfile.ZipFile(file) as archive:
        lines = archive.read("files.sha256").decode().splitlines()
        launcher = hashlib.sha256(archive.read("__main__.py")).hexdigest()
    sums = (line.split("  ", 1) for line in lines)
    built = {name: digest for digest, name in sums if name.startswith(f"{_PACKAGE}/")}
    there = {name: _digest(path) for name, path in _sources(repository).items()}
    built["__main__.py"] = launcher
    return sorted({name for name, _ in built.items() ^ there.items()})


def _sources(repository: Path) -> dict[str, Path]:
    """What is put into a file of this repository, by its name there."""
    packaging = repository / "packaging"
    found = {"__main__.py": packaging / "zipapp" / "launcher.py"}
    # As `pyproject.toml` and `shiv.toml` have it.
    for name, folder in {
        _PACKAGE: repository / "angos_trio",
        f"{_PACKAGE}/appliance/systemd": packaging / "systemd",
    }.items():
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                found[f"{name}/{path.relative_to(folder).as_posix()}"] = path
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
