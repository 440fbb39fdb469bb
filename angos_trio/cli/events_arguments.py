"""The arguments of `angos-trio events`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands


def add_events(commands: Commands) -> None:
    """The command."""
    command = add_command(commands, "events", _events, "print what happens, as lines of JSON")
    command.add_argument("url", metavar="URL", help="the registry: https://registry.example.test")
    command.add_argument("--follow", action="store_true", help="go on with what happens")
    command.add_argument(
        "--after",
        metavar="ID",
        type=int,
        help="begin behind this event; else at the oldest, and with --follow now",
    )
    command.add_argument("--namespace", metavar="NAME", help="of this namespace only")
    command.add_argument(
        "--user", metavar="NAME", help="a user, whose password or API key is asked for"
    )
    command.add_argument("--cert", metavar="FILE", help="a client certificate")
    command.add_argument("--key", metavar="FILE", help="and its private key")
    command.add_argument("--ca", metavar="FILE", help="what to trust; else what the system trusts")


def _events(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.events import Wanted, events

    return events(
        Wanted(
            url=parsed.url,
            follows=parsed.follow,
            after=parsed.after,
            namespace=parsed.namespace,
            user=parsed.user,
            certificate=parsed.cert,
            key=parsed.key,
            ca=parsed.ca,
        )
    )
