"""Who listens on a port of this host, as /proc tells of it."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from angos_trio.records import Frozen
from angos_trio.telemetry.processes import Holder, holder_of

_LISTENING: Final = "0A"
_TABLES: Final = Path("/proc/net")


class Listener(Frozen):
    """A listening socket: its address, and the number by which the kernel knows it."""

    address: str
    port: int
    inode: int


def parse_listeners(text: str) -> list[Listener]:
    """Of /proc/net/tcp or tcp6; lines of another form are left out."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTENING or not fields[9].isdecimal():
            continue
        try:
            address, _, port = fields[1].partition(":")
            found.append(Listener(_address(address), int(port, 16), int(fields[9])))
        except ValueError:
            continue
    return found


def _address(hexadecimal: str) -> str:
    """The kernel prints 32 bits at a time, in the byte order of the machine."""
    words = [hexadecimal[at : at + 8] for at in range(0, len(hexadecimal), 8)]
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return str(ipaddress.ip_address(packed))


def listeners_here(tables: Path = _TABLES) -> list[Listener]:
    """All of this host, or of this network namespace. Raises OSError where it tells of none of
    them: that is not the same as nobody listening."""
    found: list[Listener] = []
    failures = []
    for name in ("tcp", "tcp6"):
        try:
            text = (tables / name).read_text(encoding="ascii", errors="replace")
        except OSError as error:
            failures.append(error)  # a host may do without one of both
        else:
            found += parse_listeners(text)
    if len(failures) == 2:
        raise failures[0]
    return found


def in_the_way(listeners: Iterable[Listener], host: str, port: int) -> list[Listener]:
    """Those that keep somebody from listening on a port of a host, which may be a name."""
    wanted = _addresses(host, port)
    return [each for each in listeners if each.port == port and _meet(each.address, wanted)]


def _addresses(host: str, port: int) -> set[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return {"0.0.0.0", "::"}
    return {str(address[0]).partition("%")[0] for *_, address in found}


def _meet(taken: str, wanted: set[str]) -> bool:
    """A socket for all IPv6 addresses takes those of IPv4 too, unless it says otherwise."""
    is_v4 = ":" not in taken
    same_kind = {each for each in wanted if (":" not in each) == is_v4}
    everywhere = ipaddress.ip_address(taken).is_unspecified
    if taken in wanted or (everywhere and (same_kind or not is_v4)):
        return True
    return any(ipaddress.ip_address(each).is_unspecified for each in same_kind)


def who_has(listener: Listener) -> Holder | None:
    """The first process that has this socket; None where it cannot be seen."""
    return holder_of(f"socket:[{listener.inode}]")


def who_is_at(host: str, port: int) -> Holder | None:
    """Who keeps us from listening there; None where nobody does, or nobody is seen."""
    try:
        blocking = in_the_way(listeners_here(), host, port)
    except OSError:
        return None
    return who_has(blocking[0]) if blocking else None
