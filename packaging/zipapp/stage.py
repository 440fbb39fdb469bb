"""What goes into the file: the distributions of the lock for each Python, laid over each other.

Compiled modules carry the Python in their names, so those of several stand side by side. Every
other file must be the same for all, or the build fails.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

from targets import LOCK, ROOT, Target, Wish

_DIFFERS_BY_TAG = "*.dist-info/WHEEL"
"""It says which Pythons a wheel is for: that of the first stays."""


class StageError(Exception):
    """Two Pythons want different content of one file."""


def make_wheel(folder: Path) -> Path:
    """The program itself as a wheel."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(ROOT)]
    subprocess.run([*command, *options], check=True)
    (wheel,) = folder.glob("angos_trio-*.whl")
    return wheel


def stage(wish: Wish, machine: str, folder: Path, wheel: Path) -> None:
    """Fill a folder with what stands in `site-packages` of the file. Raises StageError."""
    site_packages = folder / "site-packages"
    shutil.copytree(_others(wish, machine), site_packages)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "own")
    _lay_over(folder / "own", site_packages, wish)


def _others(wish: Wish, machine: str) -> Path:
    """The distributions of others: made once, until the lock or the wish changes."""
    told = hashlib.sha256(LOCK.read_bytes() + repr((wish, machine)).encode()).hexdigest()
    made = ROOT / ".cache" / "zipapp" / f"{machine}-{told[:16]}"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.parent) as folder:
            whole = Path(folder) / "whole"
            for target in wish.targets(machine):
                one = Path(folder) / f"python{target.python}"
                _install(target, one)
                _lay_over(one, whole, wish)
            whole.rename(made)
    return made


def _install(target: Target, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-compile", f"--target={folder}", *target.pip_options]
    locked = ["--require-hashes", f"--requirement={LOCK}"]
    subprocess.run([*command, *options, *locked], check=True)


def _lay_over(source: Path, site_packages: Path, wish: Wish) -> None:
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_dir() or any(fnmatchcase(name, each) for each in wish.leave_out_files):
            continue
        target = site_packages / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        elif not fnmatchcase(name, _DIFFERS_BY_TAG) and target.read_bytes() != path.read_bytes():
            raise StageError(f"{name} differs between Pythons ({source.name} and an earlier one)")
