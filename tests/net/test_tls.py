"""Files for outbound TLS: what is wrong with them is said at the start, with the key's path."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.net.tls import client_tls
from tests.net.trust import Pair, Trust

KEY = "auth.webhook.gate"


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def pair(trust: Trust) -> Pair:
    return trust.client()


def told(**files: str) -> str:
    with pytest.raises(OperatorError) as raised:
        client_tls(KEY, **files)
    (line,) = str(raised.value).splitlines()
    return line


def test_only_the_bundle_is_trusted_where_there_is_one(trust: Trust) -> None:
    context = client_tls(KEY, server_ca_bundle=trust.bundle)

    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_system_store_is_trusted_where_there_is_none() -> None:
    assert client_tls(KEY).cert_store_stats() == ssl.create_default_context().cert_store_stats()


def test_half_a_pair_is_refused(pair: Pair) -> None:
    for files in (
        {"client_certificate_bundle": pair.certificate},
        {"client_private_key": pair.key},
    ):
        assert told(**files).startswith(f"{KEY}: client_certificate_bundle and client_private_key")


def test_bundle_that_cannot_be_used_is_named(tmp_path: Path, pair: Pair) -> None:
    empty, text = tmp_path / "empty.pem", tmp_path / "text.pem"
    empty.touch()
    text.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")

    for path in (tmp_path / "absent.pem", tmp_path, empty, text, Path(pair.key), "nul\0"):
        assert told(server_ca_bundle=str(path)).startswith(f"{KEY}.server_ca_bundle: ")


def test_pair_that_cannot_be_used_is_named(tmp_path: Path, trust: Trust) -> None:
    pair, other = trust.client(), trust.client()
    locked = trust.client(password="open sesame")
    absent = str(tmp_path / "absent")

    for certificate, key in (
        (pair.certificate, other.key),
        (pair.key, pair.key),
        (pair.certificate, pair.certificate),
        (pair.certificate, absent),
        (absent, pair.key),
        (locked.certificate, locked.key),  # and nobody is asked for the password
    ):
        line = told(client_certificate_bundle=certificate, client_private_key=key)
        assert line.startswith(f"{KEY}.client_certificate_bundle, {KEY}.client_private_key: ")
