"""Which addresses the registry lets itself be sent to."""

from __future__ import annotations

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
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
    """Whether a place that the operator chose may have it: any but those of the link, which clouds
    put secrets behind, and those that are no host's."""
    real = real_address(address)
    return not (real.is_link_local or real.is_multicast or real.is_unspecified or _is_secret(real))


def _is_secret(address: Address) -> bool:
    """The address of a cloud's metadata in IPv6, which is not of the link."""
    return address == ipaddress.IPv6Address("fd00:ec2::254")
