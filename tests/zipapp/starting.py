"""Starting the one file, as whom and where it may be hard for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.processes import family, wait_until_gone
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
def starting(file: Path, root: Path, *words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """`check`, or another command, that unpacks below a root, to be looked at meanwhile; at the end
    it and what it has started are killed."""
    started = subprocess.Popen(
        [sys.executable, file, *(words or ("check",))],
        env={"PATH": os.environ["PATH"], "SHIV_ROOT": str(root)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        kill_all(started)


def kill_all(started: subprocess.Popen[bytes]) -> None:
    """Kill what `starting` has started and its children, and return when they are gone."""
    if started.poll() is None:
        pids = family(started.pid)
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        wait_until_gone(pids)


def reached(found: Path | Callable[[], bool], started: subprocess.Popen[bytes]) -> None:
    """Return as soon as something is there, or so; what makes it must not end before."""
    is_so = found.exists if isinstance(found, Path) else found
    deadline = time.monotonic() + SECS_MAX
    while not is_so():
        assert started.poll() is None, f"ended with {started.returncode} before {found}"
        assert time.monotonic() < deadline, found
        time.sleep(0.0005)


def unpacked_by(file: Path, root: Path) -> Path:
    """The directory below a root that a file unpacks itself into."""
    with zipfile.ZipFile(file) as archive:
        build = json.loads(archive.read("about.json"))["build"]
    return root / f"{file.name}_{build}"


def half_made(target: Path) -> Path:
    """What that is called until everything is in it."""
    return target.with_name(f"{target.name}.tmp")


def names_in(file: Path) -> list[str]:
    """What is unpacked, in the order in which it is written."""
    with zipfile.ZipFile(file) as archive:
        lines = archive.read("files.sha256").decode().splitlines()
    return [line.partition("  ")[2] for line in lines]


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
