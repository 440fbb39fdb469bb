"""Lengths of time as an operator types them."""

from __future__ import annotations

import re
from typing import Final

from angos_trio.errors import OperatorError

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}
_LENGTH: Final = re.compile(r"([0-9]{1,6})([mhd])", re.ASCII)


def parse_length(option: str, text: str, or_else: str = "") -> int:
    """Seconds of `90d`, `12h` or `30m`. Raises OperatorError."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise OperatorError(f"{option}: {text!a} is not like 90d, 12h or 30m{or_else}")
    return int(match[1]) * _UNITS[match[2]]
