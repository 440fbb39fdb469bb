"""Passwords, from a terminal that shows nothing of them, from a pipe, or from a file."""

from __future__ import annotations

import getpass
import sys

from angos_trio.errors import OperatorError
from angos_trio.limits.callers import PASSWORD_BYTES_MAX


def asked_twice(prompt: str = "Password: ") -> str:
    """From a terminal. Raises OperatorError."""
    first = asked(prompt)
    if first != asked("The same again: "):
        raise OperatorError("the two passwords differ")
    return first


def asked(prompt: str) -> str:
    """From a terminal, once. Raises OperatorError."""
    try:
        return checked(getpass.getpass(prompt).encode(errors="surrogateescape"))
    except EOFError:
        raise OperatorError("no password was given") from None


def piped() -> str:
    """The first line of what is piped in. Raises OperatorError."""
    return _line(sys.stdin.buffer.readline(PASSWORD_BYTES_MAX + 2))


def from_file(path: str) -> str:
    """The first line of a file. Raises OperatorError."""
    try:
        with open(path, "rb") as file:
            return _line(file.readline(PASSWORD_BYTES_MAX + 2))
    except OSError as error:
        raise OperatorError(f"--password-file: {path}: {error.strerror}") from error


def _line(line: bytes) -> str:
    return checked(line.removesuffix(b"\n").removesuffix(b"\r"))


def checked(password: bytes) -> str:
    """Clients send passwords as UTF-8. Raises OperatorError."""
    if not password:
        raise OperatorError("the password is empty")
    if len(password) > PASSWORD_BYTES_MAX:
        raise OperatorError(f"the password is longer than {PASSWORD_BYTES_MAX} bytes")
    try:
        return password.decode()
    except UnicodeDecodeError:
        raise OperatorError("the password is not UTF-8") from None
