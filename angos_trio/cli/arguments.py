"""What the arguments of several commands have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], help_: str
) -> argparse.ArgumentParser:
    """A command that `run` carries out; it returns the exit code."""
    command = commands.add_parser(name, help=help_)
    command.set_defaults(run=run)
    return command


def add_config(parser: argparse.ArgumentParser, destination: str = "files_after") -> None:
    """`-c`, which may stand before the command and after it."""
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        action="append",
        default=[],
        dest=destination,
        help="a TOML configuration; may be repeated, the later file wins",
    )


def add_data_dir(command: argparse.ArgumentParser) -> None:
    """`--data-dir`."""
    command.add_argument(
        "--data-dir", metavar="DIR", help="data directory, over the configuration's"
    )


def add_policy_test(command: argparse.ArgumentParser) -> None:
    """The options of `policy test`."""
    add_config(command)
    command.add_argument(
        "--as",
        metavar="WHO",
        dest="who",
        required=True,
        help="user:NAME, anonymous, cert:CN=NAME,O=NAME or oidc:PROVIDER:CLAIMS (JSON)",
    )
    command.add_argument(
        "--action", metavar="ACTION", required=True, help="what they want to do: put-manifest, …"
    )
    command.add_argument(
        "--target",
        metavar="TARGET",
        help="to what: team/app, team/app:TAG or team/app@DIGEST; else the registry",
    )
    command.add_argument(
        "--address",
        metavar="IP",
        default="127.0.0.1",
        help="where they come from, client_ip (127.0.0.1)",
    )


def files_of(parsed: argparse.Namespace) -> list[str]:
    """The files of every `-c`."""
    return [*parsed.files_before, *parsed.files_after]
