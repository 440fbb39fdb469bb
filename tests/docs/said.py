"""What the program can say: the texts of its sources, without those that are for their readers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.docs.pages import REPOSITORY

FILLED = "\N{HORIZONTAL ELLIPSIS}"
"""Stands for what a text is filled with when it is said; pages write it so too."""
_LAUNCHER = REPOSITORY / "packaging" / "zipapp" / "launcher.py"


def texts() -> list[str]:
    """Every text, whole, with `FILLED` where something is put in."""
    return [
        text
        for path in (_LAUNCHER, *(REPOSITORY / "angos_trio").rglob("*.py"))
        for text in _texts_below(ast.parse(path.read_text(encoding="utf-8")))
    ]


def is_said(sentence: str, among: list[str]) -> bool:
    """Whether one of the texts has the sentence in it; what fills it may be anything."""
    pieces = [re.escape(piece) for piece in sentence.split(FILLED)]
    wanted = re.compile(".{0,40}?".join(pieces), re.DOTALL)
    return any(map(wanted.search, among))


def _texts_below(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values
        )
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        is_for_readers = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        if not is_for_readers:
            yield from _texts_below(child)
