"""Why others will refuse a certificate: each check is a fact of it and a sentence. Pure.

The strict checks are those of OpenSSL's X509_V_FLAG_X509_STRICT, which Python 3.13 and newer set
by default. This registry does not ask for them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from angos_trio.clock import DAY_SECS, iso
from angos_trio.limits.certificates import BROWSER_DAYS_MAX
from angos_trio.pki.certificates import extension_of, is_authority, value_of
from angos_trio.pki.keys import weakness_of
from angos_trio.records import Frozen

EVERYBODY: Final = "everybody"
STRICT: Final = "Python 3.13 and newer, and openssl verify -x509_strict,"
VERIFIERS: Final = "Go, curl, browsers and Python"
REGISTRY: Final = "this registry"
STALE_REFUSERS: Final = 'OpenSSL, Go, and this registry with crl_stale = "deny",'
WRONG: Final = ""
"""In the place of who refuses something that is no certificate, and wrong all the same."""
Role = Literal[
    "root", "authority", "server", "client", "server and client", "nothing that is named"
]
_OLD_HASHES: Final = (hashes.MD5, hashes.SHA1)


class Finding(Frozen):
    """What is wrong: who refuses it, why, and the cure. `who` is None for a remark only."""

    who: str | None
    text: str

    def __str__(self) -> str:
        match self.who:
            case None:
                return f"note: {self.text}"
            case "":
                return f"wrong: {self.text}"
            case who:
                return f"{who} will refuse it: {self.text}"


def role_of(certificate: x509.Certificate) -> Role:
    """What a certificate is for."""
    if is_authority(certificate):
        return "root" if is_self_issued(certificate) else "authority"
    usage = value_of(certificate, x509.ExtendedKeyUsage)
    purposes = set() if usage is None else set(usage)
    is_server = ExtendedKeyUsageOID.SERVER_AUTH in purposes
    is_client = ExtendedKeyUsageOID.CLIENT_AUTH in purposes
    if is_server and is_client:
        return "server and client"
    if is_server or is_client:
        return "server" if is_server else "client"
    return "nothing that is named"


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Whether it names itself as its issuer, as roots do."""
    return certificate.subject == certificate.issuer


def explain(certificate: x509.Certificate, now: int) -> list[Finding]:
    """All that is wrong with a certificate by itself."""
    role = role_of(certificate)
    found = [*_of_time(certificate, now), *_of_signature(certificate), *_of_strict(certificate)]
    if role in ("root", "authority"):
        return [*found, *_of_authority(certificate)]
    return [*found, *_of_leaf(certificate, role)]


def explain_server(certificate: x509.Certificate) -> list[Finding]:
    """What is wrong with an authority that a server shows as its own certificate."""
    return list(_of_server(certificate))


def _of_time(certificate: x509.Certificate, now: int) -> Iterator[Finding]:
    begin = int(certificate.not_valid_before_utc.timestamp())
    end = int(certificate.not_valid_after_utc.timestamp())
    clock = f"the clock of this host says {iso(now)}"
    if end < begin:
        yield Finding(EVERYBODY, f"it ends ({iso(end)}) before it begins ({iso(begin)})")
    elif now > end:
        yield Finding(
            EVERYBODY, f"it expired at {iso(end)}: it needs to be renewed, if {clock} rightly"
        )
    elif now < begin:
        yield Finding(
            EVERYBODY, f"it is not valid before {iso(begin)}, and {clock}: set the clock, or wait"
        )


def _of_signature(certificate: x509.Certificate) -> Iterator[Finding]:
    try:
        weakness = weakness_of(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        weakness = "its key is of a kind or form that cannot be read"
    if weakness is not None:
        yield Finding(VERIFIERS, f"{weakness}: make it anew with a key for ECDSA on P-256")
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    if isinstance(algorithm, _OLD_HASHES) and not is_self_issued(certificate):
        name = algorithm.name.upper()
        yield Finding(VERIFIERS, f"it is signed with {name}, which can be forged: issue it anew")


def _of_strict(certificate: x509.Certificate) -> Iterator[Finding]:
    """What OpenSSL looks at in each certificate of a chain when it is strict (RFC 5280 4.2.1)."""
    if certificate.version is x509.Version.v1:
        yield Finding(STRICT, "it is of version 1, which says nothing of what it is for")
        return
    authority_identifier = extension_of(certificate, x509.AuthorityKeyIdentifier)
    identifier = extension_of(certificate, x509.SubjectKeyIdentifier)
    if authority_identifier is not None and authority_identifier.critical:
        yield Finding(EVERYBODY, "its AuthorityKeyIdentifier is critical, which it may not be")
    if identifier is not None and identifier.critical:
        yield Finding(EVERYBODY, "its SubjectKeyIdentifier is critical, which it may not be")
    has_identifier = (
        authority_identifier is not None and authority_identifier.value.key_identifier is not None
    )
    if not has_identifier and not is_self_issued(certificate):
        yield Finding(
            STRICT,
            "it has no AuthorityKeyIdentifier: issue it anew with authorityKeyIdentifier=keyid",
        )
    names = extension_of(certificate, x509.SubjectAlternativeName)
    if not certificate.subject.rdns and (names is None or not names.critical):
        yield Finding(STRICT, "it has no subject, and no critical SubjectAlternativeName either")


def _of_authority(certificate: x509.Certificate) -> Iterator[Finding]:
    if certificate.version is x509.Version.v1:
        return
    constraints = extension_of(certificate, x509.BasicConstraints)
    if constraints is not None and not constraints.critical:
        yield Finding(
            STRICT, "its BasicConstraints are not critical: basicConstraints=critical,CA:TRUE"
        )
    usage = value_of(certificate, x509.KeyUsage)
    if usage is None:
        yield Finding(
            STRICT,
            "it is an authority without KeyUsage: make it anew with "
            "keyUsage=critical,keyCertSign,cRLSign",
        )
    elif not usage.key_cert_sign:
        yield Finding(EVERYBODY, "its KeyUsage lacks keyCertSign, so that it may sign nothing")
    elif not usage.crl_sign:
        yield Finding(None, "its KeyUsage lacks cRLSign: its revocation lists may be refused")
    if extension_of(certificate, x509.SubjectKeyIdentifier) is None:
        yield Finding(
            STRICT,
            "it is an authority without SubjectKeyIdentifier: make it anew with "
            "subjectKeyIdentifier=hash",
        )
    purposes = value_of(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and not set(purposes) & _FOR_TLS:
        yield Finding(EVERYBODY, "its ExtendedKeyUsage allows neither servers nor clients below it")


_FOR_TLS: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}


def _of_leaf(certificate: x509.Certificate, role: Role) -> Iterator[Finding]:
    usage = value_of(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        yield Finding(VERIFIERS, "its KeyUsage lacks digitalSignature, without which no TLS 1.3")
    if usage is not None and usage.key_cert_sign:
        yield Finding(STRICT, "its KeyUsage has keyCertSign, and it is no authority")
    if role == "nothing that is named":
        yield from _of_no_purpose(certificate)
    if role == "client":
        if value_of(certificate, x509.SubjectAlternativeName) is None:
            yield Finding(None, "it has no SubjectAlternativeName, which some servers ask for")
        return
    yield from _of_server(certificate)


def _of_no_purpose(certificate: x509.Certificate) -> Iterator[Finding]:
    yield Finding(
        f"{REGISTRY}, from a client,",
        "its ExtendedKeyUsage does not name clientAuth: extendedKeyUsage=clientAuth",
    )
    if value_of(certificate, x509.ExtendedKeyUsage) is None:
        yield Finding(
            "Apple's systems, from a server,",
            "it has no ExtendedKeyUsage: extendedKeyUsage=serverAuth",
        )
    else:
        yield Finding(
            f"{VERIFIERS}, from a server,",
            "its ExtendedKeyUsage does not name serverAuth: extendedKeyUsage=serverAuth",
        )


def _of_server(certificate: x509.Certificate) -> Iterator[Finding]:
    names = value_of(certificate, x509.SubjectAlternativeName)
    hosts = () if names is None else tuple(names.get_values_for_type(x509.DNSName))
    addresses = () if names is None else tuple(names.get_values_for_type(x509.IPAddress))
    if not hosts and not addresses:
        yield Finding(
            f"{VERIFIERS}, from a server,",
            "it has no SubjectAlternativeName with a host or an address, and its CN counts for "
            "nothing: subjectAltName=DNS:registry.lab",
        )
    for host in filter(_is_address, hosts):
        yield Finding(
            f"{VERIFIERS}, under https://{host},",
            f"{host} stands there as a name of a host: subjectAltName=IP:{host}",
        )
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if life.total_seconds() > (BROWSER_DAYS_MAX + 1) * DAY_SECS:
        yield Finding(
            None, f"it is good for {life.days} d, and browsers may refuse over {BROWSER_DAYS_MAX}"
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def explain_chain(
    chain: Sequence[x509.Certificate], known: Sequence[x509.Certificate]
) -> Iterator[Finding]:
    """What is wrong with the order of a file, whose first certificate is shown with the others
    behind it; `known` are certificates of other files."""
    if is_authority(chain[0]):
        return  # a file of authorities has no order
    for number, (lower, upper) in enumerate(pairwise(chain), 1):
        if not is_issuer(upper, lower):
            yield _on_order(chain, number)
            return
    last = chain[-1]
    if is_self_issued(last):
        if len(chain) == 1:
            yield Finding(None, "it signed itself: clients must be given this very certificate")
        return
    issuer = last.issuer.rfc4514_string()
    above = next((each for each in known if is_issuer(each, last)), None)
    if above is None:
        yield Finding(
            None,
            f"its issuer ({issuer}) is in none of these files: whoever is to take it must know "
            "that one",
        )
    elif not is_self_issued(above):
        yield Finding(
            f"{VERIFIERS}, where only the root is known,",
            f"the file lacks the authority between it and the root ({issuer}): put that one "
            "behind it",
        )


def _on_order(chain: Sequence[x509.Certificate], number: int) -> Finding:
    """The certificate of this number in the file is not the issuer of the one before."""
    lower, upper = chain[number - 1], chain[number]
    issuer = lower.issuer.rfc4514_string()
    if any(is_issuer(each, lower) for each in chain):
        text = f"its issuer ({issuer}) is in the file, and not right behind it: change the order"
    elif upper.subject == lower.issuer:
        text = (
            f"number {number + 1} in the file is called as its issuer ({issuer}) and has another "
            "key: it is of an authority that was made again; take the one that issued it"
        )
    else:
        text = (
            f"number {number + 1} in the file ({upper.subject.rfc4514_string()}) did not issue the "
            f"one before it, which is from {issuer}"
        )
    return Finding("Go, curl and Python", text)


def is_issuer(upper: x509.Certificate, lower: x509.Certificate) -> bool:
    """Whether one signed the other, by name and by signature."""
    if upper.subject != lower.issuer:
        return False
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
