"""What a test says of a configuration that is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from angos_trio.errors import OperatorError

T = TypeVar("T")


def value_or_refusal(parse: Callable[[], T]) -> T | OperatorError:
    """The invariant of every parser here: a value, or an OperatorError that fits on one line."""
    try:
        return parse()
    except OperatorError as error:
        if not is_one_line(str(error)):
            raise AssertionError(f"more than one line: {error}") from error
        return error


def is_one_line(text: str) -> bool:
    return text.isprintable()
