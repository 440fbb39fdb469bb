"""Where an upstream's word may lead, and who may see a credential."""

from __future__ import annotations

import ipaddress

import pytest

from angos_trio.mirror.reach import may_be_sent_to, may_show_credentials
from angos_trio.net.addresses import may_ask

LINK = ["169.254.169.254", "fe80::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "0.0.0.0", "224.0.0.1"]
PRIVATE = ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fd12::1", "64:ff9b::a00:1"]
PUBLIC = ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"]


@pytest.mark.parametrize("text", LINK)
def test_nobody_is_asked_at_addresses_of_the_link(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert not may_ask(address)
    assert not may_be_sent_to(address, from_public=False)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_address_is_the_operators_choice_and_not_a_public_upstreams(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert may_ask(address)
    assert may_be_sent_to(address, from_public=False)
    assert not may_be_sent_to(address, from_public=True)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_address_is_anybodys(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert may_ask(address)
    assert may_be_sent_to(address, from_public=True)


@pytest.mark.parametrize(
    ("upstream", "realm", "hosts", "may"),
    [
        ("https://a.test", "https://a.test/token", (), True),
        ("https://a.test", "https://A.test:443/token", (), True),
        ("https://a.test", "https://a.test:8443/token", (), False),
        ("https://a.test", "https://a.test.evil.test/token", (), False),
        ("https://a.test", "https://auth.a.test/token", (), False),
        ("https://a.test", "https://auth.a.test/token", ("auth.a.test",), True),
        ("https://a.test", "https://auth.a.test:8443/token", ("auth.a.test:8443",), True),
        ("https://a.test", "http://a.test/token", ("a.test",), False),
        ("http://a.test", "http://a.test/token", (), True),
        ("https://registry-1.docker.io", "https://auth.docker.io/token", (), True),
        ("https://registry-1.docker.io", "https://auth.docker.io.evil.test/token", (), False),
    ],
)
def test_credential_is_shown_to_its_own_host_and_to_known_places_of_tokens(
    upstream: str, realm: str, hosts: tuple[str, ...], may: bool
) -> None:
    assert may_show_credentials(upstream, realm, hosts) is may
