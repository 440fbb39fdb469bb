"""`angos-trio`: the argument tree and the exit codes (0 done, 1 refused, 2 wrong arguments; others
in `codes`)."""

from __future__ import annotations

import argparse
import errno
import gc
import signal
import sys
from collections.abc import Sequence
from typing import Final

from angos_trio import __version__
from angos_trio.cli.arguments import (
    add_command,
    add_config,
    add_data_dir,
    add_policy_test,
    files_of,
)
from angos_trio.cli.backup_arguments import add_backup
from angos_trio.cli.client_config_arguments import add_client_config
from angos_trio.cli.codes import INTERRUPTED, NOBODY_READS
from angos_trio.cli.doctor_arguments import add_doctor
from angos_trio.cli.events_arguments import add_events
from angos_trio.cli.gc_arguments import add_gc
from angos_trio.cli.pki_arguments import add_pki
from angos_trio.cli.prune_arguments import add_prune
from angos_trio.cli.read_only_arguments import add_read_only
from angos_trio.cli.scrub_arguments import add_scrub
from angos_trio.cli.self_arguments import add_init, add_self
from angos_trio.cli.streams import has_left, mute, say, settle
from angos_trio.cli.token_arguments import add_token
from angos_trio.errors import OperatorError

_OF_OUTPUTS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE})
"""What a file, a terminal or a pipe says that takes nothing more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parsed = None
    try:
        parsed = _parsed(arguments)
        code = int(parsed.run(parsed))
        _flush()
        return code
    except OperatorError as error:
        settle(sys.stdout)
        say(f"angos-trio: {error}")
        return 1
    except OSError as error:
        if isinstance(error, BrokenPipeError) and sys.stdout is not None and has_left(sys.stdout):
            mute(sys.stdout)
            return NOBODY_READS
        if parsed is not None and parsed.run is _serve:
            raise  # a registry that ends so is to say where
        settle(sys.stdout)
        say(f"angos-trio: {_sentence_of(error)}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        return _parser().parse_args(arguments)
    finally:
        _flush()  # --help ends here


def _flush() -> None:
    """What was printed goes out while a failure can still be met. Raises OSError."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _sentence_of(error: OSError) -> str:
    """What the system refused, and where. What writes files names them, and print() does not."""
    from angos_trio.pki.files import words_of

    is_output = error.filename is None and error.errno in _OF_OUTPUTS
    return f"standard output: {words_of(error)}" if is_output else words_of(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="angos-trio", description="A container registry in one file."
    )
    parser.add_argument("--version", action="version", version=f"angos-trio {__version__}")
    add_config(parser, "files_before")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    serve = add_command(commands, "serve", _serve, "serve the registry until stopped")
    check = add_command(commands, "check", _check, "validate a configuration and say what it means")
    config = commands.add_parser("config", help="what a configuration may say")
    schemas = config.add_subparsers(metavar="COMMAND", required=True)
    add_command(schemas, "schema", _config_schema, "print a JSON Schema of the configuration")
    for command in (serve, check):
        add_config(command)
        command.add_argument(
            "--listen", metavar="HOST:PORT", help="address to serve, over the configuration's"
        )
        add_data_dir(command)
    add_init(commands)
    add_self(commands)
    add_token(commands)
    add_gc(commands)
    add_backup(commands)
    add_read_only(commands)
    add_scrub(commands)
    add_prune(commands)
    add_doctor(commands)
    add_events(commands)
    add_client_config(commands)
    add_pki(commands)
    policies = commands.add_parser("policy", help="what the policies of a configuration say")
    tests = policies.add_subparsers(metavar="COMMAND", required=True)
    add_policy_test(add_command(tests, "test", _policy_test, "decide about a request, without one"))
    webhooks = commands.add_parser("webhook", help="who is told of what happens")
    attempts = webhooks.add_subparsers(metavar="COMMAND", required=True)
    attempt = add_command(attempts, "test", _webhook_test, "send a webhook a message, once")
    add_config(attempt)
    attempt.add_argument("name", metavar="NAME", help="the webhook, of [event_webhook.NAME]")
    hashing = commands.add_parser(
        "hash-password",
        aliases=["argon"],
        help="print the argon2id hash of a password for the configuration",
    )
    hashing.set_defaults(run=_hash_password)
    return parser


def _serve(parsed: argparse.Namespace) -> int:
    # Until the registry has its own handlers, Ctrl-C ends the process at once. Python's handler
    # raises an exception, which is lost where it meets a callback of the import system.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # importing makes much that stays: to look through it again and again is no use
    from angos_trio.cli.serve import serve

    return serve(files_of(parsed), parsed.listen, parsed.data_dir)


def _check(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.check import check

    return check(files_of(parsed), parsed.listen, parsed.data_dir)


def _config_schema(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.config_schema import print_schema

    return print_schema()


def _policy_test(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.policy_test import policy_test

    return policy_test(files_of(parsed), parsed)


def _webhook_test(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.webhook_test import webhook_test

    return webhook_test(files_of(parsed), parsed.name)


def _hash_password(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.hash_password import print_hash

    return print_hash()
