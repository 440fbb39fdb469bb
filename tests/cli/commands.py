"""Commands of the command line as an operator types them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.running import program

SECS_MAX = 60.0


def ended(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command, to its end, whatever it says; `options` are those of `subprocess.run`."""
    return subprocess.run(
        [*program(), *words],
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
        **options,
    )


def run_command(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same for the registry of a data directory."""
    return ended(*words, "--data-dir", str(data_dir))


def said(data_dir: Path, *words: str) -> str:
    """What a command prints that must pass, and complain of nothing."""
    done = run_command(data_dir, *words)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def write_config(folder: Path, *, workers: int, **of_global: object) -> Path:
    """A configuration for a registry that takes no space for itself."""
    lines = "".join(f"{key} = {value}\n" for key, value in of_global.items())
    path = folder / "registry.toml"
    path.write_text(
        f"[global]\nmin_free_space = 0\n{lines}[server]\nworkers = {workers}\n"
        "[blob_store.fs]\nballast = 0\n"
    )
    return path
