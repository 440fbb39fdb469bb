"""What a new registry needs before it can start: an authority, certificates, a configuration."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from angos_trio.appliance.first_files import ADMINISTRATOR, FirstFacts, configuration_of
from angos_trio.auth.passwords import hash_password
from angos_trio.clock import epoch_seconds
from angos_trio.errors import OperatorError
from angos_trio.pki.authority import (
    ClientWish,
    Founding,
    PkiDirectory,
    ServerWish,
    create_authority,
    issue_client,
    issue_server,
)
from angos_trio.pki.files import make_directory, replace, words_of
from angos_trio.pki.naming import server_names


@dataclass(frozen=True, slots=True)
class Place:
    """Where the first files go. `port` is None where systemd listens."""

    configuration: Path
    pki: Path
    data: Path
    port: int | None


@dataclass(frozen=True, slots=True)
class Begun:
    """What was written. `password` is the administrator's, which nobody else knows; None where the
    configuration was there already."""

    made: tuple[str, ...]
    password: str | None


def begin(place: Place, hostname: str | None, mode: int) -> Begun:
    """Make what is not there yet; the configuration comes last, so that a crash in between is
    mended by the same command. Raises OperatorError."""
    directory = PkiDirectory(place.pki)
    missing = [
        each for each in (directory.ca, directory.server, place.configuration) if not each.exists()
    ]
    if missing and hostname is None:
        raise OperatorError(
            f"{missing[0]} is not there yet: say --hostname NAME, by which clients know this host"
        )
    if hostname is not None:
        checked_host(hostname)
    try:
        return _begin(place, directory, hostname or "", mode)
    except OSError as error:
        raise OperatorError(words_of(error)) from error


def _begin(place: Place, directory: PkiDirectory, hostname: str, mode: int) -> Begun:
    made, now = [], epoch_seconds()
    make_directory(place.configuration.parent, 0o755)
    if not directory.ca.exists():
        create_authority(directory, Founding(f"{hostname} registry"), now)
        made.append(f"an authority: {directory.ca}")
    if not directory.server.exists():
        issue_server(directory, ServerWish((checked_host(hostname),)), now)
        made.append(f"the server's certificate: {directory.server}")
    administrator = directory.root / "clients" / f"{ADMINISTRATOR}.crt"
    if not administrator.exists():
        issue_client(directory, ClientWish(ADMINISTRATOR), now)
        made.append(f"a client's certificate: {administrator}")
    password = None
    if not place.configuration.exists():
        password = secrets.token_urlsafe(15)
        facts = FirstFacts(
            host_of_url(hostname), place.port, place.pki, place.data, hash_password(password)
        )
        replace(place.configuration, configuration_of(facts).encode(), mode)
        made.append(f"a configuration: {place.configuration}")
    return Begun(tuple(made), password)


def checked_host(hostname: str) -> str:
    """One host's name or address, as a certificate has it. Raises OperatorError before anything
    is made."""
    try:
        (name,) = server_names([hostname])
    except OperatorError as error:
        raise OperatorError(f"--hostname: {str(error).removeprefix('--san: ')}") from error
    if "*" in name:
        raise OperatorError(f"--hostname: {hostname} stands for many: say the name of this host")
    return name


def host_of_url(hostname: str) -> str:
    """A name or an address as a URL has it (RFC 3986 3.2.2). Raises OperatorError."""
    kind, _, name = checked_host(hostname).partition(":")
    return f"[{name}]" if kind == "IP" and ":" in name else name


def tell_password(begun: Begun) -> None:
    """The password is shown this once."""
    if begun.password is not None:
        print(f"user {ADMINISTRATOR} has the password {begun.password} (it is shown only now)")
