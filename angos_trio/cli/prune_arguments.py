"""The arguments of `angos-trio prune`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command, add_config, add_data_dir, files_of

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands


def add_prune(commands: Commands) -> None:
    """The command."""
    prune = add_command(commands, "prune", _prune, "delete what no retention rule keeps")
    prune.add_argument(
        "--dry-run", action="store_true", help="list every tag with its verdict, change nothing"
    )
    prune.add_argument("--json", action="store_true", help="a line of JSON for each, and the sums")
    add_config(prune)
    add_data_dir(prune)


def _prune(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.asking import Place
    from angos_trio.cli.prune import prune

    place = Place(files_of(parsed), parsed.data_dir)
    return prune(place, dry_run=parsed.dry_run, as_json=parsed.json)
