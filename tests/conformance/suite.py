"""What the scripts of this directory share: Go, and a place for what they fetch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parents[2]
GO_MIN = (1, 24)
CACHE = REPOSITORY / ".cache" / "conformance"


def give_up(reason: str) -> NoReturn:
    """Say why the suite did not run, and fail."""
    print(f"conformance: {reason}", file=sys.stderr)
    sys.exit(1)


def require_go() -> None:
    """Fail with a readable line when Go is missing or too old."""
    need = f"this suite is written in Go and needs Go {GO_MIN[0]}.{GO_MIN[1]} or newer"
    if shutil.which("go") is None:
        give_up(f"{need}; there is no `go` on the PATH")
    found = go("env", "GOVERSION", directory=REPOSITORY).stdout.strip()
    number = re.match(r"go(\d+)\.(\d+)", found)
    if number and (int(number[1]), int(number[2])) < GO_MIN:
        give_up(f"{need}; this is {found}")


def go(
    *arguments: str, directory: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `go` outside any module of ours; the caller looks at the exit code."""
    return subprocess.run(
        ["go", *arguments],
        cwd=directory or CACHE,
        env={**os.environ, "GOWORK": "off", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
