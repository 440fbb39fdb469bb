"""Other Pythons of this machine, found by their names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SECS_MAX = 30.0


def find_python(name: str) -> str | None:
    """A program of this name that runs and has TLS: on the path, or among pyenv's versions."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = [shutil.which(name, path=folder) for folder in os.get_exec_path()]
    places = [each for each in found if each is not None]
    places += map(str, sorted(pyenv.glob(f"versions/*/bin/{name}")))
    return next(filter(_runs, places), None)


def _runs(program: str) -> bool:
    try:
        done = subprocess.run(
            [program, "-I", "-c", "import ssl"],
            capture_output=True,
            timeout=SECS_MAX,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0
