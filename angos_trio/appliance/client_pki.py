"""What the directory of an authority holds for clients, and what is to be feared of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from angos_trio.appliance.client_address import RegistryAddress, address_of
from angos_trio.clock import DAY_SECS, date_of
from angos_trio.errors import OperatorError
from angos_trio.limits.appliance import CERTIFICATE_SOON_SECS
from angos_trio.limits.certificates import PKI_DIRECTORY
from angos_trio.pki.certificates import CertificateError
from angos_trio.pki.files import read_file
from angos_trio.pki.keeping import PkiDirectory
from angos_trio.pki.summary import Summary, summaries_of
from angos_trio.records import Frozen
from angos_trio.telling import plain

_SHOWN_MAX: Final = 10
"""Names of clients that an error lists."""
_OF_DOCKER: Final = frozenset({"docker", "all"})


class Certified(Frozen):
    """A file of certificates: its text, and what its first one says."""

    text: str
    summary: Summary


def clients_in(directory: PkiDirectory) -> list[str]:
    """The names of all clients that can be seen."""
    return sorted(path.stem for path in directory.client("").parent.glob("[!.]*.crt"))


def read_ca(directory: PkiDirectory) -> Certified:
    """Whom clients trust. Raises OperatorError."""
    if not _is_there(directory.ca):
        raise OperatorError(
            f"{directory.ca}: there is no authority here: make one with "
            f"{directory.command('init')}, or name its directory with --pki"
        )
    return read_certificates(directory.ca)


def read_client(directory: PkiDirectory, name: str) -> Certified:
    """What a client shows. Raises OperatorError, which knows a name that is near."""
    known = clients_in(directory)
    if name not in known:
        raise OperatorError(f"--client: {_unknown(directory, name, known)}")
    return read_certificates(directory.client(name))


def _unknown(directory: PkiDirectory, name: str, known: list[str]) -> str:
    place = directory.client("NAME").parent
    if near := difflib.get_close_matches(name, known, n=1):
        return f"there is no client {name!a} in {place}; did you mean {near[0]}?"
    if not known:
        return f"there is no client in {place}: make one with {directory.command('client', 'NAME')}"
    shown = ", ".join(known[:_SHOWN_MAX]) + (", …" if len(known) > _SHOWN_MAX else "")
    return f"there is no client {name!a} in {place}; there are {shown}"


def read_key(directory: PkiDirectory, name: str) -> str:
    """A client's private key. Raises OperatorError."""
    path = directory.client_key(name)
    if not _is_there(path):
        raise OperatorError(
            f"{path}: the private key of {name} is not here, since it was made elsewhere: put it "
            "there, or do without it"
        )
    return read_file("--pki", str(path)).decode("ascii", "replace")


def read_server(directory: PkiDirectory) -> Certified | None:
    """What the registry shows; None when it is not here. Raises OperatorError."""
    return read_certificates(directory.server) if _is_there(directory.server) else None


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        cure = ": run the command as root" if isinstance(error, PermissionError) else ""
        raise OperatorError(f"{path}: {error.strerror}{cure}") from None
    return True


def read_certificates(path: Path) -> Certified:
    """A file of certificates. Raises OperatorError."""
    content = read_file("--pki", str(path))
    try:
        first = summaries_of(content)[0]
    except CertificateError as error:
        raise OperatorError(f"{path}: no certificates in PEM: {error}") from error
    return Certified(content.decode("ascii", "replace"), first)


def first_host(directory: PkiDirectory, server: Certified | None) -> RegistryAddress:
    """The registry by the name by which clients know it, unless another is told. The certificate
    may be anybody's, and the name goes into paths: so it must be one. Raises OperatorError."""
    if server is None:
        raise OperatorError(
            f"{directory.server}: there is no certificate of a server to take the registry's name "
            f"from: make one with {directory.command('server', '--san', 'NAME')}, or give --host"
        )
    hosts = [host for host in server.summary.hosts if not host.startswith("*")]
    if not hosts:
        raise OperatorError(f"{directory.server}: it is for no single host; give --host")
    try:
        return address_of(hosts[0], "--host")
    except OperatorError:
        raise OperatorError(
            f"{directory.server}: it is for {hosts[0]!a}, which can be no host; give --host"
        ) from None


class Seen(Frozen):
    """What there is to be looked at before files are handed on; `now` is in epoch seconds."""

    program: str
    name: str
    address: RegistryAddress
    ca: Summary
    client: Summary
    server: Summary | None
    now: int
    directory: PkiDirectory = PkiDirectory(Path(PKI_DIRECTORY))


def cautions(seen: Seen) -> Iterator[str]:
    """What will not work, or not for long: a sentence each. Pure."""
    host = seen.address.host
    if seen.address.is_loopback and seen.program in _OF_DOCKER:
        yield (
            f"docker takes {host} for one without TLS and looks into no certs.d: name the registry "
            "by a name of this host that is on no loopback address"
        )
    if seen.server is not None and not seen.server.covers(host):
        yield (
            f"the server's certificate is not for {host}: clients will refuse it; it is for "
            f"{plain(', '.join(seen.server.hosts)) or 'no host'}"
        )
    if not seen.client.is_for_clients:
        yield "the client's certificate is not for clients (no clientAuth): it will be refused"
    yield from _cautions_on("authority", seen.ca, seen.now, "make another")
    renew = seen.directory.command("renew", seen.name)
    yield from _cautions_on("client", seen.client, seen.now, f"renew it with {renew}")
    if seen.server is not None:
        renew = seen.directory.command("renew", "server")
        yield from _cautions_on("server", seen.server, seen.now, f"renew it with {renew}")


def _cautions_on(owner: str, summary: Summary, now: int, cure: str) -> Iterator[str]:
    end = date_of(summary.not_after // DAY_SECS)
    if summary.not_after < now:
        yield f"the {owner}'s certificate expired on {end}: {cure}"
    elif summary.not_after < now + CERTIFICATE_SOON_SECS:
        yield f"the {owner}'s certificate ends on {end}: {cure} before"
    elif summary.not_before > now:
        begin = date_of(summary.not_before // DAY_SECS)
        yield f"the {owner}'s certificate is valid from {begin} only: is this host's clock right?"
    if summary.is_edwards:
        yield (
            f"the {owner}'s certificate has an Ed25519 key, which some clients do not take: ECDSA "
            "P-256 is taken by all"
        )
