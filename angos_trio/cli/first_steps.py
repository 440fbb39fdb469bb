"""What a new registry needs before it can start: an authority, certificates, a configuration."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from angos_trio.appliance.first_files import ADMINISTRATOR, FirstFacts, configuration_of
from angos_trio.auth.passwords import hash_password
from angos_trio.cli.streams import mute
from angos_trio.clock import epoch_seconds
from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import NAME_BYTES_MAX
from angos_trio.limits.processes import BEGIN_LOCK_SECS_MAX
from angos_trio.pki.authority import (
    ClientWish,
    Founding,
    PkiDirectory,
    ServerWish,
    create_authority,
    issue_client,
    issue_server,
)
from angos_trio.pki.files import (
    locked,
    make_directory,
    next_of,
    put_in_place,
    remove,
    stage,
    words_of,
)
from angos_trio.pki.keeping import read_journal
from angos_trio.pki.naming import ISSUING, SERVER, server_names
from angos_trio.records import Frozen

_HTTPS_PORT = 443
_PORT_MAX = 65_535
_WORD = " registry"
"""What an authority is called after the name of its first host."""


class Place(Frozen):
    """Where the first files go. `port` is where clients connect; `is_alone`: the registry listens
    there by itself, and systemd does not. `tree`: what is not yet `/` to the registry, but will
    be."""

    configuration: Path
    pki: Path
    data: Path
    port: int
    is_alone: bool
    tree: Path = Path("/")


class Begun(Frozen):
    """What was written. `password` is the administrator's, which was shown and nobody else knows;
    None where the configuration was there already."""

    made: tuple[str, ...]
    password: str | None


def check_wish(place: Place, hostname: str | None) -> str | None:
    """Look whether it can be begun for a host, before anything is changed: its name as a
    certificate has it, `DNS:registry.lab`; None where none is needed. Raises OperatorError."""
    directory = PkiDirectory(place.pki)
    try:
        missing = [
            each
            for each in (directory.ca, directory.server, place.configuration)
            if not each.exists()
        ]
        if hostname is None:
            if missing:
                raise OperatorError(
                    f"{missing[0]} is not there yet: say --hostname NAME, by which clients know "
                    "this host"
                )
            return None
        name = _name_of(hostname)
        _check_other(directory, name)
        if _is_foreign(directory) and not directory.clients_ca.exists():
            raise OperatorError(
                f"{directory.server} is not of `angos-trio pki`, and {directory.clients_ca} is not "
                "there: write the authorities into it whose clients may come in"
            )
    except OSError as error:
        raise OperatorError(words_of(error)) from error
    return name


def _name_of(hostname: str) -> str:
    try:
        (name,) = server_names((hostname,))
    except OperatorError as error:
        raise OperatorError(f"--hostname: {str(error).removeprefix('--san: ')}") from None
    if "*" in name:
        raise OperatorError(f"--hostname: {hostname!a}: this is no name of one host")
    return name


def _check_other(directory: PkiDirectory, name: str) -> None:
    """Refuse a name that the certificate which is there already does not have."""
    if not directory.has_authority or not directory.server.exists():
        return
    record = read_journal(directory).latest().get(SERVER)
    if record is not None and name not in record.names:
        raise OperatorError(
            f"{directory.server} is for {', '.join(record.names)}: leave --hostname away, or give "
            f"it another name with `angos-trio pki server --san NAME --pki {directory.root}`, and "
            "server.external_url too"
        )


def _is_foreign(directory: PkiDirectory) -> bool:
    """Whether certificates come from elsewhere: the server has one, and nobody here issues any."""
    return directory.server.exists() and not directory.has_authority


def begin(place: Place, name: str | None, mode: int) -> Begun:
    """Make what is not there yet, one command at a time. The configuration comes last, after its
    password was shown, so that a crash in between is mended by the same command. `name` is from
    `check_wish`. Raises OperatorError."""
    folder = place.configuration.parent
    try:
        make_directory(folder, 0o755)
        with locked(folder / ".lock", BEGIN_LOCK_SECS_MAX):
            return _begin(place, PkiDirectory(place.pki), name or "", mode)
    except TimeoutError:
        raise OperatorError(
            f"another command has been making a registry in {folder} for "
            f"{BEGIN_LOCK_SECS_MAX:.0f} seconds: try again when it has ended"
        ) from None
    except OSError as error:
        raise OperatorError(words_of(error)) from error


def _begin(place: Place, directory: PkiDirectory, name: str, mode: int) -> Begun:
    made = [] if _is_foreign(directory) else _make_certificates(directory, name)
    password = None
    if not place.configuration.exists():
        password = secrets.token_urlsafe(15)
        facts = FirstFacts(
            f"https://{authority_of(name, place.port)}",
            place.port if place.is_alone else None,
            Path("/") / place.pki.relative_to(place.tree),
            place.data,
            hash_password(password),
            has_list=directory.crl.exists(),
            is_ipv6=_is_ipv6(name),
        )
        _put(place.configuration, configuration_of(facts), mode, password)
        made.append(f"a configuration: {place.configuration}")
    return Begun(tuple(made), password)


def _put(path: Path, text: str, mode: int, password: str) -> None:
    """Give the configuration its place once its password was shown."""
    stage(path, text.encode(), mode)
    try:
        _show(password)
        put_in_place(path)
    except (OSError, OperatorError):
        remove(next_of(path))
        raise


def _show(password: str) -> None:
    """This once: it is written down nowhere. Raises OperatorError where nobody can read it."""
    problem = "it is closed"
    if sys.stdout is not None:
        try:
            line = f"user {ADMINISTRATOR} has the password {password} (it is shown only now)"
            print(line, flush=True)
            return
        except OSError as error:
            problem = error.strerror or str(error)
            mute(sys.stdout)
    raise OperatorError(
        f"the administrator's password cannot be shown on standard output ({problem}): no "
        "configuration was written; type the command again where it can be read"
    )


def _make_certificates(directory: PkiDirectory, name: str) -> list[str]:
    made, now = [], epoch_seconds()
    if not directory.has_authority:
        create_authority(directory, Founding(_authority_name(name)), now)
        made.append(f"an authority: {directory.ca}; whoever has {directory.root_key} is it")
    if not directory.server.exists():
        issue_server(directory, ServerWish((name,)), now)
        made.append(f"the server's certificate: {directory.server}")
    administrator = directory.client(ADMINISTRATOR)
    if not administrator.exists():
        issue_client(directory, ClientWish(ADMINISTRATOR), now)
        made.append(f"a client's certificate: {administrator}")
    return made


def _authority_name(name: str) -> str:
    """Of the host, as much of it as there is room for."""
    host, room = name.partition(":")[2], NAME_BYTES_MAX - len(f" {ISSUING}") - len(_WORD)
    return f"{host if len(host) <= room else host[: room - 3] + '...'}{_WORD}"


def authority_of(name: str, port: int) -> str:
    """A name of `check_wish` with a port, as URLs have both (RFC 3986, section 3.2)."""
    host = name.partition(":")[2]
    shown = f"[{host}]" if _is_ipv6(name) else host
    return shown if port == _HTTPS_PORT else f"{shown}:{port}"


def _is_ipv6(name: str) -> bool:
    kind, _, host = name.partition(":")
    return kind == "IP" and ":" in host


def check_port(port: int) -> None:
    """Refuse what is no port. Raises OperatorError."""
    if not 1 <= port <= _PORT_MAX:
        raise OperatorError(f"--port: {port} is no port")
