"""Ports: free, ours, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from angos_trio.appliance.doctor import Finding, bad, note, ok, warn
from angos_trio.net.listeners import Listener, in_the_way, listeners_here, who_has
from angos_trio.telemetry.processes import Holder

OURS = "angos-trio"


def judge_port(
    host: str, port: int, taken: list[tuple[Listener, Holder | None]], *, systemd_is_ours: bool
) -> Iterator[Finding]:
    """Whether the registry can listen there, or does; `taken` are those who are in the way."""
    where = f"{host} port {port}"
    if not taken:
        yield ok(f"{where} is free")
        return
    _, holder = taken[0]
    if holder is None:
        yield warn(
            f"{where} is taken, and this user cannot see by whom",
            f"ask again as root, or: ss -ltnp 'sport = :{port}'",
        )
    elif is_ours(holder) or (holder.pid == 1 and systemd_is_ours):
        yield ok(f"{where} is held by {holder.describe()}, which is ours")
    else:
        yield bad(
            f"{where} is taken by {holder.describe()}",
            f"stop that, or give the registry another address (server.port, ListenStream=): "
            f"ss -ltnp 'sport = :{port}' shows who has it",
        )


def is_ours(holder: Holder) -> bool:
    """Whether it is a registry, by its name or its unit: which one, that does not say."""
    return holder.name.startswith(OURS) or (holder.unit or "").startswith(OURS)


def judge_privilege(
    port: int, least: int, *, may_bind: bool, systemd_listens: bool
) -> Iterator[Finding]:
    """Whether an ordinary user may listen on a port; `least` is the first that anybody may.
    `may_bind`: root serves, or nobody knows yet who does."""
    if 0 < port < least and not may_bind and not systemd_listens:
        yield warn(
            f"port {port} is below {least}: an ordinary user may not listen there",
            f"let systemd hand it over (angos-trio.socket), or set server.port to {least} or above",
        )


def unprivileged_port() -> int:
    """The first port that anybody may listen on."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii")
        return int(text)
    except (OSError, ValueError):
        return 1024


def look_at_ports(
    wanted: list[tuple[str, int]], *, may_bind: bool, systemd_listens: Callable[[], bool]
) -> Iterator[Finding]:
    """Each place where the registry is to listen; port 0 is any."""
    try:
        listening = listeners_here()
    except OSError as error:
        yield note(
            f"who listens here cannot be seen: {error.filename}: {error.strerror}", "ss -ltnp"
        )
        return
    systemd_is_ours = systemd_listens()
    for host, port in wanted:
        if port == 0:
            continue
        taken = [(each, who_has(each)) for each in in_the_way(listening, host, port)]
        yield from judge_port(host, port, taken, systemd_is_ours=systemd_is_ours)
        if not taken:
            yield from judge_privilege(
                port, unprivileged_port(), may_bind=may_bind, systemd_listens=systemd_is_ours
            )
