"""Errors that are for the operator, not for a client; and the one error of a nursery's group."""

from __future__ import annotations

_REAL = (Exception, KeyboardInterrupt, SystemExit)
"""What is no cancellation."""


class OperatorError(Exception):
    """Shown on one line by the command line, which then exits with 1; never a traceback."""


def only_error(group: BaseException) -> BaseException:
    """The first real error of a nursery's group; a cancellation only when there is nothing else."""
    first = group
    while isinstance(first, BaseExceptionGroup):
        errors, _ = first.split(_REAL)
        first = (errors or first).exceptions[0]
    return first
