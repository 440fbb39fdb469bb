"""A registry whose certificates, and those of its clients, are of `angos-trio pki`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.lab import Lab
from tests.e2e.machine import command
from tests.e2e.secure import NAME, Pair
from tests.running import program
from tests.secure import Secure


@dataclass(frozen=True)
class OwnAuthority(Secure):
    """The same, with an authority of our own below `folder`."""

    @property
    def pki(self) -> Path:
        """Its directory, made when it is asked for first."""
        directory = self.folder / "pki"
        if not directory.exists():
            self._pki(directory, "init")
            names = [word for name in self.names for word in ("--san", name)]
            self._pki(directory, "server", *names)
        return directory

    @property
    def ca(self) -> Path:
        return self.pki / "ca.crt"

    def client(self, name: str = "client", **said: object) -> Pair:
        if said:
            raise ValueError("pki knows none of this")
        self._pki(self.pki, "client", name)
        return self.pki / f"clients/{name}.crt", self.pki / f"private/clients/{name}.key"

    def revoked(self, name: str) -> Pair:
        """A client whose certificate does not count any more."""
        pair = self.client(name)
        self._pki(self.pki, "revoke", name)
        return pair

    def tls_lines(self) -> Sequence[str]:
        files = {
            "server_certificate_bundle": "server.crt",
            "server_private_key": "private/server.key",
            "client_ca_bundle": "clients-ca.crt",
        }
        lines = [f"{key} = {json.dumps(str(self.pki / name))}" for key, name in files.items()]
        return [
            "[server.tls]",
            *lines,
            f"client_crl = [{json.dumps(str(self.pki / 'clients.crl'))}]",
        ]

    def _pki(self, directory: Path, *words: str) -> None:
        command(*program(), "pki", *words, "--pki", directory)


def make_own(lab: Lab, name: str, **wanted: Any) -> OwnAuthority:
    """The files of a registry with an authority of its own, in a directory of its own."""
    return OwnAuthority(lab.directory(f"{name}/files"), names=(NAME,), **wanted)
