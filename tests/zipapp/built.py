"""The one file for this machine, as `make zipapp` has built it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.machine import REPOSITORY, Failure

DIST = REPOSITORY / "dist"


def one_file(machine: str | None = None) -> Path:
    """The file of a machine, this one if it is not said. Raises Failure where it is not built."""
    wanted = machine or os.uname().machine
    found = sorted(DIST.glob(f"angos-trio-*-{wanted}.pyz"), key=lambda each: each.stat().st_mtime)
    if not found:
        raise Failure(f"there is no {DIST}/angos-trio-…-{wanted}.pyz: run `make zipapp`")
    return found[-1]
