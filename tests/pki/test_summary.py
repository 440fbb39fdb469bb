"""What an operator is told of a certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.pki.certificates import CertificateError
from angos_trio.pki.summary import Summary, summaries_of, summary_of
from tests.certificates import Authority

ROOT = Authority("Lab root")


def test_summary_says_names_times_and_what_it_is_for() -> None:
    issued = ROOT.server("Registry.Lab", "10.0.0.5", "fd00::5", ends_secs=60)
    found = summary_of(issued.der)

    assert found.issuer == "CN=Lab root"
    assert found.hosts == ("registry.lab", "10.0.0.5", "fd00::5")
    assert found.not_after == int(issued.certificate.not_valid_after_utc.timestamp())
    assert not found.is_for_clients
    assert not found.is_edwards
    assert summary_of(ROOT.client("a").der).is_for_clients


def test_summaries_are_in_the_order_of_the_file() -> None:
    issued = ROOT.intermediate("Lab issuing").client("a")

    assert [each.subject for each in summaries_of(issued.pem)] == ["CN=a", "CN=Lab issuing"]


def test_edwards_key_is_seen() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    signed = builder.sign(key, None)

    assert summary_of(signed.public_bytes(Encoding.DER)).is_edwards


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [
        *((host, True) for host in ("registry.lab", "REGISTRY.lab.", "a.wild.lab", "10.0.0.5")),
        *(("fd00:0::5", True), ("wild.lab", False), ("a.b.wild.lab", False)),
        *(("10.0.0.6", False), ("xregistry.lab", False), ("", False), ("*.lab", False)),
    ],
)
def test_certificate_is_for_its_hosts_only(host: str, is_covered: bool) -> None:
    names = ("registry.lab", "*.wild.lab")
    summary = Summary("", "", names, ("10.0.0.5", "fd00::5"), 0, 0)

    assert summary.covers(host) == is_covered


@given(st.binary(max_size=400))
def test_what_is_no_certificate_is_an_error(content: bytes) -> None:
    with pytest.raises(CertificateError):
        summary_of(content)
