"""What `shiv.toml` says, and what pip is to be told of it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The directory of the project."""
LOCK = ROOT / "packaging" / "lock.txt"
_OLDEST_GLIBC = 17
_OLDER_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True)
class Target:
    """One Python on one machine."""

    machine: str
    python: str
    glibc: str

    @property
    def environment(self) -> dict[str, str]:
        """What markers of dependencies ask about (the specification of dependency specifiers)."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    @property
    def pip_options(self) -> list[str]:
        """Which wheels fit. pip takes no platform to mean the older ones too: each is named."""
        newest = int(self.glibc.partition(".")[2])
        platforms = []
        for minor in range(newest, _OLDEST_GLIBC - 1, -1):
            platforms.append(f"manylinux_2_{minor}_{self.machine}")
            if minor in _OLDER_NAMES:
                platforms.append(f"{_OLDER_NAMES[minor]}_{self.machine}")
        tag = "cp" + self.python.replace(".", "")
        return [
            "--only-binary=:all:",
            "--implementation=cp",
            f"--python-version={self.python}",
            *(f"--abi={abi}" for abi in (tag, "abi3", "none")),
            *(f"--platform={platform}" for platform in platforms),
        ]


@dataclass(frozen=True)
class Wish:
    """The whole of `shiv.toml`."""

    name: str
    entry_point: str
    pythons: tuple[str, ...]
    glibc: str
    machines: tuple[str, ...]
    leave_out: frozenset[str]
    leave_out_files: tuple[str, ...]

    def targets(self, machine: str) -> list[Target]:
        """All Pythons on this machine."""
        return [Target(machine, python, self.glibc) for python in self.pythons]


def read_wish(path: Path = ROOT / "shiv.toml") -> Wish:
    """Read it; a key that is missing is an error."""
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return Wish(
        name=table["name"],
        entry_point=table["entry_point"],
        pythons=tuple(table["pythons"]),
        glibc=table["glibc"],
        machines=tuple(each["machine"] for each in table["target"]),
        leave_out=frozenset(table["leave_out"]),
        leave_out_files=tuple(table["leave_out_files"]),
    )
