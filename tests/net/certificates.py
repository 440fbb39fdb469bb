"""Certificates for tests: a small authority, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """The paths of a certificate and of its key."""

    certificate: str
    key: str


class Authority:
    """Signs certificates, and writes them below its directory."""

    def __init__(self, directory: Path, name: str = "Test CA") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._count = 0
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        built = self._builder(self._name, self._key, x509.BasicConstraints(True, None))
        signed = built.add_extension(usage, True).sign(self._key, hashes.SHA256())
        self.bundle = str(directory / f"{name}.pem")
        Path(self.bundle).write_bytes(signed.public_bytes(Encoding.PEM))

    def issue(
        self, common_name: str = "localhost", *, expired: bool = False, password: str | None = None
    ) -> Pair:
        """A pair for a server (127.0.0.1 and the name) or a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.DNSName(common_name),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        constraints = x509.BasicConstraints(False, None)
        built = self._builder(_name(common_name), key, constraints, expired=expired)
        signed = (
            built.add_extension(x509.SubjectAlternativeName(names), False)
            .add_extension(x509.ExtendedKeyUsage(usages), False)
            .sign(self._key, hashes.SHA256())
        )
        self._count += 1
        stem = self._directory / f"{common_name}-{self._count}"
        Path(f"{stem}.pem").write_bytes(signed.public_bytes(Encoding.PEM))
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        Path(f"{stem}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        )
        return Pair(f"{stem}.pem", f"{stem}.key")

    def server_context(self, pair: Pair, *, asks_clients: bool = False) -> ssl.SSLContext:
        """What a server with that pair needs; `asks_clients` wants certificates of this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if asks_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.bundle)
        return context

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        *,
        expired: bool = False,
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * DAY)
            .not_valid_after(now - DAY if expired else now + DAY)
            .add_extension(constraints, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False
            )
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
