"""Where the registry lets itself be sent to by what another one says, and with what.

An upstream is chosen by the operator. Whatever it says itself, a redirect or a place to get tokens,
leads to no address of this host's own link, and from a public upstream into no private network; and
the operator's credentials are shown to the upstream's host, and to hosts that are known to give
tokens for it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from angos_trio.net.exchange import Address

TOKEN_HOSTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "registry-1.docker.io": "auth.docker.io",
        "index.docker.io": "auth.docker.io",
        "registry.gitlab.com": "gitlab.com",
    }
)
"""Of well-known registries whose tokens come from another host than their own."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def real_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (RFC 6052), where it does."""
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether anybody in the world may have it."""
    return real_address(address).is_global


def may_ask(address: Address) -> bool:
    """Whether an upstream may have it: any but those of the link, which clouds put secrets behind,
    and those that are no host's."""
    real = real_address(address)
    return not (real.is_link_local or real.is_multicast or real.is_unspecified or _is_secret(real))


def _is_secret(address: Address) -> bool:
    """The address of a cloud's metadata in IPv6, which is not of the link."""
    return address == ipaddress.IPv6Address("fd00:ec2::254")


def may_be_sent_to(address: Address, *, from_public: bool) -> bool:
    """Whether the word of an upstream leads there; of a public one to public addresses only."""
    return may_ask(address) and (is_public(address) or not from_public)


def place_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; with another of them a credential is somebody else's to see."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def may_show_credentials(upstream: str, realm: str, token_hosts: Collection[str]) -> bool:
    """Whether the place of tokens may see what the operator has for the upstream."""
    (scheme, host, port), (at_scheme, at, at_port) = place_of(upstream), place_of(realm)
    if scheme == "https" and at_scheme != "https":
        return False
    if (host, port) == (at, at_port):
        return True
    known = {each.lower() for each in token_hosts}
    return at in known or f"{at}:{at_port}" in known or TOKEN_HOSTS.get(host) == at
