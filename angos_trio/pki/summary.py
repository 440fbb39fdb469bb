"""What an operator is told of a certificate, for whatever it is."""

from __future__ import annotations

import ipaddress

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from angos_trio.errors import OperatorError
from angos_trio.pki.certificates import CertificateError, read_bundle, reading, value_of
from angos_trio.pki.files import read_file
from angos_trio.records import Frozen


class Summary(Frozen):
    """Names are as of RFC 4514, and hosts in small letters; times are epoch seconds.

    `is_edwards`: its key is Ed25519 or Ed448, which not all clients take. `is_for_clients`: as
    `Certificate` has it.
    """

    subject: str
    issuer: str
    dns_names: tuple[str, ...]
    addresses: tuple[str, ...]
    not_before: int
    not_after: int
    is_edwards: bool = False
    is_for_clients: bool = False

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that it is for."""
        return (*self.dns_names, *self.addresses)

    def covers(self, host: str) -> bool:
        """Whether it is for a host (RFC 6125 6.4): `*` is the whole of the first label."""
        try:
            return str(ipaddress.ip_address(host)) in self.addresses
        except ValueError:
            wanted = host.lower().rstrip(".")
        return any(
            name == wanted or (name.startswith("*.") and wanted.partition(".")[2] == name[2:])
            for name in self.dns_names
        )


def summaries_of(pem: bytes) -> list[Summary]:
    """Of each certificate in a file in PEM, at least one. Raises CertificateError."""
    found = read_bundle(pem)
    with reading():
        return list(map(_summary, found))


def first_summary(key: str, path: str) -> Summary:
    """Of the first certificate of a file that a key names. Raises OperatorError."""
    try:
        return summaries_of(read_file(key, path))[0]
    except CertificateError as error:
        raise OperatorError(f"{key}: {path}: no certificates in PEM: {error}") from error


def summary_of(der: bytes) -> Summary:
    """Of one certificate. Raises CertificateError."""
    with reading():
        return _summary(x509.load_der_x509_certificate(der))


def _summary(parsed: x509.Certificate) -> Summary:
    names = value_of(parsed, x509.SubjectAlternativeName)
    usage = value_of(parsed, x509.ExtendedKeyUsage)
    return Summary(
        subject=parsed.subject.rfc4514_string(),
        issuer=parsed.issuer.rfc4514_string(),
        dns_names=_lowered(names.get_values_for_type(x509.DNSName)) if names else (),
        addresses=tuple(map(str, names.get_values_for_type(x509.IPAddress))) if names else (),
        not_before=int(parsed.not_valid_before_utc.timestamp()),
        not_after=int(parsed.not_valid_after_utc.timestamp()),
        is_edwards=_is_edwards(parsed),
        is_for_clients=usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH in usage,
    )


def _lowered(names: list[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def _is_edwards(parsed: x509.Certificate) -> bool:
    try:
        key = parsed.public_key()
    except (ValueError, UnsupportedAlgorithm):  # OpenSSL knows more kinds of keys
        return False
    return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
