"""A registry with TLS and users, for the outside suites: files, a configuration, and trust."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from angos_trio.auth.passwords import hash_password
from tests.certificates import Authority
from tests.running import HOST, free_port

USER, PASSWORD = "alice", "correct horse battery staple"


@dataclass(frozen=True)
class Secure:
    """Files below `folder` for a registry that shows a certificate for `names`.

    Clients are known by a certificate of `clients`, and one user by a password.
    """

    folder: Path
    names: Sequence[str] = (HOST, "localhost", "registry.example.test")
    has_client_ca: bool = True
    has_user: bool = True
    has_tokens: bool = False
    rules: Sequence[str] | None = None
    """Of a policy that denies by default; None is no policy."""
    probe_port: int = field(default_factory=free_port)
    root: Authority = field(default_factory=lambda: Authority("Servers"))
    clients: Authority = field(default_factory=lambda: Authority("Clients"))

    @property
    def probe(self) -> str:
        """HOST:PORT where the registry says that it is ready, without TLS."""
        return f"{HOST}:{self.probe_port}"

    @property
    def ca(self) -> Path:
        """What a client trusts; there once the configuration is written."""
        return self.folder / "ca.pem"

    @property
    def clients_ca(self) -> Path:
        """By whom clients are known."""
        return self.folder / "clients.pem"

    def client(self, name: str = "client", **said: object) -> tuple[Path, Path]:
        """Certificate and key of a new client."""
        return self.clients.client(name, **said).write(self.folder, name)

    def issue(self) -> tuple[Path, Path]:
        """Write whom to trust, and a new certificate and key of the server; these two."""
        self.ca.write_bytes(self.root.pem)
        self.clients_ca.write_bytes(self.clients.pem)
        return self.root.server(*self.names).write(self.folder, "server")

    def revocations(self) -> Sequence[str]:
        """Lines that say where lists of revoked certificates are."""
        return ()

    def write(self, *more: str) -> Path:
        """The configuration, with further TOML at its end; it and its files are written anew."""
        certificate, key = self.issue()
        lines = [
            f"[server.tls]\nserver_certificate_bundle = {_toml(certificate)}",
            f"server_private_key = {_toml(key)}",
        ]
        if self.has_client_ca:
            lines += [f"client_ca_bundle = {_toml(self.clients_ca)}", *self.revocations()]
        lines.append(f"[server.health]\nport = {self.probe_port}\nmetrics = true")
        if self.has_user:
            lines.append(f'[auth.identity.{USER}]\nusername = "{USER}"')
            lines.append(f"password = {_toml(hash_password(PASSWORD))}")
        if self.has_tokens:
            key_text = base64.b64encode(secrets.token_bytes(32)).decode()
            lines.append(f"[auth.token_service]\nsecret_key = {_toml(key_text)}")
        if self.rules is not None:
            lines.append(f'[global.access_policy]\ndefault = "deny"\nrules = {_toml(self.rules)}')
        file = self.folder / "registry.toml"
        file.write_text("\n".join([*lines, *more, ""]), encoding="utf-8")
        return file


def _toml(value: object) -> str:
    """JSON strings and lists of them are TOML."""
    return json.dumps(str(value) if isinstance(value, Path) else list(value)
                      if isinstance(value, tuple) else value)  # fmt: skip
