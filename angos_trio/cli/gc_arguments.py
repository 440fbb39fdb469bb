"""The arguments of `angos-trio gc`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command, add_config, add_data_dir, files_of

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands


def add_gc(commands: Commands) -> None:
    """The command, and `explain` below it."""
    gc = add_command(commands, "gc", _collect, "give space back that nothing needs any more")
    gc.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    gc.add_argument(
        "--now",
        action="store_true",
        help="do not wait for leases: only the last five minutes are kept",
    )
    below = gc.add_subparsers(metavar="[explain]", required=False)
    explain = add_command(below, "explain", _explain, "say what keeps something, and until when")
    explain.add_argument(
        "what", metavar="WHAT", help="the digest of a blob or a manifest, or a namespace"
    )
    for command in (gc, explain):
        add_config(command)
        add_data_dir(command)


def _collect(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.asking import Place
    from angos_trio.cli.gc import collect

    place = Place(files_of(parsed), parsed.data_dir)
    return collect(place, dry_run=parsed.dry_run, now=parsed.now)


def _explain(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.asking import Place
    from angos_trio.cli.gc import explain

    return explain(Place(files_of(parsed), parsed.data_dir), parsed.what)
