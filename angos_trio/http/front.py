"""How clients reach the registry: its address for them, and proxies whose word is taken.

Pure: a request's head in, an `Approach` out. Headers that any client can send count only when the
peer is a proxy that the operator named.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from angos_trio.identity import LOCAL_ADDRESS, Approach
from angos_trio.records import Frozen

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_-][A-Za-z0-9._-]*))(?::[0-9]{1,5})?",
    re.ASCII,
)
_HOP: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII)
"""An address with a port, as some proxies write it."""


class Front(Frozen):
    """`external_url`: scheme and authority as clients know them, without a slash at the end.
    `trusted_proxies`: networks whose `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Real-IP` are
    believed."""

    external_url: str | None = None
    trusted_proxies: tuple[Network, ...] = ()

    def approach(
        self, method: str, scheme: str, uri: str, peer: str, headers: Sequence[tuple[str, str]]
    ) -> Approach:
        """A request from a peer; headers have names in lower case."""
        told = dict(headers)
        known = _parse(peer)  # on a socket for both kinds, IPv4 comes in the clothes of IPv6
        address = peer if known is None else str(known)
        if known is not None and _is_in(known, self.trusted_proxies):
            address = self._client_of(address, headers)
            protocol = told.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
            scheme = protocol if protocol in _PORTS else scheme
        return Approach(method, scheme, told.get("host"), uri, address, tuple(headers))

    def url(self, approach: Approach) -> str | None:
        """Scheme and authority as this client knows them; None when its `Host` is none.

        Nothing of what is not a plain host and port (RFC 9110 7.2) is repeated to anybody.
        """
        if self.external_url is not None:
            return self.external_url
        if approach.host is None or _HOST.fullmatch(approach.host) is None:
            return None
        return f"{approach.scheme}://{approach.host}"

    def problem_of_origin(self, approach: Approach, *, is_socket: bool = False) -> str | None:
        """Why a browser must not do this for a page: the page is another site's.

        Only methods that change something are looked at, and WebSockets, which any page may open
        and read (RFC 6455 10.2); programs send neither header.
        """
        if approach.method in SAFE_METHODS and not is_socket:
            return None
        site = approach.header("sec-fetch-site")
        if site is not None and site not in _OWN_SITES:
            return "the request comes from a page of another site"
        origin = approach.header("origin")
        if origin is None:
            return None
        own, named = self.url(approach), origin_of(origin)
        if own is None or named is None or named != origin_of(own):
            return "the Origin header names another site"
        return None

    def _client_of(self, peer: str, headers: Iterable[tuple[str, str]]) -> str:
        """The right-most address that no trusted proxy has; where one is malformed, the proxy that
        said it is all that is known."""
        hops = [
            hop.strip()
            for name, value in headers
            if name == "x-forwarded-for"
            for hop in value.split(",")
        ]
        if not hops:
            real = _parse(dict(headers).get("x-real-ip", ""))
            return peer if real is None else str(real)
        nearest = peer
        for hop in reversed(hops):
            address = _parse(hop)
            if address is None:
                return nearest
            nearest = str(address)
            if not _is_in(address, self.trusted_proxies):
                break
        return nearest


def is_own_wish(approach: Approach, own_url: str | None, *, is_socket: bool = False) -> bool:
    """Whether a browser's session counts for a request: no other site may have it do anything.

    For what changes something, and for WebSockets, the browser must say that a page of ours asks.
    To look, it is enough that no other site's page is named, or that a link led here; where the
    browser names none, on plain HTTP, it sends the cookie for links alone (`SameSite=Lax`).
    """
    site = approach.header("sec-fetch-site")
    if approach.method not in SAFE_METHODS or is_socket:
        return is_own_page(site, approach.header("origin"), own_url)
    is_named = site is not None and site not in _OWN_SITES
    return not is_named or approach.header("sec-fetch-mode") == "navigate"


def is_own_page(site: str | None, origin: str | None, own_url: str | None) -> bool:
    """Whether `Sec-Fetch-Site` and `Origin` say that a page at this address sends the request, and
    neither says that another does."""
    if site is not None and site not in _OWN_SITES:
        return False
    if origin is None:
        return site == "same-origin"
    named = origin_of(origin)
    return named is not None and own_url is not None and named == origin_of(own_url)


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port (RFC 6454 4); None for what has no origin, such as `null`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    """An IP address, with or without a port; one of IPv4 in the clothes of IPv6 is of IPv4."""
    match = _HOP.fullmatch(text)
    try:
        address = ipaddress.ip_address(text if match is None else match[1] or match[2])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback_host(host: str | None) -> bool:
    """Whether a `Host` header names this machine by a loopback name or address.

    RFC 9110 7.2: host [ ":" port ]; what is not of that form is never loopback.
    """
    match = _HOST.fullmatch(host or "")
    if match is None:
        return False
    if match["v6"] is not None:
        return is_loopback_address(match["v6"])
    name = match["name"].lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or is_loopback_address(name)


def is_loopback_address(address: str) -> bool:
    """Whether an IP address, as text, is this machine's own; a name is not."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def is_here(address: str) -> bool:
    """Whether a client is on this machine, on a Unix socket or a loopback address."""
    return address == LOCAL_ADDRESS or is_loopback_address(address)
