"""A small certificate authority for tests: EC P-256 keys, profiles that all clients take.

root = Authority()
middle = root.intermediate()
server = middle.server("registry.example.test", "127.0.0.1")
client = root.client("alice", organizations=("team",), uris=("registry://client/alice",))
certificate_file, key_file = client.write(folder, "alice")
crl = root.crl(client)                                      # PEM
context = client_context(root.pem, (certificate_file, key_file))
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY_SECS = 86_400
FOR_SERVERS = ExtendedKeyUsageOID.SERVER_AUTH
FOR_CLIENTS = ExtendedKeyUsageOID.CLIENT_AUTH
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Leaf:
    """What a server's or a client's certificate is to say; times are seconds from now on.

    `dns` may hold addresses, too. `purposes` of None leaves the extended key usage out. `more` are
    further extensions.
    """

    common_name: str = ""
    organizations: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    purposes: tuple[x509.ObjectIdentifier, ...] | None = (FOR_CLIENTS,)
    begins_secs: int = -300
    ends_secs: int = 30 * DAY_SECS
    serial: int | None = None
    more: tuple[x509.ExtensionType, ...] = ()

    def subject(self) -> x509.Name:
        """The name with its parts in the usual order."""
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in self.organizations]
        if self.common_name:
            parts.append(x509.NameAttribute(NameOID.COMMON_NAME, self.common_name))
        return x509.Name(parts)

    def alternative_names(self) -> list[x509.GeneralName]:
        """The subject alternative names."""
        return [
            *map(_host, self.dns),
            *map(x509.UniformResourceIdentifier, self.uris),
            *map(x509.RFC822Name, self.emails),
        ]


def _host(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key; `chain` are the intermediates that are sent with it."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate and its chain."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.chain))

    @property
    def der(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The key, unencrypted, in PKCS 8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write `<name>.pem` and `<name>.key`, over what is there; both paths."""
        certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        certificate_file.write_bytes(self.pem)
        key_file.write_bytes(self.key_pem)
        key_file.chmod(0o600)
        return certificate_file, key_file


@dataclass(frozen=True)
class Authority:
    """A root, or an intermediate of one. Every call issues something new."""

    name: str = "Test root"
    parent: Authority | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: _new_key())
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        leaf = Leaf(begins_secs=-DAY_SECS, ends_secs=3650 * DAY_SECS)
        usage = _usage(may_sign=True)
        builder = (
            _builder(leaf, subject, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
        )
        signer = self.parent or self
        issuer = subject if self.parent is None else self.parent.certificate.subject
        signed = builder.issuer_name(issuer).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
            critical=False,
        )
        object.__setattr__(self, "certificate", signed.sign(signer.key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What a leaf sends with itself: the intermediates, and not the root."""
        return () if self.parent is None else (self.certificate, *self.parent.chain)

    def intermediate(self, name: str = "Test intermediate") -> Authority:
        """An authority that this one signs."""
        return Authority(name, self)

    def server(self, *names: str, **more: Any) -> Issued:
        """A certificate for hosts and addresses; `more` as for `Leaf`."""
        wanted = names or ("localhost", "127.0.0.1", "::1")
        return self.issue(Leaf(**{"dns": wanted, "purposes": (FOR_SERVERS,), **more}))

    def client(self, common_name: str = "alice", **more: Any) -> Issued:
        """A client's certificate; `more` as for `Leaf`."""
        return self.issue(Leaf(common_name=common_name, **more))

    def issue(self, leaf: Leaf, key: PrivateKey | None = None) -> Issued:
        """What this leaf asks for, by default with a new key."""
        key = key or _new_key()
        builder = (
            _builder(leaf, leaf.subject(), key)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(may_sign=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if leaf.purposes is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(leaf.purposes), critical=False)
        if leaf.alternative_names():
            names = x509.SubjectAlternativeName(leaf.alternative_names())
            builder = builder.add_extension(names, critical=not leaf.subject().rdns)
        for extension in leaf.more:
            builder = builder.add_extension(extension, critical=False)
        return Issued(builder.sign(self.key, hashes.SHA256()), key, self.chain)

    def crl(
        self,
        *revoked: Issued,
        updated_secs: int = -60,
        next_update_secs: int = 7 * DAY_SECS,
        encoding: Encoding = Encoding.PEM,
    ) -> bytes:
        """A list of revoked certificates, from this authority; times are seconds from now on."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(_from_now(updated_secs))
            .next_update(_from_now(next_update_secs))
        )
        for each in revoked:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(each.certificate.serial_number)
                .revocation_date(_from_now(updated_secs))
            )
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(encoding)


def client_context(
    server_ca: bytes, files: tuple[Path, Path] | None = None, *, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """A client's side of TLS: it trusts `server_ca` (PEM) only, and shows the certificate in
    `files`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=server_ca.decode())
    if files is not None:
        context.load_cert_chain(*files)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _from_now(secs: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=secs)


def _builder(leaf: Leaf, subject: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(leaf.serial or x509.random_serial_number())
        .not_valid_before(_from_now(leaf.begins_secs))
        .not_valid_after(_from_now(leaf.ends_secs))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, may_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not may_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=may_sign,
        crl_sign=may_sign,
        encipher_only=False,
        decipher_only=False,
    )
