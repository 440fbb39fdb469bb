"""What a certificate says. Whoever made it may be hostile: what cannot be read is an error."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from angos_trio.identity import Certificate

Kind = TypeVar("Kind", bound=x509.ExtensionType)
Extended = x509.Certificate | x509.CertificateRevocationList | x509.RevokedCertificate
_BEGIN: Final = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class CertificateError(Exception):
    """A certificate or a revocation list that cannot be read; says why."""


@contextmanager
def reading() -> Iterator[None]:
    """Whatever cryptography makes of a hostile file is a CertificateError, and no warning."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise CertificateError(str(error)) from error


def read_certificate(der: bytes, signers: Sequence[bytes] = ()) -> Certificate:
    """What a client's certificate says; `signers` are those above it. Raises CertificateError.

    A name with control characters is refused: it is made to be mistaken for something else.
    """
    with reading():
        read = _certificate_of(x509.load_der_x509_certificate(der), signers)
    texts = (read.subject, read.issuer, *read.common_names, *read.organizations)
    if any(map(_CONTROL.search, (*texts, *read.dns_names, *read.uris, *read.emails))):
        raise CertificateError("a name holds control characters")
    return read


def _certificate_of(parsed: x509.Certificate, signers: Sequence[bytes]) -> Certificate:
    names = value_of(parsed, x509.SubjectAlternativeName) or x509.SubjectAlternativeName([])
    above = list(map(x509.load_der_x509_certificate, signers))
    return Certificate(
        subject=parsed.subject.rfc4514_string(),
        issuer=parsed.issuer.rfc4514_string(),
        serial=serial_text(parsed.serial_number),
        fingerprint=parsed.fingerprint(hashes.SHA256()).hex(),
        not_before=int(parsed.not_valid_before_utc.timestamp()),
        not_after=int(parsed.not_valid_after_utc.timestamp()),
        is_for_clients=_is_for(parsed, ExtendedKeyUsageOID.CLIENT_AUTH),
        common_names=_parts(parsed, NameOID.COMMON_NAME),
        organizations=_parts(parsed, NameOID.ORGANIZATION_NAME),
        dns_names=tuple(names.get_values_for_type(x509.DNSName)),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        emails=tuple(names.get_values_for_type(x509.RFC822Name)),
        signers=tuple(map(_issuer_and_serial, above)),
        signer_keys=tuple(map(key_mark, above)),
    )


def unreadable_certificate(der: bytes) -> Certificate:
    """What stands for a certificate that was shown and cannot be read."""
    fingerprint = hashlib.sha256(der).hexdigest()
    return Certificate("", "", "0", fingerprint, 0, 0, is_for_clients=False, is_readable=False)


def serial_text(serial: int) -> str:
    """A serial number as `Certificate` has it."""
    return f"{abs(serial):x}"


def key_mark(parsed: x509.Certificate) -> str:
    """The SHA-256 of a certificate's key: that of an authority is the same when it is renewed."""
    try:
        key = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):  # OpenSSL knows more kinds of keys
        return parsed.fingerprint(hashes.SHA256()).hex()
    return hashlib.sha256(key).hexdigest()


def _issuer_and_serial(parsed: x509.Certificate) -> tuple[str, str]:
    return parsed.issuer.rfc4514_string(), serial_text(parsed.serial_number)


def _parts(parsed: x509.Certificate, kind: x509.ObjectIdentifier) -> tuple[str, ...]:
    found = (part.value for part in parsed.subject.get_attributes_for_oid(kind))
    return tuple(value for value in found if isinstance(value, str))


def _is_for(parsed: x509.Certificate, purpose: x509.ObjectIdentifier) -> bool:
    """Whether the extended key usage names this purpose: to leave it out names none."""
    usage = value_of(parsed, x509.ExtendedKeyUsage)
    return usage is not None and purpose in usage


def extension_of(parsed: Extended, kind: type[Kind]) -> x509.Extension[Kind] | None:
    """The extension of a kind, if there is one."""
    try:
        return parsed.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def value_of(parsed: Extended, kind: type[Kind]) -> Kind | None:
    """What it says, without whether it is critical."""
    found = extension_of(parsed, kind)
    return None if found is None else found.value


def read_bundle(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a file in PEM, at least one. Raises CertificateError."""
    with reading():
        found = x509.load_pem_x509_certificates(pem)
        if len(found) != len(_BEGIN.findall(pem)):
            raise CertificateError("a certificate in it is cut off")
        for each in found:
            # Parts are read when they are asked for: so that it fails here, if it does.
            _ = each.subject, each.issuer, each.extensions, each.not_valid_after_utc
        return found


def is_authority(parsed: x509.Certificate) -> bool:
    """Whether it may sign others (RFC 5280 4.2.1.9); the first version could not say so."""
    constraints = value_of(parsed, x509.BasicConstraints)
    if constraints is None:
        return parsed.version is x509.Version.v1 and parsed.issuer == parsed.subject
    return constraints.ca
