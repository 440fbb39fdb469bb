"""An authority of our own: what it issues, where it lies, and what it refuses."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from angos_trio.errors import OperatorError
from angos_trio.pki.authority import PkiDirectory, stale_files
from angos_trio.pki.keeping import read_journal
from angos_trio.pki.keys import fits, load_key
from angos_trio.pki.profiles import key_pem, new_key
from angos_trio.pki.renewing import RootKey, renew_issuing
from angos_trio.pki.revoking import revoke
from tests.pki.authorities import DAY_SECS, NOW, admit, certificates, files_below, found, serve


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension:  # type: ignore[type-arg]
    return certificate.extensions.get_extension_for_class(kind)


def key_of(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def request_file(folder: Path, key: object = None, **said: str) -> Path:
    """A request for a certificate, as `openssl req` makes one."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, said.get("cn", "somebody else"))])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    path = folder / "request.csr"
    signed = builder.sign(key, algorithm)  # type: ignore[arg-type]
    path.write_bytes(signed.public_bytes(Encoding.PEM))
    return path


def test_authorities_have_the_profile(tmp_path: Path) -> None:
    directory = found(tmp_path)
    [root], [issuing] = certificates(directory.ca), certificates(directory.issuing)

    for certificate, length in ((root, 1), (issuing, 0)):
        constraints = extension(certificate, x509.BasicConstraints)
        assert constraints.critical
        assert constraints.value == x509.BasicConstraints(ca=True, path_length=length)
        usage = extension(certificate, x509.KeyUsage)
        assert usage.critical
        assert usage.value.key_cert_sign
        assert usage.value.crl_sign
        assert not usage.value.digital_signature
        assert extension(certificate, x509.SubjectKeyIdentifier)
        assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert extension(issuing, x509.AuthorityKeyIdentifier).value.key_identifier == (
        extension(root, x509.SubjectKeyIdentifier).value.digest
    )
    issuing.verify_directly_issued_by(root)
    years = (root.not_valid_after_utc - root.not_valid_before_utc).days // 365
    assert (years, root.subject.rfc4514_string()) == (10, "CN=lab root")
    assert issuing.not_valid_after_utc < root.not_valid_after_utc
    assert certificates(directory.clients_ca) == [issuing, root]
    crl = x509.load_pem_x509_crl(directory.crl.read_bytes())
    assert len(list(crl)) == 0
    assert crl.is_signature_valid(issuing.public_key())  # type: ignore[arg-type]


def test_leaves_have_the_profile(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory, "Registry.lab", "10.0.0.5")
    admit(directory, "alice", groups=("team", "ops"))
    [issuing] = certificates(directory.issuing)

    for path, purpose, names in (
        (directory.server, ExtendedKeyUsageOID.SERVER_AUTH, ["registry.lab", "10.0.0.5"]),
        (
            directory.client("alice"),
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ["registry://client/alice"],
        ),
    ):
        leaf, after = certificates(path)
        assert after == issuing
        leaf.verify_directly_issued_by(issuing)
        constraints = extension(leaf, x509.BasicConstraints)
        assert (constraints.critical, constraints.value.ca) == (True, False)
        usage = extension(leaf, x509.KeyUsage)
        assert (usage.critical, usage.value.digital_signature) == (True, True)
        assert not usage.value.key_cert_sign
        assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [purpose]
        said = extension(leaf, x509.SubjectAlternativeName).value
        assert [str(name.value) for name in said] == names
        assert extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier == (
            extension(issuing, x509.SubjectKeyIdentifier).value.digest
        )
        assert extension(leaf, x509.SubjectKeyIdentifier)
        assert NOW - leaf.not_valid_before_utc.timestamp() == 300
        assert leaf.serial_number.bit_length() > 100
    subject = certificates(directory.client("alice"))[0].subject
    assert subject.rfc4514_string() == "CN=alice,O=ops,O=team"
    assert fits(key_of(directory.server_key), certificates(directory.server)[0])
    assert fits(key_of(directory.client_key("alice")), certificates(directory.client("alice"))[0])


def test_keys_are_their_owners_alone_and_certificates_everybodys(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        directory = found(tmp_path)
        serve(directory)
        admit(directory, "alice", p12_password=b"secret")
    finally:
        os.umask(before)

    modes = {
        str(path.relative_to(directory.root)): stat.S_IMODE(path.stat().st_mode)
        for path in directory.root.rglob("*")
    }
    assert modes == {
        "ca.crt": 0o644,
        "issuing.crt": 0o644,
        "clients-ca.crt": 0o644,
        "clients.crl": 0o644,
        "server.crt": 0o644,
        "clients": 0o755,
        "clients/alice.crt": 0o644,
        "issued.jsonl": 0o600,
        "private": 0o700,
        "private/.lock": 0o600,
        "private/root.key": 0o600,
        "private/issuing.key": 0o600,
        "private/server.key": 0o600,
        "private/clients": 0o700,
        "private/clients/alice.key": 0o600,
        "private/clients/alice.p12": 0o600,
    }
    assert stat.S_IMODE(directory.root.stat().st_mode) == 0o755


def test_second_authority_in_a_directory_is_refused(tmp_path: Path) -> None:
    directory = found(tmp_path)
    before = files_below(tmp_path)

    with pytest.raises(OperatorError, match=r"there is an authority here already: .* pki list"):
        found(tmp_path)

    assert files_below(tmp_path) == before
    assert directory.has_authority


@pytest.mark.parametrize("password", [b"secret", None])
def test_root_key_in_the_directory_is_encrypted_if_there_is_a_password(
    tmp_path: Path, password: bytes | None
) -> None:
    directory = found(tmp_path, password=password)
    content = directory.root_key.read_bytes()

    assert (b"ENCRYPTED" in content) == (password is not None)
    key = load_key(directory.root_key, content, password)
    assert fits(key, certificates(directory.ca)[0])


def test_password_that_is_too_long_for_a_key_is_refused_in_words(tmp_path: Path) -> None:
    directory = found(tmp_path, password=b"x" * 1023)
    for work in (
        lambda: found(tmp_path / "other", password=b"x" * 1024),
        lambda: admit(directory, "alice", p12_password=b"x" * 1024),
    ):
        with pytest.raises(OperatorError, match="is longer than 1023 bytes: take a shorter one"):
            work()
    assert not (tmp_path / "other").exists()


def test_what_is_copied_goes_together(tmp_path: Path) -> None:
    directory = found(tmp_path)
    before = admit(directory, "alice", p12_password=b"secret")
    assert before.bag == {
        "ca.crt": directory.ca.read_bytes(),
        "alice.crt": directory.client("alice").read_bytes(),
        "alice.key": directory.client_key("alice").read_bytes(),
        "alice.p12": directory.client_p12("alice").read_bytes(),
    }
    copied = tmp_path / "copied"
    copied.mkdir()
    for name, content in before.bag.items():
        (copied / name).write_bytes(content)
    names = [copied / "alice.p12", copied / "alice.key"]
    key = ec.generate_private_key(ec.SECP256R1())
    after = admit(directory, "alice", request=request_file(tmp_path, key))

    assert after.bag.keys() == {"ca.crt", "alice.crt"}
    assert stale_files(copied, "alice", before.bag) == []
    assert stale_files(copied, "alice", after.bag) == names
    for own in (key_pem(key), key_pem(new_key()), key_pem(key, b"secret"), b"in a TPM"):
        names[1].write_bytes(own)  # of the client, which made the request there
        assert stale_files(copied, "alice", after.bag) == names[:1]


def test_offline_root_leaves_no_key_behind(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    directory = found(tmp_path, offline_root=stick / "root.key", password=b"secret")

    assert not directory.root_key.exists()
    assert stat.S_IMODE((stick / "root.key").stat().st_mode) == 0o600
    content = (stick / "root.key").read_bytes()
    assert fits(load_key(stick, content, b"secret"), certificates(directory.ca)[0])
    admit(directory, "alice")


def test_offline_root_is_not_written_over_a_file_and_nothing_is_half_done(tmp_path: Path) -> None:
    taken = tmp_path / "root.key"
    taken.write_text("of another authority")

    with pytest.raises(OperatorError, match=r"is there already, and a key is not written over"):
        found(tmp_path, offline_root=taken, password=b"secret")

    assert taken.read_text() == "of another authority"
    directory = found(tmp_path)
    assert directory.has_authority


def test_offline_root_beside_the_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"name a file on a medium that is taken away"):
        found(tmp_path, offline_root=tmp_path / "pki" / "root.key", password=b"secret")
    with pytest.raises(OperatorError, match=r"is no directory"):
        found(tmp_path, offline_root=tmp_path / "stick" / "root.key", password=b"secret")
    assert files_below(tmp_path) == {}


def test_request_gives_its_key_and_nothing_else(tmp_path: Path) -> None:
    directory = found(tmp_path)
    key = ec.generate_private_key(ec.SECP384R1())
    issued = admit(directory, "alice", request=request_file(tmp_path, key))
    [leaf, _] = certificates(directory.client("alice"))

    assert fits(key, leaf)
    assert leaf.subject.rfc4514_string() == "CN=alice"
    assert not extension(leaf, x509.BasicConstraints).value.ca
    assert (issued.key, issued.record.has_key) == (None, False)
    assert not directory.client_key("alice").exists()


def test_key_of_another_certificate_does_not_stay_beside_that_of_a_request(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "alice", p12_password=b"secret")
    issued = admit(directory, "alice", request=request_file(tmp_path))

    assert not directory.client_key("alice").exists()
    assert not directory.client_p12("alice").exists()
    assert any("alice.p12 had the certificate before" in remark for remark in issued.remarks)


def test_request_for_a_server_leaves_the_servers_own_files(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    before = directory.server.read_bytes(), directory.server_key.read_bytes()
    issued = serve(directory, "other.lab", request=request_file(tmp_path))

    assert (directory.server.read_bytes(), directory.server_key.read_bytes()) == before
    assert issued.certificate is None
    assert x509.load_pem_x509_certificates(issued.pem)[1:] == certificates(directory.issuing)


def changed(path: Path) -> Path:
    """A request whose signature is wrong."""
    der = bytearray(x509.load_pem_x509_csr(path.read_bytes()).public_bytes(Encoding.DER))
    at = der.index(b"somebody")
    der[at : at + 8] = b"everyone"
    path.write_bytes(bytes(der))
    return path


def test_request_that_nobody_should_sign_is_refused_in_words(tmp_path: Path) -> None:
    directory = found(tmp_path)
    before = files_below(directory.root)
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("-----BEGIN NONSENSE-----")
    small = rsa.generate_private_key(65537, 1024)
    cases: dict[str, Callable[[], Path]] = {
        "the signature of the request is wrong": lambda: changed(request_file(tmp_path)),
        "its RSA key has 1024 bits": lambda: request_file(tmp_path, small),
        "neither for ECDSA nor for RSA": lambda: request_file(
            tmp_path, ed25519.Ed25519PrivateKey.generate()
        ),
        "no request for a certificate": lambda: nonsense,
        "No such file": lambda: tmp_path / "missing",
        "this is no file": lambda: Path("/dev/zero"),
    }
    for part, make in cases.items():
        with pytest.raises(OperatorError, match=part):
            admit(directory, "alice", request=make())
    assert files_below(directory.root) == before


def test_pkcs12_holds_all_and_opens_with_its_password_only(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "alice", p12_password=b"secret")
    content = directory.client_p12("alice").read_bytes()
    key, leaf, above = pkcs12.load_key_and_certificates(content, b"secret")

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert leaf == certificates(directory.client("alice"))[0]
    assert set(above) == {*certificates(directory.issuing), *certificates(directory.ca)}
    assert bytes.fromhex("06096086480165030401 2a".replace(" ", "")) in content  # AES-256-CBC
    with pytest.raises(ValueError, match=r"password"):
        pkcs12.load_key_and_certificates(content, b"wrong")
    with pytest.raises(OperatorError, match=r"with --csr only the client has it"):
        admit(directory, "bob", p12_password=b"secret", request=request_file(tmp_path))


def test_name_that_is_taken_is_renewed_and_it_is_said(tmp_path: Path) -> None:
    directory = found(tmp_path)
    first = admit(directory, "alice", groups=("team",))
    second = admit(directory, "alice")

    text = "; ".join(second.remarks)
    assert f"this renews alice: the certificate before ({first.record.serial}) stays good" in text
    assert f"angos-trio pki revoke {first.record.serial}" in text
    assert "its groups were team, and are none" in text
    assert second.record.replaces == first.record.serial
    assert [each.serial for each in read_journal(directory).of("alice")] == [
        first.record.serial,
        second.record.serial,
    ]


def test_leaf_never_outlives_its_issuer_and_it_is_said(tmp_path: Path) -> None:
    directory = found(tmp_path, years=1)
    issued = serve(directory)
    [issuing] = certificates(directory.issuing)

    assert issued.record.not_after == int(issuing.not_valid_after_utc.timestamp())
    assert any("it ends with the issuing authority" in remark for remark in issued.remarks)


@pytest.mark.parametrize(
    ("days", "part"),
    [
        (None, r"the clock of this host says 1970-01-01T01:00:00Z, which is before this program"),
        (30, r"and the authority begins at .* only: set it \(timedatectl"),
    ],
)
def test_clock_that_was_never_set_is_refused(tmp_path: Path, days: int | None, part: str) -> None:
    directory = found(tmp_path)
    before = files_below(directory.root)
    now = 3600 if days is None else NOW - days * DAY_SECS

    with pytest.raises(OperatorError, match=part):
        admit(directory, "alice", now)
    with pytest.raises(OperatorError, match=part):
        serve(directory, now=now)
    assert files_below(directory.root) == before


def test_no_authority_is_made_in_1970(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"says 1970-01-01T00:00:07Z.*timedatectl"):
        found(tmp_path, now=7)
    assert not (tmp_path / "pki").exists()


def test_authority_that_ended_issues_nothing(tmp_path: Path) -> None:
    directory = found(tmp_path, years=1)

    with pytest.raises(OperatorError, match=r"the issuing authority ended at .* pki renew issuing"):
        admit(directory, "alice", NOW + 366 * DAY_SECS)


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_days_are_bounded(tmp_path: Path, days: int) -> None:
    directory = found(tmp_path)
    with pytest.raises(OperatorError, match=f"--days: from 1 to 3650, and not {days}"):
        admit(directory, "alice", days=days)
    with pytest.raises(OperatorError, match=r"--years: from 1 to 30, and not 31"):
        found(tmp_path / "other", years=31)


def test_long_life_of_a_server_is_remarked_on(tmp_path: Path) -> None:
    issued = serve(found(tmp_path), days=399)
    assert any("browsers may refuse" in remark for remark in issued.remarks)


def test_nothing_is_issued_without_an_authority(tmp_path: Path) -> None:
    directory = PkiDirectory(tmp_path / "pki")
    with pytest.raises(OperatorError, match=r"no authority here: make one with .* pki init --pki "):
        admit(directory, "alice")
    assert not directory.root.exists()


def test_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    directory, other = found(tmp_path), found(tmp_path / "other")
    directory.issuing_key.write_bytes(other.issuing_key.read_bytes())

    with pytest.raises(OperatorError, match=r"is not the key of .*issuing.crt: bring both back"):
        admit(directory, "alice")


def test_damaged_paste_drops_no_authority_that_was_added(tmp_path: Path) -> None:
    directory, other = found(tmp_path), found(tmp_path / "other")
    pasted = directory.clients_ca.read_bytes() + other.ca.read_bytes() + other.ca.read_bytes()[:99]
    directory.clients_ca.write_bytes(pasted)

    assert any("until then it is left as it is" in it for it in admit(directory, "alice").remarks)
    with pytest.raises(OperatorError, match=r"clients-ca.crt: no certificate in PEM, or damaged"):
        renew_issuing(directory, RootKey(), NOW)
    assert directory.clients_ca.read_bytes() == pasted

    directory.clients_ca.write_bytes(pasted[-199:])
    with pytest.raises(OperatorError, match=r"clients-ca.crt is damaged .* or remove it, and it"):
        admit(directory, "bob")
    assert directory.clients_ca.read_bytes() == pasted[-199:]
    directory.clients_ca.unlink()
    admit(directory, "bob")
    assert len(certificates(directory.clients_ca)) == 2


def test_damaged_certificate_of_the_server_hinders_nothing(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    admit(directory, "mallory")
    directory.server.write_bytes(b"x")

    remarks = revoke(directory, "mallory", "unspecified", NOW).remarks
    assert any("server.crt is damaged" in it and "pki server" in it for it in remarks)
    serve(directory)
    assert len(certificates(directory.server)) == 2


def test_encrypted_key_of_the_issuing_authority_is_no_matter_of_an_option(tmp_path: Path) -> None:
    directory = found(tmp_path)
    key = key_of(directory.issuing_key)
    directory.issuing_key.write_bytes(key_pem(key, b"secret"))
    with pytest.raises(OperatorError, match=r"issuing.key: this key is encrypted: openssl pkey"):
        admit(directory, "alice")


def test_authorities_that_the_operator_added_stay(tmp_path: Path) -> None:
    directory, other = found(tmp_path), found(tmp_path / "other")
    foreign = certificates(other.ca)
    ours = directory.clients_ca.read_bytes()
    directory.clients_ca.write_bytes(other.ca.read_bytes() + ours)
    admit(directory, "alice")

    assert directory.clients_ca.read_bytes() == ours + other.ca.read_bytes()
    assert certificates(directory.clients_ca)[2:] == foreign
