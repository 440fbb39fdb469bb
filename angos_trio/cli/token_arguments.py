"""The arguments of `angos-trio token`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from angos_trio.cli.arguments import add_command, add_config, add_data_dir, files_of

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands
    from angos_trio.cli.asking import Place

EXPIRES_DEFAULT: Final = "90d"
"""Of a key for which nothing else was asked: who forgets it is not bound to it for ever."""


def add_token(commands: Commands) -> None:
    """The command with the three below it."""
    token = commands.add_parser("token", help="API keys: create, list, revoke")
    below = token.add_subparsers(metavar="COMMAND", required=True)
    create = add_command(below, "create", _create, "make a key and print it, this once")
    create.add_argument(
        "--as", metavar="USER", dest="owner", required=True, help="whose key it is: a Basic user"
    )
    create.add_argument("--name", metavar="NAME", required=True, help="what the key is called")
    create.add_argument(
        "--expires",
        metavar="TIME",
        default=EXPIRES_DEFAULT,
        help=f"90d, 12h, 30m or never; without it {EXPIRES_DEFAULT}",
    )
    create.add_argument(
        "--repository",
        metavar="GLOB",
        action="append",
        default=[],
        dest="repositories",
        help="only these: * is within a segment, ** across; may be repeated",
    )
    create.add_argument(
        "--action",
        metavar="ACTION",
        action="append",
        default=[],
        dest="actions",
        help="only this, such as get-manifest; may be repeated",
    )
    listing = add_command(below, "list", _list, "print what is known of every key")
    listing.add_argument("--json", action="store_true", dest="as_json", help="for scripts")
    revoke = add_command(below, "revoke", _revoke, "end a key at once")
    revoke.add_argument("key", metavar="ID_OR_NAME", help="the key's id, or its name")
    for command in (create, listing, revoke):
        add_config(command)
        add_data_dir(command)


def _create(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.token import Wanted, create

    wanted = Wanted(parsed.owner, parsed.name, parsed.expires, parsed.repositories, parsed.actions)
    return create(_place(parsed), wanted)


def _list(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.token import list_

    return list_(_place(parsed), as_json=parsed.as_json)


def _revoke(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.token import revoke

    return revoke(_place(parsed), parsed.key)


def _place(parsed: argparse.Namespace) -> Place:
    from angos_trio.cli.asking import Place

    return Place(files_of(parsed), parsed.data_dir)
