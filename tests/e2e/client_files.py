"""Files of clients as `angos-trio client-config` prints them, where a client finds them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from angos_trio.records import replace
from tests.appliance.layout import lay_out
from tests.certificates import Authority
from tests.e2e.lab import Lab
from tests.e2e.machine import Sandbox, command
from tests.e2e.secure import NAME, Pair
from tests.running import program

_CLIENT: Final = "client"
_SHOWN: Final = re.compile(r"^ *client = .*\n", re.MULTILINE)
STRANGERS: Final = Authority("Strangers")
"""Of whom nobody here knows."""


class Place:
    """Where the files of a client are written: a copy of this machine's /etc, or a user's home.

    `way` is how they come there: an archive that is unpacked, or a script that runs.
    """

    def __init__(
        self, lab: Lab, client: str, *, home: Path | None = None, way: str = "tar"
    ) -> None:
        self.client = client
        self.root = home or lab.directory(f"{client}-place")
        self._is_user = home is not None
        self._printed = lab.directory(f"{client}-printed")
        self._way = way
        if not self._is_user:
            command("cp", "-a", "/etc", self.root)

    def mounts(self) -> Mapping[str, Path]:
        """What a sandbox takes in the place of the machine's own."""
        return {} if self._is_user else {"/etc": self.root / "etc"}

    def within(self, sandbox: Sandbox) -> Sandbox:
        """A sandbox that finds the files."""
        return replace(sandbox, mounts={**self.mounts(), **sandbox.mounts})

    def write(self, ca: Path | None, pair: Pair | None, *more: str) -> None:
        """The files of a client that trusts this authority and shows this certificate, in the place
        of those before. Without an authority it is one that nobody is from, and without a pair what
        is printed of it is taken out."""
        for folder in list(self.root.rglob("certs.d")):
            shutil.rmtree(folder)
        self._lay_out(ca, pair)
        printed = self._printed / f"files.{self._way}"
        self._ask("--format", self._way, "--output", str(printed), "--with-key", *more)
        if self._way == "tar":
            command("tar", "-x", "-C", self.root, "-f", printed)
        else:
            destination = "" if self._is_user else str(self.root)
            command("sh", printed, environment={"DESTDIR": destination, "HOME": str(self.root)})
        if pair is None:
            self._show_nothing()

    def checks(self) -> list[str]:
        """The commands that show whether it works."""
        _, _, after = self._ask("--format", "text").partition("\n# Check:\n")
        return [line.removeprefix("#").strip() for line in after.splitlines() if line]

    def _ask(self, *words: str) -> str:
        user = ("--user",) if self._is_user else ()
        place = ("--client", _CLIENT, "--host", NAME, "--pki", str(self._printed / "pki"))
        return command(*program(), "client-config", self.client, *place, *user, *words)

    def _lay_out(self, ca: Path | None, pair: Pair | None) -> None:
        pki = self._printed / "pki"
        shutil.rmtree(pki, ignore_errors=True)
        lay_out(pki, STRANGERS, {_CLIENT: STRANGERS.client(_CLIENT)})
        if ca is not None:
            shutil.copy(ca, pki / "ca.crt")
        if pair is not None:
            shutil.copy(pair[0], pki / f"clients/{_CLIENT}.crt")
            shutil.copy(pair[1], pki / f"private/clients/{_CLIENT}.key")

    def _show_nothing(self) -> None:
        for folder in self.root.rglob("certs.d"):
            for path in [*folder.rglob("*.cert"), *folder.rglob("*.key")]:
                path.unlink()
            for path in folder.rglob("hosts.toml"):
                path.write_text(_SHOWN.sub("", path.read_text()))
