"""`angos-trio pki doctor`: what files are, and who will refuse them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from angos_trio.cli.telling import plain
from angos_trio.clock import epoch_seconds
from angos_trio.pki.describing import describe
from angos_trio.pki.inspecting import inspect
from angos_trio.pki.keeping import PkiDirectory


def doctor(parsed: argparse.Namespace) -> int:
    """Say what is wrong with files, or with the directory; 1 when somebody will refuse it."""
    now = epoch_seconds()
    if parsed.files:
        return _of_files(list(map(Path, parsed.files)), now)
    directory = PkiDirectory(Path(os.path.abspath(parsed.pki)))
    found = inspect(directory, now)
    for path, finding in found:
        print(f"{plain(str(path))}: {plain(str(finding))}")
    if not found:
        print(f"{directory.root}: nothing is wrong")
    return 1 if any(finding.who is not None for _, finding in found) else 0


def _of_files(paths: list[Path], now: int) -> int:
    described = describe(paths, now)
    for each in described:
        for line in each.what:
            print(f"{plain(str(each.path))}: {plain(line)}")
        for finding in each.findings:
            print(f"  {plain(str(finding))}")
        if not each.findings:
            print("  nothing is wrong with it")
    return 1 if any(each.is_refused for each in described) else 0
