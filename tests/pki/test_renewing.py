"""What is due is found and renewed; what cannot be is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from angos_trio.errors import OperatorError
from angos_trio.pki.inspecting import inspect
from angos_trio.pki.keeping import PkiDirectory, read_journal
from angos_trio.pki.keys import fits, load_key
from angos_trio.pki.renewing import RootKey, due_of, find_due, renew, renew_all_due, renew_issuing
from angos_trio.pki.revoking import make_list_anew, revoke
from tests.pki.authorities import DAY_SECS, NOW, admit, certificates, files_below, found, serve
from tests.pki.test_authority import key_of, request_file

YEAR_SECS = 365 * DAY_SECS


def crl_of(directory: PkiDirectory) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(directory.crl.read_bytes())


def test_renewing_takes_a_new_key_and_says_the_same(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "alice", groups=("team",), days=30)
    serve(directory, "registry.lab", "10.0.0.5", days=100)
    for name, path, key_path in (
        ("alice", directory.client("alice"), directory.client_key("alice")),
        ("server", directory.server, directory.server_key),
    ):
        before, old_key = certificates(path)[0], key_path.read_bytes()
        issued = renew(directory, name, NOW + DAY_SECS)
        after = certificates(path)[0]

        assert key_path.read_bytes() != old_key
        assert fits(key_of(key_path), after)
        assert after.subject == before.subject
        assert after.serial_number != before.serial_number
        for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage):
            assert after.extensions.get_extension_for_class(kind) == (
                before.extensions.get_extension_for_class(kind)
            )
        assert (after.not_valid_after_utc - before.not_valid_after_utc).days == 1
        assert issued.record.replaces == f"{before.serial_number:x}"


def test_renewing_what_nobody_can_is_refused_in_words(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "hsm", groups=("ops", "a b"), days=9, request=request_file(tmp_path))
    admit(directory, "mallory")
    revoke(directory, "mallory", "key-compromise", NOW)
    before = files_below(directory.root)
    for name, part in (
        ("nobody", "nobody: no certificate was issued yet: angos-trio pki client nobody"),
        ("server", "server: no certificate was issued yet: angos-trio pki server --san NAME"),
        ("hsm", "pki client hsm --csr FILE --group ops --group 'a b' --days 9 --pki /"),
        ("mallory", "was revoked on .*: a new one is issued on purpose only"),
        ("../x", "no / and no"),
        ("root", "this word stands for something else"),
    ):
        with pytest.raises(OperatorError, match=part):
            renew(directory, name, NOW)
        if name != "hsm":
            with pytest.raises(OperatorError, match=part):
                find_due(directory, name, NOW)
    assert files_below(directory.root) == before


def test_two_thirds_of_a_life_make_it_due(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory, days=90)
    admit(directory, "alice", days=90)
    admit(directory, "revoked", days=90)
    make_list_anew(directory, 300, NOW)
    revoke(directory, "revoked", "unspecified", NOW)

    assert not due_of(directory, NOW + 59 * DAY_SECS).is_any
    due = due_of(directory, NOW + 61 * DAY_SECS)
    assert due.server is not None
    assert [record.name for record in due.clients] == ["alice"]
    assert not due.has_list
    assert due_of(directory, NOW + 201 * DAY_SECS).has_list
    assert due_of(directory, NOW + 100 * DAY_SECS).clients == ()


def test_all_due_renews_the_server_and_the_list_and_names_clients(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory, days=90)
    admit(directory, "alice", days=90)
    before = certificates(directory.server)[0], directory.client("alice").read_bytes()
    now = NOW + 61 * DAY_SECS
    done = renew_all_due(directory, now)

    assert done.server is not None
    assert certificates(directory.server)[0] != before[0]
    assert directory.client("alice").read_bytes() == before[1]
    assert [record.name for record in done.due.clients] == ["alice"]
    assert done.next_update == now + 30 * DAY_SECS
    due = due_of(directory, now)
    assert (due.server, due.has_list) == (None, False)


def test_nothing_due_changes_nothing(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    before = files_below(directory.root)

    assert not renew_all_due(directory, NOW).due.is_any
    assert files_below(directory.root) == before


def test_list_keeps_the_days_it_was_last_made_for(tmp_path: Path) -> None:
    directory = found(tmp_path)
    make_list_anew(directory, 7, NOW)
    admit(directory, "alice")
    revoke(directory, "alice", "superseded", NOW + DAY_SECS)
    due = crl_of(directory).next_update_utc

    assert due is not None
    assert int(due.timestamp()) == NOW + 8 * DAY_SECS
    numbers = crl_of(directory).extensions.get_extension_for_class(x509.CRLNumber)
    assert numbers.value.crl_number == 3
    with pytest.raises(OperatorError, match=r"--days: from 1 to 3650, and not 0"):
        make_list_anew(directory, 0, NOW)


def test_authorities_that_end_are_warned_of(tmp_path: Path) -> None:
    directory = found(tmp_path, years=2)

    assert due_of(directory, NOW).warnings == ()
    near = due_of(directory, NOW + YEAR_SECS - DAY_SECS).warnings
    assert len(near) == 1
    assert "the issuing authority ends at" in near[0]
    assert "angos-trio pki renew issuing" in near[0]
    late = due_of(directory, NOW + 2 * YEAR_SECS - DAY_SECS).warnings
    assert ["issuing authority ended" in late[0], "the root ends" in late[1]] == [True, True]


@pytest.mark.parametrize("name", ["lab", 'ACME, "Inc." <+;>\\', "#lab"])
def test_issuing_authority_is_renewed_with_its_name_and_key(tmp_path: Path, name: str) -> None:
    directory = found(tmp_path, name=name)
    serve(directory)
    alice = admit(directory, "alice")
    key, leaf = directory.issuing_key.read_bytes(), certificates(directory.server)[0]
    [old] = certificates(directory.issuing)
    later = NOW + YEAR_SECS
    renew_issuing(directory, RootKey(), later)
    [new] = certificates(directory.issuing)

    assert new.not_valid_after_utc > old.not_valid_after_utc
    assert (new.subject, new.public_key()) == (old.subject, old.public_key())
    new.verify_directly_issued_by(certificates(directory.ca)[0])
    assert directory.issuing_key.read_bytes() == key
    assert certificates(directory.server) == [leaf, new]
    leaf.verify_directly_issued_by(new)
    assert certificates(directory.clients_ca) == [new, *certificates(directory.ca)]
    revoke(directory, alice.record.serial, "superseded", later)
    assert crl_of(directory).is_signature_valid(new.public_key())  # type: ignore[arg-type]
    assert read_journal(directory).records[-1].replaces == f"{old.serial_number:x}"


def test_root_key_comes_from_elsewhere_and_is_looked_at(tmp_path: Path) -> None:
    stick = tmp_path / "root.key"
    directory = found(tmp_path, offline_root=stick, password=b"secret")
    other = found(tmp_path / "other")
    before = files_below(directory.root)
    for key, part in (
        (RootKey(), "the root's key is not here: bring the medium .* --root-key FILE"),
        (RootKey(tmp_path / "missing"), "missing: the root's key is not here"),
        (RootKey(stick), "is encrypted: give its password with --password-file FILE"),
        (RootKey(stick, b"wrong"), "the password is wrong, or the file is damaged"),
        (RootKey(other.root_key), r"is not the key of .*ca.crt: it is of another root"),
        (RootKey(other.ca), "no private key in PEM"),
    ):
        with pytest.raises(OperatorError, match=part):
            renew_issuing(directory, key, NOW)
    assert files_below(directory.root) == before

    renew_issuing(directory, RootKey(stick, b"secret"), NOW)
    assert not directory.root_key.exists()
    assert load_key(stick, stick.read_bytes(), b"secret")


def test_root_that_ended_renews_nothing(tmp_path: Path) -> None:
    directory = found(tmp_path, years=1)
    with pytest.raises(OperatorError, match=r"the root ended at .* pki init in an empty directory"):
        renew_issuing(directory, RootKey(), NOW + 2 * YEAR_SECS)


def test_what_a_clock_that_was_ahead_has_made_is_due(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    assert not due_of(directory, NOW).is_any
    ahead = NOW + 100 * DAY_SECS
    renew(directory, "server", ahead)
    make_list_anew(directory, None, ahead)
    due = due_of(directory, NOW)
    assert due.server is not None
    assert due.has_list
    renew_all_due(directory, NOW)
    assert not due_of(directory, NOW).is_any
    assert certificates(directory.server)[0].not_valid_before_utc.timestamp() < NOW


@pytest.mark.parametrize("is_older", [False, True])
def test_server_is_due_also_when_the_journal_has_lost_it(tmp_path: Path, is_older: bool) -> None:
    directory = found(tmp_path)
    before = directory.journal.read_bytes() if is_older else b""
    serve(directory, "registry.lab", "10.0.0.5", days=90)
    serial = read_journal(directory).latest()["server"].serial
    directory.journal.write_bytes(before)
    if not is_older:
        directory.journal.unlink()
    later = NOW + 61 * DAY_SECS
    assert due_of(directory, NOW).server is None
    for due in (due_of(directory, later).server, find_due(directory, "server", later)):
        assert due is not None
        assert due.serial == serial
    assert any("it does not tell of" in str(each) for _, each in inspect(directory, NOW))
    assert any("it is due, and ends" in str(each) for _, each in inspect(directory, later))
    done = renew_all_due(directory, later)

    assert done.server is not None
    assert any(f"did not tell of {directory.server}" in remark for remark in done.remarks)
    assert done.server.record.names == ("DNS:registry.lab", "IP:10.0.0.5")
    assert (done.server.record.days, done.server.record.replaces) == (90, serial)
    assert read_journal(directory).with_serial(serial) is not None
    assert inspect(directory, later) == []


def test_server_that_came_back_from_a_backup_is_due_by_its_own_end(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory, days=90)
    before = directory.server.read_bytes(), directory.server_key.read_bytes()
    later = NOW + 61 * DAY_SECS
    renew_all_due(directory, later)
    assert due_of(directory, later).server is None
    directory.server.write_bytes(before[0])
    directory.server_key.write_bytes(before[1])
    assert find_due(directory, "server", later) is not None
    assert renew_all_due(directory, later).server is not None
    assert find_due(directory, "server", later) is None


def test_what_is_not_ours_in_the_place_of_the_server_is_left_to_its_owner(tmp_path: Path) -> None:
    directory, other = found(tmp_path), found(tmp_path / "other")
    serve(other, days=90)
    for path in (other.server, other.server_key):
        (directory.root / path.relative_to(other.root)).write_bytes(path.read_bytes())
    assert due_of(directory, NOW + 89 * DAY_SECS).server is None
    admit(directory, "alice")
    assert "server" not in read_journal(directory).latest()


def test_a_list_that_lacks_what_was_revoked_is_due(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    admit(directory, "mallory")
    before = directory.crl.read_bytes()
    revoke(directory, "mallory", "unspecified", NOW)
    assert not due_of(directory, NOW).is_any
    directory.crl.write_bytes(before)  # from a backup, or the disk was full
    assert due_of(directory, NOW).has_list
    renew_all_due(directory, NOW)
    assert len(list(crl_of(directory))) == 1
