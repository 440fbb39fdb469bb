"""Errors that are for the operator, not for a client."""

from __future__ import annotations


class OperatorError(Exception):
    """Shown on one line by the command line, which then exits with 1; never a traceback."""
