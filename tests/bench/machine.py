"""What the figures depend on: the machine and its disk. Nothing here tells one machine from its
twin: no name, no address, no path."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

SYNCS = 50
IDLE_SHARE_MAX = 0.2
IDLE_SECS = 3
WAIT_SECS_MAX = 120


@dataclass(frozen=True)
class Machine:
    """`memory_gib` is all of it; `sync_ms` is a 4 KiB write made durable; `load` the mean number of
    runnable tasks in the minute before."""

    cores: int
    processor: str
    memory_gib: float
    system: str
    kernel: str
    file_system: str
    sync_ms: float
    load: float


def describe(directory: Path) -> Machine:
    """The machine, with the file system of a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    return Machine(
        cores=os.cpu_count() or 1,
        processor=_first("/proc/cpuinfo", r"^model name\s*: (.+)$"),
        memory_gib=int(_first("/proc/meminfo", r"^MemTotal: +(\d+) kB$") or 0) / (1 << 20),
        system=_first("/etc/os-release", r'^PRETTY_NAME="?([^"\n]+)"?$'),
        kernel=_leading_number(platform.release()),
        file_system=_file_system(directory),
        sync_ms=_sync_ms(directory / "sync"),
        load=load,
    )


def wait_until_idle() -> float:
    """Wait for what ran before to end: until at most a fifth of the processors' time is taken, for
    some seconds on end, and the disk has what was written. The seconds waited, at most two minutes.
    """
    begun = time.monotonic()
    os.sync()
    idle_secs = 0
    while idle_secs < IDLE_SECS and time.monotonic() - begun < WAIT_SECS_MAX:
        idle_secs = idle_secs + 1 if _busy_share(1.0) <= IDLE_SHARE_MAX else 0
    return time.monotonic() - begun


def _busy_share(secs: float) -> float:
    """How much of the processors' time is taken, also by neighbours of a virtual machine."""
    before = _jiffies()
    time.sleep(secs)
    total, idle = (after - was for after, was in zip(_jiffies(), before, strict=True))
    return 1 - idle / total if total else 0.0


def _jiffies() -> tuple[int, int]:
    """All, and idle or waiting for a disk (proc(5): fields of /proc/stat)."""
    spent = [int(word) for word in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    return sum(spent), spent[3] + spent[4]


def _first(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found[1].strip() if found else ""


def _leading_number(release: str) -> str:
    found = re.match(r"[\d.]+\d", release)
    return found[0] if found else release


def _file_system(directory: Path) -> str:
    """The type of the file system that holds the directory."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == wanted:
            return source.split()[0]
    return "unknown"


def _sync_ms(path: Path) -> float:
    taken = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for number in range(SYNCS):
            begun = time.monotonic()
            os.pwrite(descriptor, bytes(4096), number * 4096)
            os.fsync(descriptor)
            taken.append(time.monotonic() - begun)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(taken) * 1000
