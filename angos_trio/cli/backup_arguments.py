"""The arguments of `angos-trio backup`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command, add_config, add_data_dir, files_of

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands
    from angos_trio.cli.asking import Place


def add_backup(commands: Commands) -> None:
    """The command with the three below it."""
    backup = commands.add_parser("backup", help="a copy of everything: create, verify, restore")
    below = backup.add_subparsers(metavar="COMMAND", required=True)
    create = add_command(below, "create", _create, "make a backup, or bring one up to date")
    verify = add_command(below, "verify", _verify, "read all of a backup and say what is wrong")
    restore = add_command(below, "restore", _restore, "restore into an empty data directory")
    for command in (create, verify, restore):
        command.add_argument("directory", metavar="DIR", help="the directory of the backup")
    for command in (create, restore):
        add_config(command)
        add_data_dir(command)


def _create(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.backup import create

    return create(_place(parsed), parsed.directory)


def _verify(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.backup import verify

    return verify(parsed.directory)


def _restore(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.backup import bring_back

    return bring_back(_place(parsed), parsed.directory)


def _place(parsed: argparse.Namespace) -> Place:
    from angos_trio.cli.asking import Place

    return Place(files_of(parsed), parsed.data_dir)
