"""Starting the one file, as whom and where it may be hard for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.skips import leave_out

NOBODY = 65534
SECS_MAX = 120


def start(
    file: Path, *arguments: str | Path, environment: Mapping[str, str], user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the file with nothing in its environment but what is given."""
    return subprocess.run(
        [file, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
        check=False,
    )


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system in memory."""
    if os.geteuid() != 0:
        leave_out("only root can mount a file system")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
