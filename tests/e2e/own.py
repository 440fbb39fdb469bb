"""The files of a registry with certificates of `angos-trio pki`, run as its commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from tests.e2e.machine import command
from tests.running import program
from tests.secure import Secure


class OwnSecure(Secure):
    """As its commands make them, in `pki` below the folder. `root` and `clients` are of no use."""

    @property
    def pki(self) -> Path:
        """The directory of the authority."""
        return self.folder / "pki"

    @property
    def ca(self) -> Path:
        """What a client trusts."""
        return self.pki / "ca.crt"

    @property
    def clients_ca(self) -> Path:
        """By whom clients are known."""
        return self.pki / "clients-ca.crt"

    def client(self, name: str = "client", **said: object) -> tuple[Path, Path]:
        """Certificate and key of a new client, who belongs to no group."""
        assert not said
        self._run("client", name)
        return self.pki / f"clients/{name}.crt", self.pki / f"private/clients/{name}.key"

    def revoke(self, name: str) -> None:
        """End the certificate of a client."""
        self._run("revoke", name)

    def issue(self) -> tuple[Path, Path]:
        """A new certificate and key of the server."""
        self._run("server", *(f"--san={name}" for name in self.names))
        return self.pki / "server.crt", self.pki / "private/server.key"

    def renew(self) -> int:
        """Renew the certificate of the server; the serial number of the new one."""
        self._run("renew", "server")
        return x509.load_pem_x509_certificate((self.pki / "server.crt").read_bytes()).serial_number

    def revocations(self) -> Sequence[str]:
        """Lines that say where the list of revoked certificates is."""
        return (f"client_crl = [{json.dumps(str(self.pki / 'clients.crl'))}]",)

    def _run(self, *words: str) -> None:
        if not self.pki.exists():
            command(*program(), "pki", "init", "--pki", self.pki)
        command(*program(), "pki", *words, "--pki", self.pki)
