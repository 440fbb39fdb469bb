"""`angos-trio client-config`: files for clients, and `test`, which knocks as one."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from angos_trio.appliance.client_address import RegistryAddress, parse_address, unnamed_by
from angos_trio.appliance.client_archive import as_archive, as_script, as_text
from angos_trio.appliance.client_files import (
    ClientSetup,
    Credentials,
    Mirror,
    Mirrors,
    Wanted,
    files_of,
    setups_for,
)
from angos_trio.appliance.client_pki import (
    Certified,
    Seen,
    cautions,
    first_host,
    read_ca,
    read_client,
    read_key,
    read_server,
)
from angos_trio.appliance.handshake import Visit, examine
from angos_trio.cli.streams import say
from angos_trio.clock import epoch_seconds
from angos_trio.errors import OperatorError
from angos_trio.net.names import use_own_threads
from angos_trio.net.tls import Names, context_of
from angos_trio.oci.codes import OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.pki.keeping import PkiDirectory
from angos_trio.records import Frozen

_LOOK_UP_SECS: Final = 2.0
"""For a remark; a server of names that is dead is not waited for."""
_PUBLIC_MODE: Final = 0o644
_PRIVATE_MODE: Final = 0o600


class Asked(Frozen):
    """What the command was told."""

    program: str
    client: str | None
    mirrors: str | None
    is_strict: bool
    format: str | None
    with_key: bool
    is_user: bool
    host: str | None
    address: str | None
    pki: str
    output: str | None


def client_config(asked: Asked) -> int:
    """Print files for a client, or write them. Raises OperatorError."""
    if asked.address is not None:
        raise OperatorError("--address is for client-config test; files name --host")
    if asked.client is None:
        raise OperatorError("--client NAME is missing: whose certificate is shown")
    directory = PkiDirectory(Path(asked.pki))
    ca, client, server = (
        read_ca(directory),
        read_client(directory, asked.client),
        read_server(directory),
    )
    address = _address_of(asked, directory, server)
    key = read_key(directory, asked.client) if asked.with_key else None
    wanted = Wanted(
        address,
        Credentials(asked.client, ca.text, client.text, key),
        parse_mirrors(asked.mirrors, address, is_strict=asked.is_strict),
        asked.is_user,
    )
    setups = setups_for(asked.program, wanted)
    content = _content(asked, setups, wanted, client, str(directory.client_key(asked.client)))
    server_says = None if server is None else server.summary
    told = (asked.program, asked.client, address, ca.summary, client.summary, server_says)
    seen = Seen(*told, epoch_seconds(), directory)
    for caution in (*_unnamed(setups, address), *cautions(seen)):
        say(f"warning: {caution}")
    if not trio.run(_resolves, address):
        say(
            f"note: the name {address.host} does not resolve on this host; clients need it in the "
            "DNS or in /etc/hosts"
        )
    if asked.format == "tar":
        for remark in _of_archive(setups, str(directory.client_key(asked.client)), key):
            say(f"note: {remark}")
    is_private = asked.with_key or asked.format == "tar"
    _hand_out(content, asked.output, _PRIVATE_MODE if is_private else _PUBLIC_MODE)
    return 0


def _content(
    asked: Asked, setups: Sequence[ClientSetup], wanted: Wanted, client: Certified, key_file: str
) -> bytes:
    if asked.format == "tar":
        if asked.output is None and sys.stdout is not None and sys.stdout.isatty():
            raise OperatorError("a tar is nothing for a terminal: give -o FILE, or a pipe")
        return as_archive(setups, client.summary.not_before)
    if asked.format == "sh":
        return as_script(setups, wanted, key_file).encode()
    return as_text(setups, wanted, key_file).encode()


def _unnamed(setups: Sequence[ClientSetup], address: RegistryAddress) -> Iterator[str]:
    """Which clients get files that are of no use, and why."""
    problems = {setup.client: unnamed_by(setup.client, address) for setup in setups}
    for problem in dict.fromkeys(filter(None, problems.values())):
        yield f"{', '.join(each for each in problems if problems[each] == problem)}: {problem}"


def _of_archive(setups: Sequence[ClientSetup], key_file: str, key: str | None) -> Iterator[str]:
    """What unpacking does not do, or does where the script is careful."""
    if key is None:
        yield f"the private key is not in it: copy {key_file}, mode 0600"
    for file in files_of(setups):
        if file.is_shared:
            yield (
                f"unpacking replaces {file.path}, where others may have written something: keep a "
                "copy of it, or take --format sh, which does"
            )


def _address_of(asked: Asked, directory: PkiDirectory, server: Certified | None) -> RegistryAddress:
    if asked.host is not None:
        return parse_address(asked.host, "--host")
    return first_host(directory, server)


def parse_mirrors(text: str | None, address: RegistryAddress, *, is_strict: bool) -> Mirrors:
    """`docker.io,quay.io=REPOSITORY` or `all`. Raises OperatorError."""
    if text is None:
        if is_strict:
            raise OperatorError("--strict-airgap is about --mirror; say which registries")
        return Mirrors()
    named: dict[str, Mirror] = {}
    is_every = False
    for word in text.split(","):
        upstream, equals, repository = word.strip().partition("=")
        if upstream == "all" and not equals:
            is_every = True
            continue
        registry = parse_address(upstream, "--mirror").authority
        if registry == address.authority:
            raise OperatorError(f"--mirror: {registry} is the registry itself")
        if registry in named:
            raise OperatorError(f"--mirror: {registry} stands there twice")
        named[registry] = Mirror(registry, _repository(repository if equals else registry))
    return Mirrors(tuple(named.values()), is_every, is_strict)


def _repository(text: str) -> str:
    try:
        return RepositoryName(text)
    except OciError:
        raise OperatorError(
            f"--mirror: {text!a} can be the name of no repository; write REGISTRY=REPOSITORY"
        ) from None


async def _resolves(address: RegistryAddress) -> bool:
    """Whether the name has an address here; what takes long counts as one that has."""
    use_own_threads()
    with trio.move_on_after(_LOOK_UP_SECS):
        try:
            await trio.socket.getaddrinfo(address.host, address.port)
        except (socket.gaierror, UnicodeError):
            return False
    return True


def _hand_out(content: bytes, output: str | None, mode: int) -> None:
    if output is not None:
        _write(Path(output), content, mode)
        return
    if sys.stdout is None:
        raise OperatorError("standard output is closed: give -o FILE")
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole, or not at all; nobody else reads it on the way. Raises OperatorError."""
    temporary = None
    try:
        if path.exists() and not path.is_file():
            raise OperatorError(f"-o {path}: this is no file; give another name")
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise OperatorError(f"-o {path}: cannot be written ({error.strerror})") from error


def client_test(asked: Asked) -> int:
    """Knock at the registry as a client, and say what came of it. Raises OperatorError."""
    _refuse_options_of_files(asked)
    directory = PkiDirectory(Path(asked.pki))
    ca = read_ca(directory)
    client = None if asked.client is None else read_client(directory, asked.client)
    address = _address_of(asked, directory, read_server(directory) if asked.host is None else None)
    names = Names(str(directory.ca), "the client's certificate", "the client's private key")
    files: tuple[str | None, str | None] = (None, None)
    if asked.client is not None:
        read_key(directory, asked.client)
        files = str(directory.client(asked.client)), str(directory.client_key(asked.client))
    visit = Visit(
        address=address,
        at=_ip(asked.address),
        tls=context_of(names, str(directory.ca), *files),
        ca=ca.summary,
        ca_file=str(directory.ca),
        name=asked.client,
        client=None if client is None else client.summary,
        now=epoch_seconds(),
    )
    verdict = trio.run(examine, visit)
    for remark in verdict.remarks:
        say(f"warning: {remark}")
    if not verdict.is_good:
        raise OperatorError(verdict.sentence)
    print(verdict.sentence)
    return 0


def _refuse_options_of_files(asked: Asked) -> None:
    given = {
        "--mirror": asked.mirrors,
        "--strict-airgap": asked.is_strict,
        "--format": asked.format,
        "--with-key": asked.with_key,
        "--user": asked.is_user,
        "-o": asked.output,
    }
    for option, value in given.items():
        if value:
            raise OperatorError(f"{option} is for the files of a client, not for test")


def _ip(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise OperatorError(f"--address: {text!a} is no address, such as 10.0.0.5") from None
