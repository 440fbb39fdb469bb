"""The arguments of `angos-trio pki`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command
from angos_trio.limits.certificates import PKI_DIRECTORY, REVOCATION_REASONS

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands


def add_pki(commands: Commands) -> None:
    """The command with those below it."""
    pki = commands.add_parser("pki", help="a certificate authority: for the server and for clients")
    below = pki.add_subparsers(metavar="COMMAND", required=True)
    _add_init(below)
    _add_server(below)
    _add_client(below)
    _add_renew(below)
    _add_revoke(below)
    _add_list(below)
    _add_crl(below)
    _add_doctor(below)


def _add_pki_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--pki",
        metavar="DIR",
        default=PKI_DIRECTORY,
        help=f"directory of the authority; without it {PKI_DIRECTORY}",
    )


def _add_password(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--password-file", metavar="FILE", help=f"its first line {what}")


def _add_init(below: Commands) -> None:
    command = add_command(below, "init", _init, "make a root and an authority that issues")
    _add_pki_dir(command)
    command.add_argument("--name", metavar="NAME", help="what it is called; by the host's name")
    command.add_argument("--years", metavar="N", type=int, help="life of the root; without it 10")
    command.add_argument(
        "--offline-root", metavar="FILE", help="write the root's key here only, to be taken away"
    )
    _add_password(command, "encrypts the root's key")


def _add_server(below: Commands) -> None:
    command = add_command(below, "server", _server, "issue the server's certificate")
    _add_pki_dir(command)
    command.add_argument(
        "--san",
        metavar="NAME",
        action="append",
        default=[],
        dest="names",
        help="a name of the host or an address, as DNS:registry.lab or IP:10.0.0.5; repeated",
    )
    command.add_argument("--days", metavar="N", type=int, help="until it ends; without it 397")
    command.add_argument("--csr", metavar="FILE", help="for the key of this request, elsewhere")
    command.add_argument("-o", "--output", metavar="FILE", help="with --csr: write it here")


def _add_client(below: Commands) -> None:
    command = add_command(below, "client", _client, "issue a client's certificate")
    _add_pki_dir(command)
    command.add_argument("name", metavar="NAME", help="the client: CN, and registry://client/NAME")
    command.add_argument(
        "--group",
        metavar="GROUP",
        action="append",
        default=[],
        dest="groups",
        help="a group that it belongs to (O); may be repeated",
    )
    command.add_argument("--days", metavar="N", type=int, help="until it ends; without it 90")
    command.add_argument("--csr", metavar="FILE", help="for the key of this request of the client")
    command.add_argument("--p12", action="store_true", help="a PKCS#12 file besides, for browsers")
    _add_password(command, "protects the PKCS#12 file")
    command.add_argument("-o", "--output", metavar="DIR", help="copy what the client needs here")


def _add_renew(below: Commands) -> None:
    command = add_command(below, "renew", _renew, "issue anew, with a new key")
    _add_pki_dir(command)
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("name", metavar="NAME", nargs="?", help="a client, or server, or issuing")
    what.add_argument(
        "--all-due",
        action="store_true",
        help="the server's certificate and the revocation list, if due; names clients that are",
    )
    command.add_argument(
        "--check",
        action="store_true",
        help="change nothing: 0 if something is due, 1 if not, 3 for not known",
    )
    command.add_argument(
        "--restart", metavar="UNIT", help="of systemd, when --all-due renewed the server's"
    )
    command.add_argument("--root-key", metavar="FILE", help="for issuing: the root's key, brought")
    _add_password(command, "decrypts the root's key")


def _add_revoke(below: Commands) -> None:
    command = add_command(below, "revoke", _revoke, "end a certificate before its time")
    _add_pki_dir(command)
    command.add_argument("what", metavar="NAME_OR_SERIAL", help="the newest of a client, or one")
    command.add_argument(
        "--reason",
        choices=tuple(REVOCATION_REASONS),
        default="unspecified",
        metavar="REASON",
        help=", ".join(REVOCATION_REASONS),
    )
    command.add_argument("--all", action="store_true", dest="takes_all", help="all of that name")


def _add_list(below: Commands) -> None:
    command = add_command(below, "list", _list, "print what was issued, and what it is worth")
    _add_pki_dir(command)
    command.add_argument(
        "--expiring", metavar="TIME", help="only what is good and ends within 30d, 12h or 30m"
    )
    command.add_argument("--json", action="store_true", dest="as_json", help="for scripts")


def _add_crl(below: Commands) -> None:
    command = add_command(below, "crl", _crl, "make the revocation list anew, and print it")
    _add_pki_dir(command)
    command.add_argument(
        "--days", metavar="N", type=int, help="until the next is due; else as the last one, or 30"
    )
    command.add_argument("-o", "--output", metavar="FILE", help="write it here too, not print it")


def _add_doctor(below: Commands) -> None:
    command = add_command(below, "doctor", _doctor, "say what files are, and who will refuse them")
    _add_pki_dir(command)
    command.add_argument(
        "files", metavar="FILE", nargs="*", help="certificates, keys, lists; without: the directory"
    )


def _init(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.pki import init

    return init(parsed)


def _server(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.pki import server

    return server(parsed)


def _client(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.pki import client

    return client(parsed)


def _renew(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.pki import renew_

    return renew_(parsed)


def _revoke(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.pki import revoke_

    return revoke_(parsed)


def _list(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.pki import list_

    return list_(parsed)


def _crl(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.pki import crl

    return crl(parsed)


def _doctor(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.pki_doctor import doctor

    return doctor(parsed)
