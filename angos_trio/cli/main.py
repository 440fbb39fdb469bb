"""`angos-trio`: the argument tree and the exit codes (0 done, 1 refused, 2 wrong arguments)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from angos_trio import __version__
from angos_trio.errors import OperatorError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except OperatorError as error:
        print(f"angos-trio: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="angos-trio", description="A container registry in one file."
    )
    parser.add_argument("--version", action="version", version=f"angos-trio {__version__}")
    _add_config(parser, "files_before")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    serve = commands.add_parser("serve", help="serve the registry until stopped")
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", help="validate a configuration and say what it means")
    check.set_defaults(run=_check)
    config = commands.add_parser("config", help="what a configuration may say")
    schema = config.add_subparsers(metavar="COMMAND", required=True).add_parser(
        "schema", help="print a JSON Schema of the configuration"
    )
    schema.set_defaults(run=_config_schema)
    for command in (serve, check):
        _add_config(command, "files_after")
        command.add_argument(
            "--listen", metavar="HOST:PORT", help="address to serve, over the configuration's"
        )
        command.add_argument(
            "--data-dir", metavar="DIR", help="data directory, over the configuration's"
        )
    return parser


def _add_config(parser: argparse.ArgumentParser, destination: str) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        action="append",
        default=[],
        dest=destination,
        help="a TOML configuration; may be repeated, the later file wins",
    )


def _serve(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.serve import serve

    return serve([*parsed.files_before, *parsed.files_after], parsed.listen, parsed.data_dir)


def _check(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.check import check

    return check([*parsed.files_before, *parsed.files_after], parsed.listen, parsed.data_dir)


def _config_schema(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.config_schema import print_schema

    return print_schema()
