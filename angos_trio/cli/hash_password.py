"""`angos-trio hash-password`"""

from __future__ import annotations

import sys

from angos_trio.auth.passwords import hash_password
from angos_trio.cli.passwords import asked_twice, piped


def print_hash() -> int:
    """Ask for a password and print its hash, for `password` of `[auth.identity.<name>]`."""
    print(hash_password(asked_twice() if sys.stdin.isatty() else piped()))
    return 0
