"""The arguments of `angos-trio self`, and of `angos-trio init`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands


def add_self(commands: Commands) -> None:
    """`angos-trio self install|upgrade|rollback|prune|units|verify`."""
    parser = commands.add_parser("self", help="install this file on a host, upgrade it, go back")
    actions = parser.add_subparsers(metavar="COMMAND", required=True)
    install = add_command(actions, "install", _install, "install this file; --systemd as a service")
    _add_root(install)
    install.add_argument(
        "--systemd", action="store_true", help="set up user, certificates, configuration and units"
    )
    install.add_argument(
        "--hostname", metavar="NAME", help="the name by which clients know this host"
    )
    install.add_argument(
        "--port", metavar="PORT", type=int, help="where systemd listens, if not on 443"
    )
    upgrade = add_command(actions, "upgrade", _upgrade, "install a newer file and switch to it")
    _add_root(upgrade)
    upgrade.add_argument("file", metavar="FILE", help="angos-trio-VERSION-MACHINE.pyz")
    upgrade.add_argument(
        "--public-key", metavar="FILE", help="whose signature SHA256SUMS must have, in PEM"
    )
    rollback = add_command(actions, "rollback", _rollback, "switch back to the one before")
    _add_root(rollback)
    prune = add_command(actions, "prune", _prune, "remove releases before the one before")
    _add_root(prune)
    units = add_command(actions, "units", _units, "write the units of this release anew")
    _add_root(units)
    units.add_argument(
        "--outbound", action="store_true", help="let the service open connections of its own"
    )
    add_command(actions, "verify", _verify, "compare what was unpacked with what was built")


def add_init(commands: Commands) -> None:
    """`angos-trio init`."""
    command = add_command(
        commands, "init", _init, "write a first configuration, certificates and a password"
    )
    command.add_argument("directory", metavar="DIR", help="where to; it must be empty, or new")
    command.add_argument(
        "--hostname",
        metavar="NAME",
        required=True,
        help="the name or address by which clients know this host",
    )
    command.add_argument(
        "--port", metavar="PORT", type=int, default=8443, help="where to listen (8443)"
    )


def _add_root(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--root", metavar="DIR", default="/", help="a tree of a system, in the place of this one"
    )


def _install(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.self_install import install

    return install(parsed)


def _upgrade(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.self_upgrade import upgrade

    return upgrade(parsed)


def _rollback(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.self_upgrade import rollback

    return rollback(parsed)


def _prune(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.self_upgrade import prune

    return prune(parsed)


def _units(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.self_install import write_units

    return write_units(parsed)


def _verify(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.self_verify import verify

    return verify()


def _init(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.init import init

    return init(parsed)
