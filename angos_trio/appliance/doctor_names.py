"""Names: whether those that clients are to use lead to this host."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Iterator, Sequence

from angos_trio.appliance.doctor import Finding, note, ok, warn

Resolve = Callable[[str], Sequence[str]]
"""The addresses of a name, none where it has none."""


def resolve(name: str) -> list[str]:
    """As the host's own resolver says; may wait for a server of names."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(address[0]).partition("%")[0] for *_, address in found})


def is_of_this_host(address: str) -> bool:
    """Whether this host has the address: whether a socket can be bound to it."""
    parsed = ipaddress.ip_address(address)
    family = socket.AF_INET6 if parsed.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((address, 0))
    except OSError:
        return False
    return True


def judge_name(name: str, addresses: Sequence[str], own: Collection[str]) -> Iterator[Finding]:
    """Whether a name leads here; `own` are those of its addresses that this host has."""
    if not addresses:
        yield warn(
            f"{name} has no address here",
            f"write it into /etc/hosts of every client, or into the server of names: "
            f"ADDRESS {name}",
        )
        return
    said = f"{name} is {', '.join(addresses)}"
    if all(ipaddress.ip_address(each).is_loopback for each in addresses):
        yield note(
            f"{said}: of this host alone, and docker reads no certificates for a loopback address "
            "(/etc/docker/certs.d)",
            "give the name another address of this host in /etc/hosts, if docker here is to pull",
        )
    elif not own:
        yield note(
            f"{said}, which this host does not have: right behind a proxy or a translation of "
            "addresses, else wrong",
            "correct /etc/hosts or the server of names",
        )
    else:
        yield ok(f"{said}, which this host has")


def look_at_names(names: Sequence[str], resolver: Resolve = resolve) -> Iterator[Finding]:
    """Each name by which clients are to call."""
    for name in names:
        addresses = resolver(name)
        own = [each for each in addresses if is_of_this_host(each)]
        yield from judge_name(name, addresses, own)
    if not names:
        yield note("no name is configured: clients can only use an address")


def own_name() -> str:
    """What this host calls itself, which may be short."""
    return socket.gethostname()
