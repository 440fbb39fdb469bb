"""`angos-trio hash-password`"""

from __future__ import annotations

import getpass
import sys

from angos_trio.auth.passwords import hash_password
from angos_trio.errors import OperatorError
from angos_trio.limits.callers import PASSWORD_BYTES_MAX


def print_hash() -> int:
    """Ask for a password and print its hash, for `password` of `[auth.identity.<name>]`."""
    print(hash_password(_asked_twice() if sys.stdin.isatty() else _line()))
    return 0


def _asked_twice() -> str:
    """From a terminal, which shows nothing of it."""
    try:
        first = getpass.getpass("Password: ")
        is_same = getpass.getpass("The same again: ") == first
    except EOFError:
        raise OperatorError("no password was given") from None
    if not is_same:
        raise OperatorError("the two passwords differ")
    return _checked(first.encode(errors="surrogateescape"))


def _line() -> str:
    """The first line of what is piped in."""
    line = sys.stdin.buffer.readline(PASSWORD_BYTES_MAX + 2)
    return _checked(line.removesuffix(b"\n").removesuffix(b"\r"))


def _checked(password: bytes) -> str:
    """Clients send passwords as UTF-8."""
    if not password:
        raise OperatorError("the password is empty")
    if len(password) > PASSWORD_BYTES_MAX:
        raise OperatorError(f"the password is longer than {PASSWORD_BYTES_MAX} bytes")
    try:
        return password.decode()
    except UnicodeDecodeError:
        raise OperatorError("the password is not UTF-8") from None
