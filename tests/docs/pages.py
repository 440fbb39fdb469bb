"""The pages that users read, and how their tables, headings, links and examples are found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
NAMES: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**/*.md")

Pages = Mapping[str, str]
"""Path in the repository to text."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`]*)`")


@dataclass(frozen=True)
class Table:
    """A table below a heading; cells are as they are written."""

    heading: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def read_pages() -> dict[str, str]:
    """Every page."""
    paths = sorted(path for name in NAMES for path in REPOSITORY.glob(name))
    return {
        path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in paths
    }


def tables(text: str) -> Iterator[Table]:
    """The tables of a page, in order."""
    heading, block = "", list[str]()
    for line in [*_FENCE.sub("", text).splitlines(), ""]:
        if line.startswith("|"):
            block.append(line)
            continue
        if block:
            head, _, *rows = (_cells(row) for row in block)
            yield Table(heading, head, tuple(rows))
            block = []
        if match := _HEADING.fullmatch(line):
            heading = match[1]


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split(" | "))


def rows(text: str, *head: str) -> list[tuple[str, ...]]:
    """The rows of all tables with this head. A page without one, or a torn row, is an error."""
    found = [table for table in tables(text) if table.head == head]
    if not found:
        raise LookupError(f"no table with the head {head}")
    taken = [row for table in found for row in table.rows]
    for row in taken:
        if len(row) != len(head):
            raise LookupError(f"a row of another width than {head}: {row}")
    return taken


def codes(cell: str) -> list[str]:
    """What stands in backticks."""
    return _CODE.findall(cell)


def code(cell: str) -> str:
    """The one thing in backticks; the cell itself when there is none."""
    found = codes(cell)
    return found[0] if len(found) == 1 else cell


def headings(text: str) -> list[str]:
    """Every heading of a page."""
    return _HEADING.findall(_FENCE.sub("", text))


def anchor(heading: str) -> str:
    """What a link to a heading ends in."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def examples(text: str, language: str) -> list[str]:
    """The fenced examples in a language."""
    return [content for name, content in _FENCE.findall(text) if name == language]


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of any level. LookupError without it."""
    inside, found, is_code = False, list[str](), False
    for line in text.splitlines(keepends=True):
        is_code ^= line.startswith("```")
        match = None if is_code else _HEADING.fullmatch(line.rstrip("\n"))
        if match is not None:
            inside = match[1] == heading
            found += [""] if inside else []
        elif inside:
            found.append(line)
    if not found:
        raise LookupError(f"no heading {heading}")
    return "".join(found)


def fences(text: str) -> list[tuple[str, str]]:
    """The fenced examples with their languages, in order."""
    return _FENCE.findall(text)


def links(text: str) -> list[str]:
    """Targets of links that stay in the repository."""
    targets: list[str] = re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text))
    return [target for target in targets if "://" not in target]


def targets_of_make(text: str) -> list[str]:
    """What `make` is asked for, in backticks and in lines of code."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    commands = [*codes(_FENCE.sub("", text)), *lines]
    matches = (re.match(r"make ([a-z][a-z0-9.-]*)", command) for command in commands)
    return [match[1] for match in matches if match]


def difference(what: str, written: set[str], real: set[str]) -> list[str]:
    """Findings in both directions."""
    return [
        *(f"{what} is not in the docs: {item}" for item in sorted(real - written)),
        *(f"{what} is in the docs only: {item}" for item in sorted(written - real)),
    ]
