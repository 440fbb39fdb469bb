"""Python files, read once for all checks of this directory."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = "angos_trio"


@dataclass(frozen=True)
class Source:
    """One file: `path` is relative to the repository, with forward slashes."""

    path: str
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The dotted name under which the file is imported."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def room(self) -> str:
        """The room of the house that holds the file; `__init__` for the package itself."""
        parts = self.path.removesuffix(".py").split("/")
        return parts[1]

    def at(self, node: ast.AST, message: str) -> str:
        """A finding, as an editor can jump to it."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {message}"


def source_of(path: str, text: str) -> Source:
    """A source made of `text`, as if it stood at `path`."""
    return Source(path, text, ast.parse(text, filename=path))


def sources_below(directory: str) -> list[Source]:
    """Every Python file below a directory of the repository; none when it does not exist."""
    return [
        source_of(path.relative_to(REPOSITORY).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted((REPOSITORY / directory).rglob("*.py"))
    ]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a tree, nested ones and methods too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def expect_none(findings: Iterable[str]) -> None:
    """Fail with every finding, one a line."""
    found = list(findings)
    assert not found, "\n".join(["", *found])
