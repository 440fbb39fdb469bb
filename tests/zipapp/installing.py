"""Commands of `self` in a tree that is no running system, and what is there while they work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.zipapp.starting import start

LATER = "0.9.1"


def run(
    cache: Path,
    file: Path,
    *words: str | Path,
    user: int | None = None,
    path: str = os.environ["PATH"],
) -> subprocess.CompletedProcess[str]:
    """A command of `self`."""
    environment = {"PATH": path, "SHIV_ROOT": str(cache)}
    return start(file, "self", *words, environment=environment, user=user)


def done(ended: subprocess.CompletedProcess[str]) -> str:
    """What a command that did its work has printed."""
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def refusal(ended: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one sentence of one that refused; what it did before may be told besides."""
    assert ended.returncode == code, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.strip()


def installed(tree: Path) -> Path:
    """What people type."""
    return tree / "usr" / "bin" / "angos-trio"


def version(tree: Path) -> str:
    """Which version that is."""
    ended = subprocess.run([installed(tree), "--version"], capture_output=True, text=True)
    return ended.stdout.split()[-1]


def releases(tree: Path) -> list[str]:
    """The versions that are there, leftovers too."""
    found = (tree / "usr/lib/angos-trio/releases").iterdir()
    return sorted(each.name.partition("-")[0] or each.name for each in found)


def being_made(tree: Path) -> list[Path]:
    """Releases that are not whole yet."""
    return list((tree / "usr/lib/angos-trio/releases").glob(".new-*"))


def there(tree: Path, pattern: str) -> Callable[[], bool]:
    """Whether something of that name is there; in what is being made, files come and go."""

    def look() -> bool:
        with suppress(FileNotFoundError):
            return next((tree / "usr/lib/angos-trio").glob(pattern), None) is not None
        return False

    return look


def switched(tree: Path) -> Callable[[], bool]:
    """Whether the later release is the current one."""
    current = tree / "usr/lib/angos-trio/current"
    return lambda: f"/{LATER}-" in os.readlink(current)
