"""Paths of keys, and the refusal that names one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from angos_trio.errors import OperatorError

Keys = tuple[str, ...]
"""The keys from the top of a configuration down to one of them."""

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class KeyRefused(OperatorError):
    """What is wrong with a key; `path` is as it is written in TOML."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


def dotted(path: Keys) -> str:
    """A path as it is written in TOML."""
    return ".".join(key if _BARE.fullmatch(key) else quoted(key) for key in path)


def quoted(text: str) -> str:
    """Text of a file as it may stand in a message of one line."""
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    return '"' + one_line(shown).replace('"', '\\"') + '"'


def one_line(text: str) -> str:
    """Any text as one line of ASCII."""
    return text.encode("unicode_escape").decode("ascii")


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """The nearest of the known names, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(written, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known here: {', '.join(names)}" if names else "none is known here"
