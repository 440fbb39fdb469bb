"""The arguments of `angos-trio read-only`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command, add_config, add_data_dir, files_of

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands
    from angos_trio.cli.asking import Place


def add_read_only(commands: Commands) -> None:
    """The command with the three below it."""
    switch = commands.add_parser("read-only", help="let nothing be changed for a while")
    below = switch.add_subparsers(metavar="COMMAND", required=True)
    for command in (
        add_command(below, "on", _on, "refuse every change, in every process at once"),
        add_command(below, "off", _off, "take changes again"),
        add_command(below, "status", _status, "say which it is"),
    ):
        add_config(command)
        add_data_dir(command)


def _on(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.read_only import switch

    return switch(_place(parsed), is_on=True)


def _off(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.read_only import switch

    return switch(_place(parsed), is_on=False)


def _status(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.read_only import status

    return status(_place(parsed))


def _place(parsed: argparse.Namespace) -> Place:
    from angos_trio.cli.asking import Place

    return Place(files_of(parsed), parsed.data_dir)
