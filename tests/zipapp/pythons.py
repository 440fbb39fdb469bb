"""Pythons of this machine. `python -m tests.zipapp.pythons` prints those that run the one file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

FITTING = ("3.11", "3.12", "3.13", "3.14")
TOO_OLD = ("2.7", "3.6", "3.8", "3.10")


def pythons(*wanted: str) -> dict[str, str]:
    """Paths of Pythons on this machine, by version; no script that only stands for one."""
    found = {}
    for version in wanted:
        for path in (shutil.which(f"python{version}"), *_of_pyenv(version)):
            said, executable = ("", "") if path is None else _says(path)
            if said == version:
                found[version] = executable
                break
    return found


def _of_pyenv(version: str) -> list[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return [str(each) for each in root.glob(f"versions/{version}.*/bin/python")]


def _says(path: str) -> tuple[str, str]:
    asks = "import sys; print('%d.%d' % sys.version_info[:2] + ' ' + sys.executable)"
    ended = subprocess.run([path, "-c", asks], capture_output=True, text=True, check=False)
    version, _, executable = ended.stdout.strip().partition(" ")
    return version, executable


if __name__ == "__main__":
    if not (fitting := pythons(*FITTING)):
        sys.exit(f"no Python of {', '.join(FITTING)} is here")
    print("\n".join(fitting.values()))
