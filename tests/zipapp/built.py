"""The one file, as `make zipapp` has built it. Only the standard library is used."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DIST = REPOSITORY / "dist"


class NotBuilt(Exception):
    """There is no file; says how to make one."""


def one_file(machine: str | None = None) -> Path:
    """The file of a machine, this one if it is not said. Raises NotBuilt."""
    wanted = machine or os.uname().machine
    found = sorted(DIST.glob(f"angos-trio-*-{wanted}.pyz"), key=lambda each: each.stat().st_mtime)
    if not found:
        raise NotBuilt(f"there is no {DIST}/angos-trio-…-{wanted}.pyz: run `make zipapp`")
    return found[-1]
