"""A test authority with its files in a folder, and contexts for servers that it vouches for."""

from __future__ import annotations

import itertools
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from tests.certificates import DAY_SECS, Authority, Issued


@dataclass(frozen=True)
class Pair:
    """The paths of a certificate and of its key."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Trust:
    """Issues pairs that are files."""

    folder: Path
    authority: Authority = field(default_factory=Authority)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def bundle(self) -> str:
        """The path of the authority's own certificate."""
        path = self.folder / "authority.pem"
        path.write_bytes(self.authority.pem)
        return str(path)

    def server(self, *names: str, is_expired: bool = False) -> Pair:
        """For this host, or for the names."""
        ends = -DAY_SECS if is_expired else DAY_SECS
        issued = self.authority.server(*names, begins_secs=-3 * DAY_SECS, ends_secs=ends)
        return self._written(issued)

    def client(self, password: str | None = None) -> Pair:
        """For a client; its key may be encrypted."""
        issued = self.authority.client()
        pair = self._written(issued)
        if password is not None:
            encryption = BestAvailableEncryption(password.encode())
            encrypted = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
            Path(pair.key).write_bytes(encrypted)
        return pair

    def context(self, pair: Pair, *, asks_clients: bool = False) -> ssl.SSLContext:
        """What a server with that pair needs; `asks_clients` wants certificates of this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if asks_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.bundle)
        return context

    def _written(self, issued: Issued) -> Pair:
        certificate, key = issued.write(self.folder, f"pair-{next(self._numbers)}")
        return Pair(str(certificate), str(key))
