"""Where things are on a host that has the program installed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from angos_trio.records import Frozen

NAME: Final = "angos-trio"
"""Of the program, its user, its group and its units."""
DATA: Final = Path("/var/lib") / NAME
"""The data directory of the service, as its own system calls it."""


class Layout(Frozen):
    """Paths below a root: `/`, or the tree of a system that is being made."""

    root: Path = Path("/")

    @property
    def library(self) -> Path:
        """What belongs to the program; only root writes here."""
        return self.root / "usr/lib" / NAME

    @property
    def releases(self) -> Path:
        """A directory for each release: the file, and `files/`, what was unpacked of it."""
        return self.library / "releases"

    @property
    def current(self) -> Path:
        """A link to the release that runs."""
        return self.library / "current"

    @property
    def previous(self) -> Path:
        """A link to the release that ran before."""
        return self.library / "previous"

    @property
    def command(self) -> Path:
        """What people type."""
        return self.root / "usr/bin" / NAME

    @property
    def settings(self) -> Path:
        """Configuration and certificates."""
        return self.root / "etc" / NAME

    @property
    def configuration(self) -> Path:
        """The configuration that the service reads."""
        return self.settings / "config.toml"

    @property
    def pki(self) -> Path:
        """The authority and what it issued."""
        return self.settings / "pki"

    @property
    def units(self) -> Path:
        """Units of systemd that an administrator installs."""
        return self.root / "etc/systemd/system"
