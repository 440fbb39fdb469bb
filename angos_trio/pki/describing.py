"""What a file is, in words, and what is wrong with it and with what lies beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, pkcs12

from angos_trio.clock import iso
from angos_trio.errors import OperatorError
from angos_trio.pki.certificates import (
    CertificateError,
    is_authority,
    read_bundle,
    reading,
    serial_text,
    value_of,
)
from angos_trio.pki.explain import (
    REGISTRY,
    STALE_REFUSERS,
    WRONG,
    Finding,
    explain,
    explain_chain,
    explain_server,
    is_self_issued,
    role_of,
)
from angos_trio.pki.files import read_file
from angos_trio.pki.keys import fits, load_key, requested_key
from angos_trio.pki.profiles import PrivateKey
from angos_trio.records import Mutable, field


class Described(Mutable):
    """A file: `what` it is, a line each, and what was found. `has_key` is that it is one, also
    if nobody can read it without its password."""

    path: Path
    what: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)
    key: PrivateKey | None = None
    crl: x509.CertificateRevocationList | None = None

    @property
    def is_refused(self) -> bool:
        """Whether anybody will refuse it."""
        return any(finding.who is not None for finding in self.findings)


def describe(paths: Sequence[Path], now: int) -> list[Described]:
    """Say what files are, each by itself and beside the others. Raises OperatorError for one that
    cannot be read at all."""
    found = [_described(path, now) for path in paths]
    for each in found:
        known = [one for other in found if other is not each for one in other.certificates]
        if each.certificates:
            each.findings += explain_chain(each.certificates, known)
            each.findings += _on_authority_that_serves(each.certificates[0], found)
        if each.key is not None:
            each.findings += _on_key(each.key, found)
        if each.crl is not None:
            each.findings += _on_signature(each.crl, known)
    return found


def _described(path: Path, now: int) -> Described:
    content = read_file("pki doctor", str(path))
    described = Described(path)
    try:
        if b"PRIVATE KEY-----" in content:
            _as_key(described, content)
        if b"CERTIFICATE REQUEST-----" in content:
            requested_key(path, content)
            described.what.append("a request for a certificate (CSR), signed by its own key")
        elif b"X509 CRL-----" in content:
            _as_list(described, content, now)
        elif b"CERTIFICATE-----" in content:
            _as_certificates(described, read_bundle(content), now)
        elif not described.what:
            _as_binary(described, content, now)
    except CertificateError as error:
        described.findings.append(Finding(WRONG, f"it is damaged: {error}"))
    except OperatorError as error:
        described.findings.append(Finding(WRONG, str(error).removeprefix(f"{path}: ")))
    if not described.what:
        described.what.append("nothing that is known here")
    return described


def _as_key(described: Described, content: bytes) -> None:
    if b"ENCRYPTED" in content:
        described.what.append("a private key under a password")
        described.findings.append(
            Finding(REGISTRY, "it is encrypted, and nobody is there to type its password")
        )
        return
    described.key = load_key(described.path, content)
    described.what.append("a private key without a password")
    _look_at_mode(described)


def _look_at_mode(described: Described) -> None:
    if described.path.stat().st_mode & 0o077:
        described.findings.append(Finding(None, "others may read it: chmod 600"))


def _as_certificates(
    described: Described, certificates: Sequence[x509.Certificate], now: int
) -> None:
    described.certificates = list(certificates)
    for number, each in enumerate(certificates, 1):
        described.what.append(words_for(each))
        before = f"number {number} in the file: " if len(certificates) > 1 else ""
        described.findings += [Finding(one.who, before + one.text) for one in explain(each, now)]


_WORDS: Final = {
    "root": "a root",
    "authority": "an authority",
    "server": "a server's certificate",
    "client": "a client's certificate",
    "server and client": "a certificate for server and client",
    "nothing that is named": "a certificate that does not say what it is for",
}


def words_for(certificate: x509.Certificate) -> str:
    """A certificate in a line."""
    named = certificate.subject.rfc4514_string() or "without a subject"
    end = iso(int(certificate.not_valid_after_utc.timestamp()))
    is_own = is_self_issued(certificate)
    by = "signed by itself" if is_own else f"issued by {certificate.issuer.rfc4514_string()}"
    names = ", ".join(_names(certificate))
    also = f" ({names})" if names else ""
    serial = serial_text(certificate.serial_number)
    what = _WORDS[role_of(certificate)]
    return f"{what}: {named}{also}, {by}, until {end}, serial {serial}"


def _names(certificate: x509.Certificate) -> Iterator[str]:
    for name in value_of(certificate, x509.SubjectAlternativeName) or ():
        yield str(name.value)


def _as_list(described: Described, content: bytes, now: int) -> None:
    with reading():
        is_pem = b"-----BEGIN" in content
        parsed = x509.load_pem_x509_crl(content) if is_pem else x509.load_der_x509_crl(content)
        count, issuer = len(parsed), parsed.issuer.rfc4514_string()
        due = parsed.next_update_utc
    described.crl = parsed
    end = None if due is None else int(due.timestamp())
    until = "without an end" if end is None else f"the next is due {iso(end)}"
    described.what.append(f"a revocation list of {issuer}: {count} revoked, {until}")
    if end is not None and end < now:
        text = f"the next list was due {iso(end)}: have it made anew (angos-trio pki crl)"
        described.findings.append(Finding(STALE_REFUSERS, text))


def _as_binary(described: Described, content: bytes, now: int) -> None:
    """DER or PKCS#12: each is tried."""
    for load in (_der_certificate, _der_request, _as_list, _der_key):
        try:
            load(described, content, now)
            return
        except CertificateError:
            continue
    try:
        pkcs12.load_pkcs12(content, None)
        described.what.append("a PKCS#12 file without a password")
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if "password" in str(error).lower():
            described.what.append("a PKCS#12 file under a password, for browsers and Windows")
        else:
            described.findings.append(
                Finding(WRONG, "no certificate, key, request or list in PEM or DER")
            )


def _der_certificate(described: Described, content: bytes, now: int) -> None:
    with reading():
        pem = x509.load_der_x509_certificate(content).public_bytes(Encoding.PEM)
    _as_certificates(described, read_bundle(pem), now)
    described.findings.append(
        Finding(REGISTRY, "it is in DER, and PEM is wanted: openssl x509 -inform der -in FILE")
    )


def _der_request(described: Described, content: bytes, now: int) -> None:
    with reading():
        x509.load_der_x509_csr(content)
    requested_key(described.path, content)
    described.what.append("a request for a certificate (CSR) in DER, signed by its own key")


def _der_key(described: Described, content: bytes, now: int) -> None:
    try:
        key = load_der_private_key(content, None)
        described.key = key if isinstance(key, PrivateKey) else None
        described.what.append("a private key in DER")
        _look_at_mode(described)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(str(error)) from error
    except TypeError:  # there is one, and no password was given
        described.what.append("a private key in DER under a password")
    described.findings.append(
        Finding(REGISTRY, "it is in DER, and PEM is wanted: openssl pkey -inform der -in FILE")
    )


def _on_authority_that_serves(
    certificate: x509.Certificate, found: Sequence[Described]
) -> Iterator[Finding]:
    """`openssl req -x509` makes an authority, which many take for a server's certificate."""
    keys = [each.key for each in found if each.key is not None]
    if is_authority(certificate) and any(fits(key, certificate) for key in keys):
        yield from explain_server(certificate)


def _on_key(key: PrivateKey, found: Sequence[Described]) -> Iterator[Finding]:
    leaves = [each.certificates[0] for each in found if each.certificates]
    if leaves and not any(fits(key, leaf) for leaf in leaves):
        yield Finding(WRONG, "it is not the key of the first certificate in any of these files")


def _on_signature(
    crl: x509.CertificateRevocationList, known: Sequence[x509.Certificate]
) -> Iterator[Finding]:
    authorities = [each for each in known if is_authority(each)]
    if authorities and not any(_is_signed_by(crl, each) for each in authorities):
        yield Finding(
            REGISTRY, "it is signed by none of the authorities in these files (client_ca_bundle)"
        )


def _is_signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
