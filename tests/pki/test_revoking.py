"""Revoking: the journal, the list, and what a registry makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import REVOCATION_REASONS
from angos_trio.pki.certificates import read_certificate
from angos_trio.pki.inspecting import inspect
from angos_trio.pki.keeping import PkiDirectory, read_journal
from angos_trio.pki.renewing import due_of
from angos_trio.pki.revocation import read_lists as lists_of
from angos_trio.pki.revocation import revocations_of
from angos_trio.pki.revoking import make_list_anew, revoke
from tests.pki.authorities import DAY_SECS, NOW, admit, certificates, files_below, found, serve


def problem(directory: PkiDirectory, pem: bytes) -> str | None:
    """What a registry says to a client with this certificate."""
    leaf, above = x509.load_pem_x509_certificates(pem)
    authorities = certificates(directory.clients_ca)
    lists = lists_of(directory.crl.read_bytes(), authorities)
    revocations = revocations_of(lists, denies_stale=True, authorities=authorities)
    shown = read_certificate(leaf.public_bytes(Encoding.DER), [above.public_bytes(Encoding.DER)])
    return revocations.problem_of(shown, NOW)


def number_of(directory: PkiDirectory) -> int:
    """That of the list."""
    crl = x509.load_pem_x509_crl(directory.crl.read_bytes())
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_newest_of_a_name_is_revoked_and_older_ones_are_told_of(tmp_path: Path) -> None:
    directory = found(tmp_path)
    first, second, other = (admit(directory, name) for name in ("alice", "alice", "bob"))
    done = revoke(directory, "alice", "key-compromise", NOW)

    assert [record.serial for record in done.revoked] == [second.record.serial]
    assert [record.serial for record in done.others] == [first.record.serial]
    assert problem(directory, second.pem) == "the client certificate is revoked"
    assert problem(directory, first.pem) is None
    assert problem(directory, other.pem) is None
    [entry] = x509.load_pem_x509_crl(directory.crl.read_bytes())
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value
    assert reason == x509.CRLReason(x509.ReasonFlags.key_compromise)

    done = revoke(directory, "alice", "unspecified", NOW)
    assert [record.serial for record in done.revoked] == [first.record.serial]
    assert problem(directory, first.pem) == "the client certificate is revoked"


def test_all_of_a_name_are_revoked_at_once(tmp_path: Path) -> None:
    directory = found(tmp_path)
    issued = [admit(directory, "alice") for _ in range(3)]
    done = revoke(directory, "alice", "unspecified", NOW, takes_all=True)

    assert (len(done.revoked), done.others) == (3, ())
    assert {problem(directory, each.pem) for each in issued} == {
        "the client certificate is revoked"
    }


def test_serial_number_is_taken_as_others_write_it(tmp_path: Path) -> None:
    directory = found(tmp_path)
    for spell in (
        lambda serial: serial,
        lambda serial: serial.upper(),
        lambda serial: f"{int(serial, 16):040X}",
        lambda serial: ":".join(f"{int(serial, 16):040x}"[at : at + 2] for at in range(0, 40, 2)),
    ):
        serial = admit(directory, "alice").record.serial
        assert revoke(directory, spell(serial), "superseded", NOW).revoked[0].serial == serial


def test_what_cannot_be_revoked_is_said_in_words(tmp_path: Path) -> None:
    directory = found(tmp_path)
    gone = admit(directory, "gone").record
    revoke(directory, "gone", "unspecified", NOW)
    admit(directory, "old", days=1)
    issuing = f"{certificates(directory.issuing)[0].serial_number:x}"
    before = files_below(directory.root)
    for what, part in (
        ("nobody", "nobody has a certificate under this name: angos-trio pki list"),
        ("", "nobody has a certificate under this name"),
        ("ab" * 10, "no certificate with this serial number was issued here"),
        ("ab" * 20, "no certificate with this serial number was issued here"),
        ("0" * 40, "no certificate with this serial number was issued here"),
        ("gone", r"its certificate \(.*\) was revoked already, on 20"),
        (gone.serial, "this certificate was revoked already, on 20"),
        (issuing, "this is an authority of our own"),
    ):
        with pytest.raises(OperatorError, match=part):
            revoke(directory, what, "unspecified", NOW)
    with pytest.raises(OperatorError, match=r"old: its certificate \(.*\) ended at"):
        revoke(directory, "old", "unspecified", NOW + 2 * DAY_SECS)
    assert files_below(directory.root) == before


def test_every_reason_is_one_of_the_list(tmp_path: Path) -> None:
    directory = found(tmp_path)
    for reason in REVOCATION_REASONS:
        admit(directory, reason)
        revoke(directory, reason, reason, NOW)
    assert len(x509.load_pem_x509_crl(directory.crl.read_bytes())) == len(REVOCATION_REASONS)


def test_name_is_found_however_its_letters_are_composed(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "Zo\u00eb")
    assert revoke(directory, "Zoe\u0308", "unspecified", NOW).revoked[0].name == "Zo\u00eb"


def test_server_can_be_revoked(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serial = serve(directory).record.serial
    assert revoke(directory, "server", "superseded", NOW).revoked[0].serial == serial


def test_what_ended_long_ago_leaves_the_list_and_not_the_journal(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "short", days=1)
    admit(directory, "long", days=90)
    revoke(directory, "short", "unspecified", NOW)
    revoke(directory, "long", "unspecified", NOW + 32 * DAY_SECS)

    assert len(x509.load_pem_x509_crl(directory.crl.read_bytes())) == 1
    assert make_list_anew(directory, None, NOW + 32 * DAY_SECS).count == 1
    assert len(read_journal(directory).revoked) == 2


def test_list_that_never_reached_the_disk_is_wrong_and_made_anew(tmp_path: Path) -> None:
    directory = found(tmp_path)
    before = directory.crl.read_bytes()
    make_list_anew(directory, None, NOW)
    directory.crl.write_bytes(before)  # as if the disk had been full

    assert due_of(directory, NOW).has_list
    assert any(
        "its number is 1, and the journal's 2" in str(each) for _, each in inspect(directory, NOW)
    )
    admit(directory, "alice")
    assert number_of(directory) == 3
    assert inspect(directory, NOW) == []


def test_journal_from_an_older_backup_lets_nobody_in_again(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "alice")
    before = directory.journal.read_bytes()
    mallory = admit(directory, "mallory")
    revoke(directory, "mallory", "key-compromise", NOW)
    revoke(directory, "alice", "unspecified", NOW)
    number = number_of(directory)
    directory.journal.write_bytes(before)
    issued = admit(directory, "bob")

    assert any(f"and does now: {mallory.record.serial}, " in remark for remark in issued.remarks)
    assert problem(directory, mallory.pem) == "the client certificate is revoked"
    assert number_of(directory) > number
    revoked = read_journal(directory).revoked
    assert (len(revoked), revoked[mallory.record.serial].reason) == (2, "keyCompromise")
    assert inspect(directory, NOW) == []
    assert admit(directory, "bob").remarks[0].startswith("this renews bob")  # and is told once


def test_list_of_another_authority_revokes_nobody_here(tmp_path: Path) -> None:
    directory, other = found(tmp_path), found(tmp_path / "other")
    admit(other, "alice")
    revoke(other, "alice", "unspecified", NOW)
    directory.crl.write_bytes(other.crl.read_bytes())

    assert due_of(directory, NOW).has_list
    admit(directory, "bob")
    assert read_journal(directory).revoked == {}
    assert inspect(directory, NOW) == []


def test_certificate_that_the_journal_lost_is_revoked_by_its_serial_number(tmp_path: Path) -> None:
    directory = found(tmp_path)
    before = directory.journal.read_bytes()
    lost = admit(directory, "lost")
    directory.journal.write_bytes(before)
    done = revoke(directory, lost.record.serial.upper(), "key-compromise", NOW)

    assert (done.revoked, done.unknown) == ((), lost.record.serial)
    assert problem(directory, lost.pem) == "the client certificate is revoked"
    with pytest.raises(OperatorError, match="this certificate was revoked already"):
        revoke(directory, lost.record.serial, "key-compromise", NOW)


def test_list_that_lost_what_the_journal_knows_is_made_anew(tmp_path: Path) -> None:
    directory = found(tmp_path)
    empty = directory.crl.read_bytes()
    alice = admit(directory, "alice")
    revoke(directory, "alice", "unspecified", NOW)
    for content in (empty, b"damaged", None):
        if content is None:
            directory.crl.unlink()
        else:
            directory.crl.write_bytes(content)
        issued = admit(directory, "bob")
        assert problem(directory, alice.pem) == "the client certificate is revoked"
        assert any("is made anew" in remark for remark in issued.remarks)
