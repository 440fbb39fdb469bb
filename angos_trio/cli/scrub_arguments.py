"""The arguments of `angos-trio scrub`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command, add_config, add_data_dir, files_of

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands


def add_scrub(commands: Commands) -> None:
    """The command."""
    scrub = add_command(commands, "scrub", _scrub, "look at everything stored, and repair it")
    scrub.add_argument("--dry-run", action="store_true", help="say what is wrong, change nothing")
    scrub.add_argument(
        "--rate", metavar="SIZE", help="bytes a second to read, such as 100MiB/s; 0: no bound"
    )
    add_config(scrub)
    add_data_dir(scrub)


def _scrub(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.asking import Place
    from angos_trio.cli.scrub import scrub

    place = Place(files_of(parsed), parsed.data_dir)
    return scrub(place, dry_run=parsed.dry_run, rate=parsed.rate)
