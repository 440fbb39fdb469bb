"""Which client certificates are refused now: revoked, out of their time, or not for clients.

OpenSSL is not asked. With its flags a session that is resumed stays good, and a list that is out
of date shuts everybody out.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from angos_trio.identity import Certificate
from angos_trio.pki.certificates import CertificateError, key_mark, reading, value_of
from angos_trio.records import Frozen, field

_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_PEM: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class RevocationList:
    """What one authority has revoked: serial numbers without their sign.

    `next_update`, in epoch seconds, is when the next list is due; None when it does not say.
    """

    issuer: str
    next_update: int | None
    serials: frozenset[int] = dataclasses.field(repr=False)

    def is_stale(self, now: int) -> bool:
        """Whether the next one is overdue."""
        return self.next_update is not None and self.next_update < now


class Revocations(Frozen):
    """The lists that count, by their issuer. `denies_stale`: one that is out of date refuses all
    certificates of its issuer; else it goes on to count. `authorities` are marks of the keys that
    count now, since a connection may outlive one; None does not look at them."""

    lists: Mapping[str, tuple[RevocationList, ...]] = field(default_factory=dict)
    denies_stale: bool = False
    authorities: frozenset[str] | None = None

    def problem_of(self, certificate: Certificate, now: int) -> str | None:
        """Why a client certificate is refused at this time, in a short sentence; None when it is
        not. Its chain was verified in the handshake."""
        if not certificate.is_readable:
            return "the client certificate cannot be read"
        if now > certificate.not_after:
            return "the client certificate has expired"
        if now < certificate.not_before:
            return "the client certificate is not valid yet"
        if not certificate.is_for_clients:
            return "the client certificate is not for clients (no clientAuth)"
        keys = certificate.signer_keys
        if self.authorities is not None and keys and self.authorities.isdisjoint(keys):
            return "the client certificate is from an authority that does not count any more"
        if not self.lists:
            return None
        if self._is_revoked(certificate.issuer, certificate.serial):
            return "the client certificate is revoked"
        if any(self._is_revoked(issuer, serial) for issuer, serial in certificate.signers):
            return "an authority above the client certificate is revoked"
        issuers = (certificate.issuer, *(issuer for issuer, _ in certificate.signers))
        if self.denies_stale and any(self._has_stale(issuer, now) for issuer in issuers):
            return "the revocation list for the client certificate is out of date"
        return None

    def stale(self, now: int) -> list[RevocationList]:
        """The lists that are out of date, for a warning."""
        every = (each for lists in self.lists.values() for each in lists)
        return [each for each in every if each.is_stale(now)]

    def has_all_of(self, before: Revocations) -> bool:
        """Whether each list of those before has another here that takes its place."""
        return all(
            len(self.lists.get(issuer, ())) >= len(lists) for issuer, lists in before.lists.items()
        )

    def _is_revoked(self, issuer: str, serial: str) -> bool:
        lists = self.lists.get(comparable_name(issuer), ())
        return any(int(serial, 16) in each.serials for each in lists)

    def _has_stale(self, issuer: str, now: int) -> bool:
        return any(each.is_stale(now) for each in self.lists.get(comparable_name(issuer), ()))


@lru_cache(1024)
def comparable_name(name: str) -> str:
    """A name by which two that RFC 5280 7.1 takes for equal are equal."""
    return " ".join(name.casefold().split())


@dataclasses.dataclass(frozen=True, slots=True)
class SignedList:
    """A list whose signature is good: what it says, when it was made, and by which key for which
    part of its certificates."""

    content: RevocationList
    updated: int
    signer: tuple[bytes, bytes] = dataclasses.field(repr=False)


def read_lists(content: bytes, authorities: Sequence[x509.Certificate]) -> list[SignedList]:
    """The lists of a file in PEM, or the one of a file in DER. Raises CertificateError.

    Each must be signed by one of the authorities.
    """
    with reading():
        return [
            SignedList(
                content=_content_of(parsed),
                updated=int(parsed.last_update_utc.timestamp()),
                signer=(_signer_key(parsed, authorities), _part_of(parsed)),
            )
            for parsed in _lists_of(content)
        ]


def revocations_of(
    lists: Iterable[SignedList],
    *,
    denies_stale: bool,
    authorities: Iterable[x509.Certificate] | None = None,
) -> Revocations:
    """What counts of these: of two from the same key for the same part, the newer; and by whom."""
    newest: dict[tuple[bytes, bytes], SignedList] = {}
    for each in lists:
        before = newest.get(each.signer)
        if before is None or before.updated <= each.updated:
            newest[each.signer] = each
    by_issuer: dict[str, tuple[RevocationList, ...]] = {}
    for each in newest.values():
        name = comparable_name(each.content.issuer)
        by_issuer[name] = (*by_issuer.get(name, ()), each.content)
    marks = None if authorities is None else frozenset(map(key_mark, authorities))
    return Revocations(by_issuer, denies_stale, marks)


def _lists_of(content: bytes) -> list[x509.CertificateRevocationList]:
    blocks = _PEM.findall(content)
    if len(blocks) != content.count(_BEGIN):
        raise CertificateError("a revocation list in it is cut off")
    if not blocks and b"-----BEGIN" in content:
        raise CertificateError("there is no revocation list in it")
    if not blocks:
        return [x509.load_der_x509_crl(content)]
    return [x509.load_pem_x509_crl(block) for block in blocks]


def _part_of(parsed: x509.CertificateRevocationList) -> bytes:
    """The part of its issuer's certificates that a list is about, empty for all of them.

    A part, and a list that only adds to another, are told by extensions (RFC 5280 5.2).
    """
    issuer = parsed.issuer.rfc4514_string()
    part = b""
    for extension in parsed.extensions:
        value = extension.value
        if isinstance(value, x509.IssuingDistributionPoint):
            if value.indirect_crl:
                raise CertificateError(f"the list of {issuer} is for other issuers (indirect)")
            part = value.public_bytes()
        elif isinstance(value, x509.DeltaCRLIndicator):
            raise CertificateError(f"the list of {issuer} only adds to another (delta)")
        elif extension.critical:
            oid = extension.oid.dotted_string
            raise CertificateError(f"the list of {issuer} has an unknown extension ({oid})")
    return part


def _signer_key(
    parsed: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate]
) -> bytes:
    issuer = parsed.issuer.rfc4514_string()
    wanted = comparable_name(issuer)
    for authority in authorities:
        if comparable_name(authority.subject.rfc4514_string()) != wanted:
            continue
        key = authority.public_key()
        if _may_sign_lists(authority) and parsed.is_signature_valid(key):  # type: ignore[arg-type]
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raise CertificateError(
        f"the list of {issuer} is signed by no authority of server.tls.client_ca_bundle"
    )


def _may_sign_lists(authority: x509.Certificate) -> bool:
    """RFC 5280 6.3.3 (f)."""
    usage = value_of(authority, x509.KeyUsage)
    return usage is None or usage.crl_sign


def _content_of(parsed: x509.CertificateRevocationList) -> RevocationList:
    due = parsed.next_update_utc
    return RevocationList(
        issuer=parsed.issuer.rfc4514_string(),
        next_update=None if due is None else int(due.timestamp()),
        serials=frozenset(abs(entry.serial_number) for entry in parsed),
    )
