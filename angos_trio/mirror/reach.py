"""Where the registry lets itself be sent to by what another one says, and with what.

An upstream is chosen by the operator. Whatever it says itself, a redirect or a place to get tokens,
leads to no address of this host's own link, and from a public upstream into no private network; and
the operator's credentials are shown to the upstream's host, and to hosts that are known to give
tokens for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from angos_trio.net.addresses import Address, is_public, may_ask

TOKEN_HOSTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "registry-1.docker.io": "auth.docker.io",
        "index.docker.io": "auth.docker.io",
        "registry.gitlab.com": "gitlab.com",
    }
)
"""Of well-known registries whose tokens come from another host than their own."""


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
