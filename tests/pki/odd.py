"""Certificates as others make them: each lacks something, or has too much."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
CODE = (ExtendedKeyUsageOID.CODE_SIGNING,)


@dataclass
class Odd:
    """What a certificate says; None leaves an extension out."""

    name: str | None = "odd"
    issuer: Odd | None = None
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    is_authority: bool = False
    constraints_critical: bool | None = True
    usage: Sequence[str] | None = ("digital_signature",)
    purposes: Sequence[x509.ObjectIdentifier] | None = SERVER
    names: Sequence[x509.GeneralName] | None = (x509.DNSName("registry.lab"),)
    names_critical: bool = False
    identifier: bool | None = False
    """Whether it is critical."""
    authority_identifier: bool | None = False
    begins_days: float = -1
    ends_days: float = 90
    path_length: int | None = None

    def made(self) -> x509.Certificate:
        """The certificate, each time another one."""
        signer = self.issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(signer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + datetime.timedelta(days=self.begins_days))
            .not_valid_after(NOW + datetime.timedelta(days=self.ends_days))
        )
        for extension, critical in self._extensions(signer):
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer.key, hashes.SHA256())

    @property
    def subject(self) -> x509.Name:
        """Its name."""
        named = () if self.name is None else (x509.NameAttribute(NameOID.COMMON_NAME, self.name),)
        return x509.Name(named)

    def _extensions(self, signer: Odd) -> list[tuple[x509.ExtensionType, bool]]:
        found: list[tuple[x509.ExtensionType, bool]] = []
        if self.constraints_critical is not None:
            constraints = x509.BasicConstraints(self.is_authority, self.path_length)
            found.append((constraints, self.constraints_critical))
        if self.usage is not None:
            found.append((usage_of(self.usage), True))
        if self.purposes is not None:
            found.append((x509.ExtendedKeyUsage(self.purposes), False))
        if self.names is not None:
            found.append((x509.SubjectAlternativeName(self.names), self.names_critical))
        if self.identifier is not None:
            own = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
            found.append((own, self.identifier))
        if self.authority_identifier is not None and signer is not self:
            above = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
            found.append((above, self.authority_identifier))
        return found


def authority(name: str = "odd root", **said: Any) -> Odd:
    """A good authority, but for what is said of it."""
    good: dict[str, Any] = {
        "is_authority": True,
        "usage": ("key_cert_sign", "crl_sign"),
        "purposes": None,
        "names": None,
        "ends_days": 900,
    }
    return Odd(name, **{**good, **said})


def usage_of(wanted: Sequence[str]) -> x509.KeyUsage:
    """A KeyUsage with these and no others."""
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{each: each in wanted for each in every})


def small_key() -> rsa.RSAPrivateKey:
    """An RSA key that nobody should take."""
    return rsa.generate_private_key(65537, 1024)


def pem(*certificates: x509.Certificate) -> bytes:
    """One after the other."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
