"""Why a foreign certificate is refused, in words; and OpenSSL, asked strictly, says the same."""

from __future__ import annotations

import ipaddress
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from angos_trio.errors import OperatorError
from angos_trio.pki.describing import Described, describe
from angos_trio.pki.explain import STRICT, Finding, explain, explain_chain
from tests.certificates import Authority
from tests.pki import odd
from tests.pki.authorities import NOW, admit, found, serve
from tests.pki.odd import Odd
from tests.pki.test_authority import changed, request_file

ROOT = odd.authority()
LEAF: dict[str, Any] = {"issuer": ROOT}


def chain_of(**said: Any) -> tuple[x509.Certificate, x509.Certificate]:
    """A leaf of a good root, and that root."""
    return Odd(**{**LEAF, **said}).made(), ROOT.made()


def below(**said: Any) -> tuple[x509.Certificate, x509.Certificate]:
    """A good leaf of a root that is as odd as is said, and that root."""
    root = odd.authority(**said)
    return Odd(issuer=root).made(), root.made()


# What is odd, and the part of a sentence that names it; `strict` is that only strict checks see it.
ODD: dict[str, tuple[Callable[[], Sequence[x509.Certificate]], str, bool]] = {
    "root without usage": (lambda: below(usage=None), "an authority without KeyUsage", True),
    "root without identifier": (
        lambda: below(identifier=None),
        "an authority without SubjectKeyIdentifier",
        True,
    ),
    "root with soft constraints": (
        lambda: below(constraints_critical=False),
        "BasicConstraints are not critical",
        True,
    ),
    "root with a critical identifier": (
        lambda: below(identifier=True),
        "SubjectKeyIdentifier is critical",
        False,
    ),
    "root that may not sign": (lambda: below(usage=("crl_sign",)), "lacks keyCertSign", False),
    "root for something else": (
        lambda: below(purposes=odd.CODE),
        "allows neither servers nor clients",
        False,
    ),
    "root that expired": (lambda: below(begins_days=-9, ends_days=-1), "it expired at", False),
    "leaf without authority identifier": (
        lambda: chain_of(authority_identifier=None),
        "no AuthorityKeyIdentifier",
        True,
    ),
    "leaf with a critical authority identifier": (
        lambda: chain_of(authority_identifier=True),
        "AuthorityKeyIdentifier is critical",
        False,
    ),
    "leaf that may sign others": (
        lambda: chain_of(usage=("digital_signature", "key_cert_sign")),
        "has keyCertSign, and it is no authority",
        True,
    ),
    "leaf without a subject": (
        lambda: chain_of(name=None),
        "no subject, and no critical SubjectAlternativeName",
        True,
    ),
    "leaf that expired": (lambda: chain_of(begins_days=-9, ends_days=-1), "it expired at", False),
    "leaf of tomorrow": (lambda: chain_of(begins_days=1), "is not valid before", False),
    "leaf for code": (lambda: chain_of(purposes=odd.CODE), "does not name serverAuth", False),
    "leaf without signatures": (
        lambda: chain_of(usage=("key_agreement",)),
        "lacks digitalSignature",
        False,
    ),
}


def is_taken_by_openssl(chain: Sequence[x509.Certificate], folder: Path, *words: str) -> bool:
    """Whether `openssl verify` takes a leaf for a server, whose root it knows."""
    (folder / "leaf.pem").write_bytes(odd.pem(chain[0]))
    (folder / "root.pem").write_bytes(odd.pem(*chain[1:]))
    command = ["openssl", "verify", *words, "-purpose", "sslserver"]
    done = subprocess.run(
        [*command, "-CAfile", folder / "root.pem", folder / "leaf.pem"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _now() -> int:
    """Not the time of the collection of tests: in a long run that is before what they make."""
    return int(time.time())


def texts(chain: Sequence[x509.Certificate]) -> list[Finding]:
    return [
        finding for each in chain for finding in explain(each, _now()) if finding.who is not None
    ]


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_explained_and_openssl_refuses_it(name: str, tmp_path: Path) -> None:
    make, part, is_strict = ODD[name]
    chain = make()
    findings = [finding for finding in texts(chain) if part in finding.text]

    assert len(findings) == 1
    assert (findings[0].who == STRICT) == is_strict
    if name != "leaf without signatures":  # of which OpenSSL thinks with the handshake only
        assert not is_taken_by_openssl(chain, tmp_path, "-x509_strict")
    assert is_taken_by_openssl(chain, tmp_path) == (is_strict or name == "leaf without signatures")


def test_what_is_good_has_nothing_to_explain(tmp_path: Path) -> None:
    directory = found(tmp_path)
    ours = x509.load_pem_x509_certificates(serve(directory).pem)
    root = x509.load_pem_x509_certificate(directory.ca.read_bytes())
    for chain in (chain_of(), (*ours, root), (Authority().server().certificate,)):
        assert texts(chain) == []
    assert is_taken_by_openssl(chain_of(), tmp_path, "-x509_strict")
    assert is_taken_by_openssl((*ours, root), tmp_path, "-x509_strict")


@pytest.mark.parametrize(
    ("leaf", "part"),
    [
        (Odd(**LEAF, names=None), "no SubjectAlternativeName with a host or an address"),
        (Odd(**LEAF, names=[x509.DNSName("10.0.0.5")]), "subjectAltName=IP:10.0.0.5"),
        (Odd(**LEAF, key=odd.small_key()), "its RSA key has 1024 bits, and 2048 are the least"),
        (Odd(**LEAF, key=ec.generate_private_key(ec.SECP256K1())), "on the curve secp256k1"),
        (Odd(**LEAF, ends_days=500), "is good for 501 d, and browsers may refuse over 398"),
        (Odd(**LEAF, purposes=None), "does not name clientAuth"),
        (Odd(**LEAF, purposes=odd.CLIENT, names=None), "which some servers ask for"),
        (odd.authority(usage=("key_cert_sign",)), "lacks cRLSign"),
    ],
)
def test_what_servers_and_clients_ask_for_is_explained(leaf: Odd, part: str) -> None:
    assert [part in str(finding) for finding in explain(leaf.made(), NOW)].count(True) == 1


def test_address_as_an_address_is_good() -> None:
    address = x509.IPAddress(ipaddress.ip_address("10.0.0.5"))
    assert explain(Odd(**LEAF, names=[address]).made(), NOW) == []


def test_signature_that_can_be_forged_is_explained(tmp_path: Path) -> None:
    root = Authority()
    (tmp_path / "root.pem").write_bytes(root.pem)
    key = root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "root.key").write_bytes(key)
    request = request_file(tmp_path)
    signer = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial")
    made = subprocess.run(
        ["openssl", "x509", "-req", "-sha1", *signer, "-in", request, "-out", "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    [leaf] = x509.load_pem_x509_certificates((tmp_path / "leaf.pem").read_bytes())
    assert any("signed with SHA1" in finding.text for finding in explain(leaf, NOW))
    assert any(
        "of version 1" in finding.text or "no AuthorityKeyIdentifier" in finding.text
        for finding in explain(leaf, NOW)
    )


def test_order_of_a_chain_is_explained() -> None:
    root, other = odd.authority("root"), odd.authority("root")
    middle = odd.authority("middle", issuer=root)
    leaf = Odd(issuer=middle).made()
    top, mid, stranger = root.made(), middle.made(), other.made()

    def said(*chain: x509.Certificate, known: Sequence[x509.Certificate] = ()) -> str:
        return "; ".join(map(str, explain_chain(chain, known)))

    assert said(leaf, mid, known=[top]) == ""
    assert said(leaf, mid, top) == ""
    assert "lacks the authority between it and the root (CN=middle)" in said(leaf, known=[mid, top])
    assert "its issuer (CN=middle) is in none of these files" in said(leaf, known=[top])
    assert "is in the file, and not right behind it: change the order" in said(leaf, top, mid)
    assert "number 2 in the file (CN=root) did not issue the one before it" in said(leaf, top)
    assert "number 3 in the file is called as its issuer (CN=root) and has another key" in said(
        leaf, mid, stranger
    )
    assert "clients must be given this very certificate" in said(Odd().made())
    assert said(top, stranger) == ""


def written(folder: Path, **contents: bytes) -> list[Path]:
    """Files of these names."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return [folder / name for name in contents]


def described(folder: Path, **contents: bytes) -> dict[str, str]:
    """What is said of files, by their names."""
    return {
        each.path.name: "; ".join([*each.what, *map(str, each.findings)])
        for each in describe(written(folder, **contents), _now())
    }


def key_pem(leaf: Odd, password: bytes | None = None) -> bytes:
    protection = NoEncryption() if password is None else BestAvailableEncryption(password)
    pem: bytes = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    return pem


def der_key(leaf: Odd, password: bytes | None = None) -> bytes:
    return b64decode(b"".join(key_pem(leaf, password).splitlines()[1:-1]))


def test_files_are_named_for_what_they_are(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    alice = admit(directory, "alice", p12_password=b"secret")
    assert alice.p12 is not None
    leaf = Odd(**LEAF)
    der = leaf.made().public_bytes(Encoding.DER)
    request = request_file(tmp_path).read_bytes()
    said = described(
        tmp_path,
        root=directory.ca.read_bytes(),
        server=directory.server.read_bytes(),
        client=alice.pem,
        crl=directory.crl.read_bytes(),
        key=directory.server_key.read_bytes(),
        locked_key=key_pem(leaf, b"secret"),
        p12=alice.p12.read_bytes(),
        der=der,
        der_key=der_key(leaf),
        locked_der_key=der_key(leaf, b"secret"),
        request=request,
        wrong_request=changed(tmp_path / "request.csr").read_bytes(),
        text=b"hello",
        empty=b"",
        torn=directory.server.read_bytes()[:-40],
        torn_key=directory.server_key.read_bytes()[:60] + b"\n-----END PRIVATE KEY-----\n",
    )

    assert said["root"].startswith("a root: CN=lab root, signed by itself, until ")
    assert said["server"].startswith("a server's certificate: CN=registry.lab (registry.lab, 127.")
    assert "; an authority: CN=lab issuing, issued by CN=lab root" in said["server"]
    assert said["client"].startswith("a client's certificate: CN=alice (registry://client/alice)")
    assert said["crl"].startswith("a revocation list of CN=lab issuing: 0 revoked, the next is due")
    assert said["key"] == "a private key without a password"
    assert "is encrypted, and nobody is there to type its password" in said["locked_key"]
    assert said["p12"] == "a PKCS#12 file under a password, for browsers and Windows"
    for name in ("der", "der_key", "locked_der_key"):
        assert "it is in DER, and PEM is wanted" in said[name]
    assert said["der_key"].startswith("a private key in DER; ")
    assert said["locked_der_key"].startswith("a private key in DER under a password; ")
    assert said["request"] == "a request for a certificate (CSR), signed by its own key"
    assert "wrong: the signature of the request is wrong" in said["wrong_request"]
    for name in ("text", "empty"):
        assert "wrong: no certificate, key, request or list in PEM or DER" in said[name]
    assert "wrong: it is damaged: a certificate in it is cut off" in said["torn"]
    assert "wrong: no private key in PEM, or the file is damaged" in said["torn_key"]


def test_files_are_compared_with_each_other(tmp_path: Path) -> None:
    leaf, other, root = Odd(**LEAF), Odd(**LEAF), Authority()
    made = odd.pem(leaf.made(), ROOT.made())
    assert described(tmp_path, pem=made, key=key_pem(leaf))["key"] == (
        "a private key without a password"
    )
    assert (
        "not the key of the first certificate"
        in described(tmp_path, pem=made, key=key_pem(other))["key"]
    )
    assert (
        "signed by none of the authorities" in described(tmp_path, pem=made, crl=root.crl())["crl"]
    )
    stale = described(
        tmp_path, root=root.pem, crl=root.crl(updated_secs=-7200, next_update_secs=-3600)
    )["crl"]
    assert "signed by none" not in stale
    assert 'this registry with crl_stale = "deny", will refuse it: the next list was due' in stale


def test_authority_that_serves_by_itself_is_explained(tmp_path: Path) -> None:
    """What `openssl req -x509` makes of nothing but a name."""
    root = odd.authority("registry.lab", usage=None)
    said = described(tmp_path, pem=odd.pem(root.made()), key=key_pem(root))["pem"]
    assert "an authority without KeyUsage" in said
    assert "no SubjectAlternativeName with a host" in said


def test_key_that_others_may_read_is_remarked_on(tmp_path: Path) -> None:
    [path] = written(tmp_path, key=key_pem(Odd()))
    path.chmod(0o644)
    [only] = describe([path], NOW)
    assert [str(finding) for finding in only.findings] == ["note: others may read it: chmod 600"]
    assert not only.is_refused


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"pki doctor: .*missing: No such file"):
        describe([tmp_path / "missing"], NOW)


def test_refused_is_more_than_remarked_on(tmp_path: Path) -> None:
    each = Described(tmp_path, findings=[Finding(None, "x")])
    assert not each.is_refused
    each.findings.append(Finding("", "y"))
    assert each.is_refused
