"""The house of `docs/architecture.md`, and what the imports of the code make of it.

Each check takes sources and returns findings; an empty list means that all is well.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from tests.style.sources import PACKAGE, Source

HEADING = "## The house"
BESIDE = " · "

# Rooms that may import a third-party name. A name that is not here may not be imported at all.
EVERY_ROOM_BUT = "every room but"
THIRD_PARTY: Mapping[str, frozenset[str]] = {
    "argon2": frozenset({"auth"}),
    "cel": frozenset({"policy"}),
    "cryptography": frozenset({"auth", "pki"}),
    "h11": frozenset({"net", "server"}),
    "httpcore": frozenset({"net"}),
    "httpx": frozenset({"net"}),
    "hypercorn": frozenset({"server"}),
    "jinja2": frozenset({"web"}),
    "jwt": frozenset({"auth"}),
    "msgspec": frozenset({"config", "http", "records"}),
    "prometheus_client": frozenset({"telemetry"}),
    "quart": frozenset({"http"}),
    "quart_trio": frozenset({"http"}),
    "rich": frozenset({"cli"}),
    "sqlite3": frozenset({"storage"}),  # part of Python, but adapted in one room all the same
    "structlog": frozenset({"telemetry"}),
    "trio": frozenset({EVERY_ROOM_BUT, "errors", "identity", "limits", "oci", "policy", "records"}),
    "trio_websocket": frozenset({"net"}),
    "werkzeug": frozenset({"http"}),
    "wsproto": frozenset({"server"}),
}

# Rooms take values; only these hold the whole configuration.
CONFIG_READERS = frozenset({"app", "cli", "config"})

# The package itself holds the version: below every room, and it imports none.
ROOT = "__init__"


@dataclass(frozen=True)
class Import:
    """One name that one file imports; `module` is absolute and may name an attribute."""

    source: Source
    node: ast.AST
    module: str

    @property
    def top(self) -> str:
        """The first part of the name: the package that is installed."""
        return self.module.partition(".")[0]

    @property
    def room(self) -> str | None:
        """The room that is imported, or None when it is not ours.

        A name that the package itself holds, such as its version, looks like a room without height.
        """
        if self.top != PACKAGE:
            return None
        parts = self.module.split(".")
        return parts[1] if len(parts) > 1 else ROOT


def parse_house(markdown: str) -> list[list[str]]:
    """The floors from top to bottom, each a list of rooms.

    Read from the first indented block below the heading; a line is rooms, two or more spaces, and
    a description.
    """
    _, found, rest = markdown.partition(f"\n{HEADING}\n")
    if not found:
        raise ValueError(f"no heading {HEADING!r}")
    floors: list[list[str]] = []
    for line in rest.splitlines():
        if line.startswith("    "):
            floors.append(re.split(r" {2,}", line.strip())[0].split(BESIDE))
        elif floors or line.startswith("## "):
            break
    rooms = [room for floor in floors for room in floor]
    if not rooms:
        raise ValueError(f"no diagram below {HEADING!r}")
    if len(set(rooms)) != len(rooms):
        raise ValueError("a room stands on two floors")
    if not all(re.fullmatch("[a-z][a-z0-9_]*", room) for room in rooms):
        raise ValueError(f"not the name of a room among {rooms}")
    return floors


def heights(floors: list[list[str]]) -> dict[str, int]:
    """The height of every room: larger is higher; `__main__` sits with `cli`."""
    height = {room: len(floors) - number for number, floor in enumerate(floors) for room in floor}
    return {**height, "__main__": height["cli"], ROOT: 0}


def imports_of(source: Source) -> Iterator[Import]:
    """Every import of a file, wherever it stands: in a function and under TYPE_CHECKING too."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (Import(source, node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            yield from (Import(source, node, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and (named := _named_in_call(node)):
            yield Import(source, node, named)


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = source.module.split(".")
    if not source.path.endswith("/__init__.py"):
        package.pop()
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def _named_in_call(node: ast.Call) -> str | None:
    """The module of `import_module("…")` and `__import__("…")`."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else None
    name = node.func.id if isinstance(node.func, ast.Name) else name
    if name not in ("import_module", "__import__") or not node.args:
        return None
    first = node.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def unknown_rooms(sources: Iterable[Source], floors: list[list[str]]) -> list[str]:
    """Files in rooms that the diagram does not have."""
    height = heights(floors)
    return [
        f"{source.path}:1: room {source.room} is not in the diagram of docs/architecture.md"
        for source in sources
        if source.room not in height
    ]


def wrong_arrows(sources: Iterable[Source], floors: list[list[str]]) -> list[str]:
    """Imports that go up, or to a room on the same floor."""
    height = heights(floors)
    found = []
    for source in sources:
        for item in imports_of(source):
            room = item.room
            if room is None or room == source.room or {room, source.room} == {"cli", "__main__"}:
                continue
            if height.get(room, 0) >= height.get(source.room, 0):
                found.append(
                    source.at(item.node, f"{source.room} may not import {room}: only downwards")
                )
    return found


def config_readers(sources: Iterable[Source]) -> list[str]:
    """Imports of the configuration in rooms that take values."""
    return [
        source.at(item.node, f"{source.room} may not import config: it takes values")
        for source in sources
        if source.room not in CONFIG_READERS
        for item in imports_of(source)
        if item.room == "config"
    ]


def third_party(sources: Iterable[Source]) -> list[str]:
    """Third-party names outside their room, and those that no room has."""
    found = []
    for source in sources:
        for item in imports_of(source):
            if item.top == PACKAGE or _may_import(source.room, item.top):
                continue
            found.append(source.at(item.node, f"{source.room} may not import {item.top}"))
    return found


def _may_import(room: str, name: str) -> bool:
    rooms = THIRD_PARTY.get(name)
    if rooms is None:
        return name in sys.stdlib_module_names
    return (room in rooms) != (EVERY_ROOM_BUT in rooms)


def cycles(sources: Iterable[Source]) -> list[str]:
    """The first cycle between modules, if there is one."""
    by_module = {source.module: source for source in sources}
    graph = {
        module: {target for item in imports_of(source) if (target := _target(item, by_module))}
        - {module}
        for module, source in by_module.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        members: list[str] = error.args[1]
        return ["these modules import each other: " + " <- ".join(members)]
    return []


def _target(item: Import, modules: Mapping[str, Source]) -> str | None:
    """The module that an import runs: the name itself, or what holds it."""
    name = item.module
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None
