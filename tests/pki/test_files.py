"""The files of `[server.tls]`: what is refused, what is remarked on, and what a change does."""

from __future__ import annotations

import itertools
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from angos_trio.clock import epoch_seconds
from angos_trio.errors import OperatorError
from angos_trio.limits.callers import PKI_FILE_BYTES_MAX
from angos_trio.pki.files import PUBLIC_MODE, check_target
from angos_trio.pki.files import replace as replace_file
from angos_trio.pki.server import LiveTls, TlsFiles, check_tls, load_server_tls
from angos_trio.records import replace
from tests.certificates import DAY_SECS, Authority

ROOT = Authority("Root")
SERVER, RENEWED, OTHER = ROOT.server(), ROOT.server(), ROOT.server()
ALICE = ROOT.client("alice")


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    """Good files, a client CA and its list among them."""
    certificate, key = SERVER.write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    (tmp_path / "crl.pem").write_bytes(ROOT.crl())
    return TlsFiles(
        certificate=str(certificate),
        private_key=str(key),
        client_ca=str(tmp_path / "ca.pem"),
        client_crls=(str(tmp_path / "crl.pem"),),
    )


def test_good_files_make_a_context_of_modern_tls(files: TlsFiles) -> None:
    tls = load_server_tls(files)
    context = tls.context

    assert tls.remarks == ()
    assert tls.revocations is not None
    assert tls.not_after - epoch_seconds() == pytest.approx(30 * DAY_SECS, abs=1800)
    assert context.protocol is ssl.PROTOCOL_TLS_SERVER
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    for option in ("NO_RENEGOTIATION", "NO_COMPRESSION", "NO_TICKET", "CIPHER_SERVER_PREFERENCE"):
        assert context.options & getattr(ssl, f"OP_{option}"), option
    assert context.num_tickets == 0
    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert not context.verify_flags & (ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_CRL_CHECK_CHAIN)
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher
        assert cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith("ECDHE-"), cipher
    (trusted,) = context.get_ca_certs(binary_form=True)
    assert trusted == ROOT.certificate.public_bytes(Encoding.DER)


def test_without_a_client_ca_nobody_is_asked(files: TlsFiles) -> None:
    tls = load_server_tls(TlsFiles(files.certificate, files.private_key))
    assert tls.revocations is None
    assert tls.context.verify_mode is ssl.CERT_NONE
    assert tls.context.get_ca_certs() == []


def test_required_means_required(files: TlsFiles) -> None:
    context = load_server_tls(replace(files, client_auth="required")).context
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_list_is_not_needed(files: TlsFiles) -> None:
    revocations = load_server_tls(replace(files, client_crls=())).revocations
    assert revocations is not None
    assert revocations.stale(epoch_seconds()) == []


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"client_auth": "required"}, "server.tls.client_auth"),
        ({"client_crls": ("x",)}, "server.tls.client_crl"),
    ],
)
def test_client_certificates_without_an_authority_are_refused(more: Any, key: str) -> None:
    with pytest.raises(OperatorError, match=f"^{key}: .*server.tls.client_ca_bundle"):
        check_tls(TlsFiles("a", "b", **more))


def unreadable(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def too_large(path: Path) -> None:
    os.truncate(path, PKI_FILE_BYTES_MAX + 1)


@pytest.mark.parametrize("break_it", [unreadable, folder, pipe, empty, too_large])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("server.pem", "server_certificate_bundle"),
        ("server.key", "server_private_key"),
        ("ca.pem", "client_ca_bundle"),
        ("crl.pem", "client_crl"),
    ],
)
def test_file_that_cannot_be_read_is_refused_by_its_key(
    files: TlsFiles, tmp_path: Path, name: str, key: str, break_it: Callable[[Path], None]
) -> None:
    break_it(tmp_path / name)
    with pytest.raises(OperatorError, match=rf"^server\.tls\.{key}: .*{name}: .+"):
        load_server_tls(files)


def test_name_of_no_file_is_refused() -> None:
    with pytest.raises(OperatorError, match=r"^server\.tls\.server_certificate_bundle: "):
        load_server_tls(TlsFiles("a\x00b", "c"))


SECRET_LINE = SERVER.key_pem.splitlines()[1].decode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (OTHER.key_pem, "it is not the key of the first certificate"),
        (b"hello", "no private key in PEM"),
        (SERVER.pem, "no private key in PEM"),
        (SERVER.key_pem.replace(b"MIG", b"!!!"), "no private key in PEM"),
        (SERVER.key_pem[:-40], "no private key in PEM"),
        (
            SERVER.key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"p")
            ),
            "it is encrypted",
        ),
        (
            SERVER.key.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"p")
            ),
            "it is encrypted",
        ),
        (
            rsa.generate_private_key(65537, 2048).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            "it is not the key of the first certificate",
        ),
    ],
    ids=itertools.count(),
)
def test_wrong_key_is_refused_and_never_shown(files: TlsFiles, content: bytes, words: str) -> None:
    Path(files.private_key).write_bytes(content)
    with pytest.raises(OperatorError, match=words) as caught:
        load_server_tls(files)
    assert str(caught.value).startswith("server.tls.server_private_key: ")
    assert SECRET_LINE not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "content",
    [
        SERVER.pem + SERVER.key_pem,
        SERVER.key_pem + SERVER.pem,
        SERVER.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    ],
    ids=itertools.count(),
)
def test_key_may_stand_with_its_certificate(files: TlsFiles, content: bytes) -> None:
    Path(files.private_key).write_bytes(content)
    assert load_server_tls(files).remarks == ()


def test_first_certificate_must_be_the_servers(files: TlsFiles) -> None:
    Path(files.certificate).write_bytes(ROOT.pem + SERVER.pem)
    with pytest.raises(OperatorError, match="not the key of the first certificate"):
        load_server_tls(files)


@pytest.mark.parametrize("is_weak", [True, False])
def test_weak_key_is_refused_in_words(files: TlsFiles, is_weak: bool) -> None:
    key = rsa.generate_private_key(65537, 1024 if is_weak else 2048)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(SERVER.certificate.subject)
        .issuer_name(ROOT.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(SERVER.certificate.not_valid_before_utc)
        .not_valid_after(SERVER.certificate.not_valid_after_utc)
        .sign(ROOT.key, hashes.SHA256())
    )
    Path(files.certificate).write_bytes(certificate.public_bytes(Encoding.PEM))
    Path(files.private_key).write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    if is_weak:
        with pytest.raises(OperatorError, match="OpenSSL refuses it: ee key too small"):
            load_server_tls(files)
    else:
        assert load_server_tls(files).remarks == ()


@pytest.mark.parametrize(
    ("leaf", "words"),
    [({"ends_secs": -60}, "expired on"), ({"begins_secs": 3600}, "is valid from")],
)
def test_server_certificate_out_of_its_time_is_a_remark(
    files: TlsFiles, tmp_path: Path, leaf: Any, words: str
) -> None:
    ROOT.server("registry.example.test", **leaf).write(tmp_path, "server")
    (remark,) = load_server_tls(files).remarks
    assert remark.startswith("server.tls.server_certificate_bundle: ")
    assert words in remark


def test_list_that_is_out_of_date_is_a_remark(files: TlsFiles) -> None:
    Path(files.client_crls[0]).write_bytes(ROOT.crl(next_update_secs=-1))
    (remark,) = load_server_tls(replace(files, crl_stale="deny")).remarks
    assert remark == "server.tls.client_crl: the list of CN=Root is out of date"


def test_list_of_a_stranger_is_refused(files: TlsFiles) -> None:
    Path(files.client_crls[0]).write_bytes(Authority("Stranger").crl())
    with pytest.raises(OperatorError, match=r"server\.tls\.client_crl: .*crl.pem: .*CN=Stranger"):
        load_server_tls(files)


def test_bundle_of_authorities_holds_no_leaf(files: TlsFiles) -> None:
    assert files.client_ca is not None
    Path(files.client_ca).write_bytes(ROOT.pem + ALICE.pem)
    with pytest.raises(OperatorError, match=r"client_ca_bundle: .*: CN=alice is no authority"):
        load_server_tls(files)


def test_reload_takes_new_files_and_keeps_the_old_context_usable(
    files: TlsFiles, tmp_path: Path
) -> None:
    live = LiveTls(load_server_tls(files))
    before = live.current
    RENEWED.write(tmp_path, "server")
    assert live.reload() is None
    assert live.current is not before
    assert live.current.context is not before.context


def test_bad_new_file_keeps_the_old_and_says_so(files: TlsFiles, tmp_path: Path) -> None:
    live = LiveTls(load_server_tls(files))
    before = live.current
    (tmp_path / "server.pem").write_bytes(b"broken")
    problem = live.reload()
    assert problem is not None
    assert problem.startswith("server.tls.server_certificate_bundle: ")
    assert (live.problem, live.current) == (problem, before)
    RENEWED.write(tmp_path, "server")
    assert live.reload() is None
    assert live.problem is None


def test_look_waits_until_nobody_writes_any_more(files: TlsFiles, tmp_path: Path) -> None:
    live = LiveTls(load_server_tls(files))
    before = live.current
    assert not live.look()
    RENEWED.write(tmp_path, "half")
    os.replace(tmp_path / "half.pem", tmp_path / "server.pem")  # the key is still the old one
    assert not live.look()
    os.replace(tmp_path / "half.key", tmp_path / "server.key")
    assert not live.look()
    assert live.look()
    assert live.current is not before
    assert live.problem is None
    assert not live.look()


def test_look_tells_of_a_problem_once_and_of_its_end(files: TlsFiles, tmp_path: Path) -> None:
    live = LiveTls(load_server_tls(files))
    before = live.current
    (tmp_path / "crl.pem").unlink()
    assert [live.look() for _ in range(4)] == [False, True, False, False]
    assert "crl.pem: No such file" in (live.problem or "")
    assert live.current is before
    (tmp_path / "crl.pem").write_bytes(ROOT.crl(ALICE))
    assert [live.look() for _ in range(3)] == [False, True, False]
    assert live.problem is None
    assert live.current.revocations != before.revocations


def test_look_follows_links_that_are_moved(files: TlsFiles, tmp_path: Path) -> None:
    for name, issued in (("1", SERVER), ("2", RENEWED)):
        (tmp_path / name).mkdir()
        issued.write(tmp_path / name, "server")
    (tmp_path / "..data").symlink_to("1")
    for name in ("server.pem", "server.key"):
        (tmp_path / f"linked-{name}").symlink_to(f"..data/{name}")
    linked = replace(
        files,
        certificate=str(tmp_path / "linked-server.pem"),
        private_key=str(tmp_path / "linked-server.key"),
    )
    live = LiveTls(load_server_tls(linked))
    (tmp_path / "..new").symlink_to("2")
    os.replace(tmp_path / "..new", tmp_path / "..data")
    assert [live.look() for _ in range(3)] == [False, True, False]
    assert live.problem is None


def test_what_cannot_take_its_place_does_not_stay_beside_it(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError, match=r"directory"):
        replace_file(tmp_path / "directory", b"x", PUBLIC_MODE)
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


@pytest.mark.parametrize("kind", ["directory", "pipe", "link", "device", "nowhere"])
def test_only_a_file_is_written_over(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "target"
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(tmp_path / "other")
        case "device":
            path = Path("/dev/null")
        case _:
            path = tmp_path / "missing" / "target"
    with pytest.raises(OperatorError, match=r"^-o: .* is no (ordinary file: name|directory)"):
        check_target("-o", path)
    (tmp_path / "file").touch()
    check_target("-o", tmp_path / "file")
    check_target("-o", tmp_path / "new")


def test_swap_takes_other_files(files: TlsFiles, tmp_path: Path) -> None:
    live = LiveTls(load_server_tls(files))
    certificate, key = OTHER.write(tmp_path, "other")
    live.swap(load_server_tls(TlsFiles(str(certificate), str(key))))
    assert live.current.files.certificate == str(certificate)
    assert not live.look()
    (tmp_path / "server.pem").unlink()  # is not ours any more
    assert not live.look()
    assert not live.look()
