"""What a client certificate says, and certificates that were made to break a reader."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.clock import epoch_seconds
from angos_trio.pki.certificates import CertificateError, read_bundle, read_certificate
from tests.certificates import DAY_SECS, FOR_CLIENTS, FOR_SERVERS, Authority

ROOT = Authority("Team root, Example")
OID_BASIC = b"\x55\x1d\x13"
OID_USAGE = b"\x55\x1d\x0f"
OID_NAMES = b"\x55\x1d\x11"
OID_COUNTRY, OID_COMMON = b"\x55\x04\x06", b"\x55\x04\x03"
ALICE = ROOT.client("alice", uris=("registry://client/alice",), serial=5)
SERIAL_5 = b"\x02\x01\x05"


def test_certificate_says_who_it_is_for() -> None:
    issued = ROOT.client(
        "alice",
        organizations=("team", "Ops, Inc."),
        dns=("host.example.test", "*.example.test"),
        uris=("registry://client/alice", "spiffe://example.test/a"),
        emails=("alice@example.test",),
        serial=0xAB12CD,
    )
    read = read_certificate(issued.der)

    assert read.subject == r"CN=alice,O=Ops\, Inc.,O=team"
    assert read.issuer == r"CN=Team root\, Example"
    assert read.serial == "ab12cd"
    assert read.fingerprint == hashlib.sha256(issued.der).hexdigest()
    assert read.common_names == ("alice",)
    assert read.organizations == ("team", "Ops, Inc.")
    assert read.dns_names == ("host.example.test", "*.example.test")
    assert read.uris == ("registry://client/alice", "spiffe://example.test/a")
    assert read.emails == ("alice@example.test",)
    assert read.is_for_clients
    now = epoch_seconds()
    assert read.not_before - now == pytest.approx(-300, abs=5)
    assert read.not_after - now == pytest.approx(30 * DAY_SECS, abs=5)


def test_certificate_may_say_little() -> None:
    read = read_certificate(ROOT.client("", purposes=None).der)

    assert read.subject == ""
    assert (read.common_names, read.organizations) == ((), ())
    assert (read.dns_names, read.uris, read.emails, read.signers) == ((), (), (), ())


@pytest.mark.parametrize(
    ("purposes", "is_for_clients"),
    [
        (None, False),
        ((FOR_SERVERS,), False),
        ((FOR_CLIENTS,), True),
        ((FOR_SERVERS, FOR_CLIENTS), True),
        ((x509.ObjectIdentifier("2.5.29.37.0"),), False),  # any purpose names none
    ],
)
def test_certificate_for_clients_says_so(
    purposes: tuple[x509.ObjectIdentifier, ...] | None, is_for_clients: bool
) -> None:
    issued = ROOT.client(purposes=purposes)
    assert read_certificate(issued.der).is_for_clients == is_for_clients


def test_signers_are_those_above_it() -> None:
    middle = ROOT.intermediate("Middle")
    read = read_certificate(middle.client().der, [middle.certificate.public_bytes(Encoding.DER)])
    serial = format(middle.certificate.serial_number, "x")
    assert read.signers == ((r"CN=Team root\, Example", serial),)


def changed(before: bytes, after: bytes) -> bytes:
    assert len(before) == len(after)
    assert before in ALICE.der
    return ALICE.der.replace(before, after)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30\x00",
        ALICE.der[:-1],
        ALICE.der + b"x",
        ALICE.pem,
        changed(b"alice", b"al\xffce"),
        changed(b"\x0c\x05alice", b"\x0c\x05\x00lice"),
        changed(b"\x0c\x05alice", b"\x0c\x05al\nce"),
        changed(b"\x0c\x05alice", b"\x03\x05\x00lice"),
        changed(b"\x0c\x05alice", b"\x13\x05al\xe9ce"),
        changed(b"registry://", b"reg\x00stry://"),
        changed(b"registry://", b"reg\xffstry://"),
        changed(OID_BASIC, OID_USAGE),
        changed(OID_BASIC, OID_NAMES),
    ],
    ids=itertools.count(),
)
def test_hostile_certificate_is_a_named_error(der: bytes) -> None:
    with pytest.raises(CertificateError):
        read_certificate(der)


def test_hostile_signer_is_a_named_error() -> None:
    with pytest.raises(CertificateError):
        read_certificate(ALICE.der, [b"\x30\x00"])


@pytest.mark.parametrize(("serial", "told"), [(b"\x02\x01\x00", "0"), (b"\x02\x01\xfb", "5")])
def test_odd_serial_number_has_no_sign_and_warns_nobody(serial: bytes, told: str) -> None:
    assert read_certificate(changed(SERIAL_5, serial)).serial == told


def test_country_that_is_none_warns_nobody() -> None:
    read = read_certificate(changed(OID_COMMON, OID_COUNTRY))
    assert read.subject == "C=alice"
    assert read.common_names == ()


@given(st.integers(0, len(ALICE.der) - 1), st.binary(min_size=1, max_size=4))
def test_any_damage_is_read_or_a_named_error(place: int, damage: bytes) -> None:
    der = ALICE.der[:place] + damage + ALICE.der[place + len(damage) :]
    try:
        read = read_certificate(der)
    except CertificateError:
        return
    assert len(read.fingerprint) == 64


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        ROOT.pem[:100],
        ROOT.pem.replace(b"M", b"!"),
        ROOT.pem + ALICE.pem[:-30],
        ROOT.pem[:-30] + ALICE.pem,
        ALICE.key_pem,
    ],
    ids=["nothing", "no PEM", "begun", "no base64", "cut off", "cut in the middle", "a key"],
)
def test_bundle_without_a_certificate_is_a_named_error(content: bytes) -> None:
    with pytest.raises(CertificateError):
        read_bundle(content)


def test_bundle_may_hold_text_and_several_certificates() -> None:
    found = read_bundle(b"# the team's\n" + ROOT.pem + b"\nand\xff another\n" + ALICE.pem)
    assert [each.subject.rfc4514_string() for each in found] == [
        r"CN=Team root\, Example",
        "CN=alice",
    ]
    assert found[0].not_valid_after_utc > datetime.now(UTC)
