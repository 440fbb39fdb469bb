"""Processes of this host, as /proc tells of them: who has a socket or a file open, and our name."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from angos_trio.records import Frozen
from angos_trio.telling import plain


class Holder(Frozen):
    """A process; `unit` is systemd's name for what it belongs to."""

    pid: int
    name: str
    unit: str | None

    def describe(self) -> str:
        """As it is told to the operator."""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.name} (process {self.pid}{unit})"


def holder_of(opened: str) -> Holder | None:
    """The first other process that has this open: the path of a file, or `socket:[NUMBER]`. None
    where none is seen: what processes of other users have open is root's to see."""
    for place in Path("/proc").iterdir():
        if not place.name.isdecimal() or int(place.name) == os.getpid():
            continue
        try:
            descriptors = os.listdir(place / "fd")
        except OSError:
            continue
        if any(_link(place / "fd" / name) == opened for name in descriptors):
            return Holder(int(place.name), _name_of(place), _unit_of(place))
    return None


def name_this_process(name: str) -> None:
    """Be listed under this name and not as `python`; 15 characters count (proc(5), comm)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="ascii")


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _name_of(place: Path) -> str:
    try:
        name = (place / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"
    return plain(name)


def _unit_of(place: Path) -> str | None:
    """From its control group, whose last part is the unit."""
    try:
        lines = (place / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    last = lines[-1].rpartition("/")[2] if lines else ""
    return last if last.endswith((".service", ".socket", ".scope")) else None
