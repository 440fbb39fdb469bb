"""What our certificates look like: pure functions from facts to signed certificates and lists.

The profiles pass the strict checks of Python 3.13, Go, OpenSSL and browsers: usage of the key,
identifiers of the keys and the length of the path are said everywhere (RFC 5280 4.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    serialize_key_and_certificates,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from angos_trio.clock import DAY_SECS
from angos_trio.limits.certificates import BACKDATED_SECS, NAME_BYTES_MAX
from angos_trio.pki.naming import general_names
from angos_trio.records import Frozen

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_P12_ROUNDS: Final = 20_000


class Signer(Frozen):
    """An authority that signs: its certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def not_after(self) -> int:
        """Its end in epoch seconds."""
        return int(self.certificate.not_valid_after_utc.timestamp())


class Life(Frozen):
    """From when until when, in epoch seconds. `is_shortened`: its issuer ends before."""

    not_before: int
    not_after: int
    is_shortened: bool = False


class Leaf(Frozen):
    """What a server's or a client's certificate says. `names` are `DNS:…`, `IP:…` and `URI:…`."""

    common_name: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    is_server: bool


class Revoked(Frozen):
    """An entry of a revocation list; `reason` as RFC 5280 5.3.1 spells it, None for none."""

    serial: int
    at: int
    reason: str | None


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key that every client takes: ECDSA on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def life_of(now: int, days: int, issuer: Signer | None = None) -> Life:
    """From a little before now on for so many days, and never longer than the issuer."""
    wanted = now + days * DAY_SECS
    if issuer is None or wanted <= issuer.not_after:
        return Life(now - BACKDATED_SECS, wanted)
    return Life(now - BACKDATED_SECS, issuer.not_after, is_shortened=True)


def make_root(name: str, key: PrivateKey, life: Life) -> x509.Certificate:
    """What clients trust; it signs an issuing authority and nothing else."""
    subject = name_of(name)
    builder = _begun(subject, key.public_key(), life).issuer_name(subject)
    return _authority(builder, path_length=1).sign(key, hashes.SHA256())


def make_issuing(subject: x509.Name, key: PublicKey, life: Life, root: Signer) -> x509.Certificate:
    """What signs the certificates of servers and clients, and none of an authority."""
    builder = _signed_by(_begun(subject, key, life), root)
    return _authority(builder, path_length=0).sign(root.key, hashes.SHA256())


def make_leaf(leaf: Leaf, key: PublicKey, life: Life, issuing: Signer) -> x509.Certificate:
    """A server's or a client's certificate."""
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if leaf.is_server else ExtendedKeyUsageOID.CLIENT_AUTH
    subject = name_of(leaf.common_name, leaf.groups)
    builder = (
        _signed_by(_begun(subject, key, life), issuing)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(may_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(general_names(leaf.names)),
            critical=not subject.rdns,  # RFC 5280 4.2.1.6: it alone says whose it is
        )
    )
    return builder.sign(issuing.key, hashes.SHA256())


def make_list(revoked: Iterable[Revoked], life: Life, number: int, issuing: Signer) -> bytes:
    """A revocation list in PEM; the next one is due at the end of `life`."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuing.certificate.subject)
        .last_update(_time(life.not_before))
        .next_update(_time(life.not_after))
        .add_extension(_identifier_of(issuing), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(_entry(each))
    return builder.sign(issuing.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def pem_of(*certificates: x509.Certificate) -> bytes:
    """Certificates in PEM, one after the other."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def key_pem(key: PrivateKey, password: bytes | None = None) -> bytes:
    """A key in PEM (PKCS 8), encrypted if there is a password."""
    protection = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def pkcs12_of(
    name: str,
    key: PrivateKey,
    certificate: x509.Certificate,
    above: Iterable[x509.Certificate],
    password: bytes,
) -> bytes:
    """Key and certificate in one file, as browsers and Windows import it: PBES2 with AES-256, and
    SHA-256 in its MAC."""
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_P12_ROUNDS)
        .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password)
    )
    return serialize_key_and_certificates(name.encode(), key, certificate, list(above), protection)


def _begun(subject: x509.Name, key: PublicKey, life: Life) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(life.not_before))
        .not_valid_after(_time(life.not_after))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signed_by(builder: x509.CertificateBuilder, issuer: Signer) -> x509.CertificateBuilder:
    named = builder.issuer_name(issuer.certificate.subject)
    return named.add_extension(_identifier_of(issuer), critical=False)


def _identifier_of(issuer: Signer) -> x509.AuthorityKeyIdentifier:
    extensions = issuer.certificate.extensions
    found = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)


def _authority(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    with_length = builder.add_extension(constraints, critical=True)
    return with_length.add_extension(_usage(may_sign=True), critical=True)


def name_of(common_name: str, organizations: Iterable[str] = ()) -> x509.Name:
    """Whose a certificate is; without a common name that is too long for one."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    if common_name and len(common_name.encode()) <= NAME_BYTES_MAX:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(parts)


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


def _entry(revoked: Revoked) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(revoked.serial)
        .revocation_date(_time(revoked.at))
    )
    if revoked.reason is not None:
        reason = x509.CRLReason(x509.ReasonFlags(revoked.reason))
        builder = builder.add_extension(reason, critical=False)
    return builder.build()


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
