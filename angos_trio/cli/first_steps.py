"""What a new registry needs before it can start: an authority, certificates, a configuration."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path

from angos_trio.appliance.client_address import RegistryAddress
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

_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Place:
    """Where the first files go. `pki_name` is how the configuration calls `pki`: not the same in
    the tree of another system."""

    configuration: Path
    pki: Path
    pki_name: Path
    data: Path


@dataclass(frozen=True, slots=True)
class Wish:
    """How clients call the registry, which is needed where something is to be made, and whether
    systemd listens for it and hands certificate and key over."""

    address: RegistryAddress | None
    is_handed_over: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """What was written. `password` is the administrator's, which nobody else knows; None where the
    configuration was there already."""

    made: tuple[str, ...]
    password: str | None


def begin(place: Place, wish: Wish, mode: int) -> Begun:
    """Make what is not there yet; the configuration comes last, so that a crash in between is
    mended by the same command. Raises OperatorError."""
    directory = PkiDirectory(place.pki)
    missing = [
        each for each in (directory.ca, directory.server, place.configuration) if not each.exists()
    ]
    if missing and wish.address is None:
        raise OperatorError(
            f"{missing[0]} is not there yet: say --hostname NAME, by which clients know this host"
        )
    try:
        return _begin(place, directory, wish, mode)
    except OSError as error:
        raise OperatorError(words_of(error)) from error


def _begin(place: Place, directory: PkiDirectory, wish: Wish, mode: int) -> Begun:
    made, now, address = [], epoch_seconds(), wish.address or RegistryAddress("")
    make_directory(place.configuration.parent, 0o755)
    if not directory.ca.exists():
        create_authority(directory, Founding(f"{address.host} registry"), now)
        made.append(f"an authority: {directory.ca}")
    if not directory.server.exists():
        issue_server(directory, ServerWish((_typed(address.host),)), now)
        made.append(f"the server's certificate: {directory.server}")
    administrator = directory.root / "clients" / f"{ADMINISTRATOR}.crt"
    if not administrator.exists():
        issue_client(directory, ClientWish(ADMINISTRATOR), now)
        made.append(f"a client's certificate: {administrator}")
    password = None
    if not place.configuration.exists():
        password = secrets.token_urlsafe(15)
        facts = FirstFacts(
            address.url,
            None if wish.is_handed_over else address.port,
            place.pki_name,
            place.data,
            hash_password(password),
        )
        replace(place.configuration, configuration_of(facts).encode(), mode)
        made.append(f"a configuration: {place.configuration}")
    return Begun(tuple(made), password)


def _typed(hostname: str) -> str:
    """A name or an address, as a certificate has it."""
    try:
        return f"IP:{ipaddress.ip_address(hostname)}"
    except ValueError:
        return f"DNS:{hostname}"


def check_port(port: int) -> int:
    """The same. Raises OperatorError when it is none."""
    if not 1 <= port <= _PORT_MAX:
        raise OperatorError(f"--port: {port} is no port")
    return port


def tell_password(begun: Begun) -> None:
    """The password is shown this once."""
    if begun.password is not None:
        print(f"user {ADMINISTRATOR} has the password {begun.password} (it is shown only now)")
