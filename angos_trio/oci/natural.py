"""The order that people expect of tags: `v1.9` before `v1.10`."""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = re.compile(r"[0-9]+")


def natural_key(text: str) -> str:
    """Text that compares byte-wise as people order: runs of digits by their value.

    A run becomes its length without leading zeros, as one character, and then itself, so that a
    longer number comes after a shorter one. Texts that differ in leading zeros alone have the same
    key; letters count without their case. A tag has at most 128 characters, so that the length is
    one character in `!` to U+00A0, and a run stands before all letters as a digit does.
    """
    return _DIGITS.sub(_measured, text.lower())


def _measured(found: re.Match[str]) -> str:
    digits = found.group().lstrip("0")
    return f"0{chr(0x21 + len(digits))}{digits}"
