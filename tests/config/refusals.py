"""What a test says of a configuration that is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from angos_trio.config.known import NOT_BUILT
from angos_trio.errors import OperatorError

T = TypeVar("T")

TO_ADD = "    "


def value_or_refusal(parse: Callable[[], T]) -> T | OperatorError:
    """The invariant of every parser here: a value, or an OperatorError that fits on one line.

    Two have more: each key that is not built has a line, and lines to add to a file stand below.
    """
    try:
        return parse()
    except OperatorError as error:
        first, *more = str(error).split("\n")
        is_list = all(line.endswith(tuple(NOT_BUILT.values())) for line in (first, *more))
        are_to_add = all(line.startswith(TO_ADD) for line in more)
        if not all(map(is_one_line, (first, *more))) or not (is_list or are_to_add):
            raise AssertionError(f"more than one line: {error}") from error
        return error


def is_one_line(text: str) -> bool:
    return text.isprintable()
