"""Which client certificates are refused, at which time, by which lists."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from angos_trio.clock import epoch_seconds
from angos_trio.identity import Certificate
from angos_trio.pki.certificates import CertificateError, read_certificate, unreadable_certificate
from angos_trio.pki.revocation import Revocations, read_lists, revocations_of
from angos_trio.records import replace
from tests.certificates import DAY_SECS, FOR_SERVERS, Authority, Issued

ROOT = Authority("Root")
MIDDLE = ROOT.intermediate("Middle")
OTHER = Authority("Other")
DER = Encoding.DER


def lists(*contents: bytes, denies_stale: bool = False, among: Any = (ROOT,)) -> Revocations:
    """What counts of these files, for a bundle of these authorities."""
    authorities = [each.certificate for each in among]
    read = [each for content in contents for each in read_lists(content, authorities)]
    return revocations_of(read, denies_stale=denies_stale)


def read(issued: Issued, *signers: Authority) -> Certificate:
    return read_certificate(issued.der, [each.certificate.public_bytes(DER) for each in signers])


def test_good_certificate_is_not_refused() -> None:
    alice = read(ROOT.client("alice"))
    for revocations in (Revocations(), lists(ROOT.crl()), lists(ROOT.crl(ROOT.client("bob")))):
        assert revocations.problem_of(alice, epoch_seconds()) is None


@pytest.mark.parametrize(
    ("leaf", "word"),
    [
        ({"ends_secs": -1}, "expired"),
        ({"begins_secs": 100}, "not valid yet"),
        ({"purposes": None}, "not for clients"),
        ({"purposes": (FOR_SERVERS,)}, "not for clients"),
    ],
)
def test_certificate_out_of_its_time_or_purpose_is_refused(leaf: Any, word: str) -> None:
    problem = Revocations().problem_of(read(ROOT.client("alice", **leaf)), epoch_seconds())
    assert problem is not None
    assert word in problem


def test_certificate_that_cannot_be_read_is_refused() -> None:
    odd = unreadable_certificate(ROOT.client("a\nb").der)
    assert "cannot be read" in (lists(ROOT.crl()).problem_of(odd, epoch_seconds()) or "")


def test_time_is_looked_at_each_time() -> None:
    alice = read(ROOT.client("alice"))
    assert Revocations().problem_of(alice, alice.not_after) is None
    assert Revocations().problem_of(alice, alice.not_after + 1) is not None
    assert Revocations().problem_of(alice, alice.not_before - 1) is not None


def test_revoked_certificate_is_refused_and_others_are_not() -> None:
    alice, bob = ROOT.client("alice"), ROOT.client("bob")
    revocations = lists(ROOT.crl(alice))
    assert "revoked" in (revocations.problem_of(read(alice), epoch_seconds()) or "")
    assert revocations.problem_of(read(bob), epoch_seconds()) is None


def test_same_serial_number_of_another_issuer_is_not_revoked() -> None:
    alice = ROOT.client("alice", serial=77)
    revocations = lists(ROOT.crl(alice), among=(ROOT, OTHER))
    assert revocations.problem_of(read(OTHER.client("alice", serial=77)), epoch_seconds()) is None


def test_issuer_is_found_however_its_name_is_written() -> None:
    alice = read(ROOT.client("alice", serial=77))
    revocations = lists(ROOT.crl(ROOT.client(serial=77)))
    assert revocations.problem_of(replace(alice, issuer="cn=ROOT"), epoch_seconds()) is not None


def test_certificates_of_a_revoked_authority_are_refused() -> None:
    alice = MIDDLE.client("alice")
    revocations = lists(ROOT.crl(Issued(MIDDLE.certificate, MIDDLE.key)))
    assert "authority" in (revocations.problem_of(read(alice, MIDDLE, ROOT), epoch_seconds()) or "")


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_list_may_be_pem_or_der(encoding: Encoding) -> None:
    alice = ROOT.client("alice")
    revocations = lists(ROOT.crl(alice, encoding=encoding))
    assert revocations.problem_of(read(alice), epoch_seconds()) is not None


def test_file_may_hold_several_lists_and_text() -> None:
    alice, bob = ROOT.client("alice"), OTHER.client("bob")
    content = b"# ours\n" + ROOT.crl(alice) + b"\xff theirs\n" + OTHER.crl(bob) + OTHER.pem
    revocations = lists(content, among=(ROOT, OTHER))
    assert revocations.problem_of(read(alice), epoch_seconds()) is not None
    assert revocations.problem_of(read(bob), epoch_seconds()) is not None


def test_newer_list_of_the_same_key_counts_whatever_the_order() -> None:
    alice = ROOT.client("alice")
    old, new = ROOT.crl(alice, updated_secs=-500), ROOT.crl(updated_secs=-100)
    for contents in ((old, new), (new, old), (old + new,)):
        assert lists(*contents).problem_of(read(alice), epoch_seconds()) is None


def test_lists_of_an_old_and_a_new_key_count_both() -> None:
    renewed = Authority("Root")
    alice, bob = ROOT.client("alice"), renewed.client("bob")
    contents = ROOT.crl(alice, updated_secs=-500), renewed.crl(bob)
    revocations = lists(*contents, among=(renewed, ROOT))
    assert revocations.problem_of(read(alice), epoch_seconds()) is not None
    assert revocations.problem_of(read(bob), epoch_seconds()) is not None


@pytest.mark.parametrize("denies_stale", [False, True])
def test_list_that_is_out_of_date_denies_only_where_it_is_to(denies_stale: bool) -> None:
    alice, bob = ROOT.client("alice"), ROOT.client("bob")
    revocations = lists(
        ROOT.crl(bob, next_update_secs=-1),
        OTHER.crl(),
        denies_stale=denies_stale,
        among=(ROOT, OTHER),
    )
    assert (
        "out of date" in (revocations.problem_of(read(alice), epoch_seconds()) or "")
    ) == denies_stale
    assert "revoked" in (revocations.problem_of(read(bob), epoch_seconds()) or "")
    assert revocations.problem_of(read(OTHER.client()), epoch_seconds()) is None
    assert [each.issuer for each in revocations.stale(epoch_seconds())] == ["CN=Root"]
    assert len(revocations.stale(epoch_seconds() + 8 * DAY_SECS)) == 2
    assert revocations.stale(epoch_seconds() - 100) == []


def test_list_of_an_authority_above_that_is_out_of_date_denies_too() -> None:
    revocations = lists(ROOT.crl(next_update_secs=-1), denies_stale=True)
    alice = read(MIDDLE.client("alice"), MIDDLE, ROOT)
    assert "out of date" in (revocations.problem_of(alice, epoch_seconds()) or "")


def special_list(*extensions: tuple[x509.ExtensionType, bool], by: Authority = ROOT) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ROOT.certificate.subject)
        .last_update(now - timedelta(days=1))
        .next_update(now + timedelta(days=1))
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def part(number: int, *, indirect: bool = False) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(f"http://crl.example.test/{number}")],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=indirect,
        only_contains_attribute_certs=False,
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        ROOT.pem,
        ROOT.crl()[:100],
        ROOT.crl()[:-30],
        ROOT.crl().replace(b"MI", b"!!"),
        ROOT.crl() + ROOT.crl()[:-40],
        ROOT.crl()[:-40] + ROOT.crl(),
        ROOT.crl(encoding=DER)[:-1],
        OTHER.crl(),
        special_list(by=OTHER),  # in our name, by another key
        special_list((x509.DeltaCRLIndicator(1), True)),
        special_list((part(1, indirect=True), True)),
        special_list((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b""), True)),
    ],
    ids=itertools.count(),
)
def test_list_that_cannot_be_relied_on_is_a_named_error(content: bytes) -> None:
    with pytest.raises(CertificateError):
        lists(content)


def test_list_with_a_changed_entry_is_a_named_error() -> None:
    alice = ROOT.client("alice", serial=0x1234567812345678)
    content = bytearray(ROOT.crl(alice, encoding=DER))
    place = content.index(bytes.fromhex("1234567812345678"))
    content[place + 7] ^= 1
    with pytest.raises(CertificateError, match="signed by no authority"):
        lists(bytes(content))


def test_unknown_extension_that_is_not_critical_is_passed_over() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"")
    assert (
        lists(special_list((unknown, False), (x509.CRLNumber(3), False))).stale(epoch_seconds())
        == []
    )


def test_lists_of_parts_of_one_authority_count_together() -> None:
    revocations = lists(special_list((part(1), True)), special_list((part(2), True)))
    assert len(revocations.lists["cn=root"]) == 2


def test_authority_that_may_not_sign_lists_signs_none() -> None:
    server = ROOT.server()  # its key usage has no cRLSign
    with pytest.raises(CertificateError, match="signed by no authority"):
        read_lists(ROOT.crl(), [server.certificate])


@pytest.mark.slow
def test_long_list_is_read_in_a_moment_and_asked_in_none() -> None:
    now = datetime.now(UTC)
    entries = [
        x509.RevokedCertificateBuilder()
        .serial_number(x509.random_serial_number())
        .revocation_date(now)
        .build()
        for _ in range(10_000)
    ]
    due = now + timedelta(days=1)
    builder = x509.CertificateRevocationListBuilder(ROOT.certificate.subject, now, due, [], entries)
    content = builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.PEM)
    begun = time.perf_counter()
    revocations = lists(content)
    assert time.perf_counter() - begun < 2
    alice = read(ROOT.client("alice"))
    begun = time.perf_counter()
    for _ in range(1000):
        assert revocations.problem_of(alice, epoch_seconds()) is None
    assert time.perf_counter() - begun < 0.5
