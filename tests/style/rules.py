"""Rules of style that ruff does not have: sizes, parameters, banned names, SQL, wide handlers.

Each check takes one source and returns findings; an empty list means that all is well.
Complexity is ruff's C901, bound in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.style.sources import PACKAGE, Source, functions

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
TEST_FILE_LINES_MAX = 800
PARAMETERS_MAX = 6


@dataclass(frozen=True)
class Ban:
    """A name that may be used only in some places, and what to use elsewhere.

    `names` are dotted: a module stands for everything in it. `places` are files or directories
    below the package; a directory ends with a slash.
    """

    names: tuple[str, ...]
    places: tuple[str, ...]
    instead: str


BANS = (
    Ban(
        (
            "io.open",
            "open",
            "os.open",
            "os.remove",
            "os.rename",
            "os.replace",
            "os.unlink",
            "shutil",
        ),
        # Certificates and keys are files of the operator, which OpenSSL reads by their names too;
        # a release is made of files of the program.
        ("storage/", "config/sources.py", "cli/", "pki/files.py", "appliance/releases.py"),
        "files belong to storage",
    ),
    Ban(
        (
            "datetime.date.today",
            "datetime.datetime.now",
            "datetime.datetime.utcnow",
            "time.time",
            "time.time_ns",
        ),
        ("clock.py",),
        "take a clock",
    ),
    Ban(("print",), ("cli/",), "log, or return a value"),
    Ban(("random",), (), "secrets for what is guessed, an argument for what is drawn"),
    Ban(("asyncio",), (), "trio"),
)
TEST_BANS = (
    Ban(("mock", "pytest_mock", "unittest.mock"), (), "a real part, or a fake with a name"),
)

# The borders where an error of any kind is met, turned into an answer, and goes no further.
# Everywhere else a handler names what it expects, or ends in a bare `raise`.
BORDERS: Mapping[str, str] = {
    "appliance/doctor.py": "a check that fails, however, is a line, and ends no other",
    "app/services.py": "a service that fails is told of and started anew",
    "auth/key_sets.py": "a fetch that nobody waits for must not end the process",
    "http/application.py": "an unforeseen error is logged and becomes a 500",
    "jobs/worker.py": "a job that fails, however, is put off or given up, and ends no other",
    "maintenance/scrub.py": "what cannot be looked at is counted and told, and ends no pass",
    "maintenance/tasks.py": "a run that fails is told to whoever asked for it, and ends no other",
    "mirror/fills.py": "what ends a fill is for those who wait for it, and ends no other",
    "policy/rules.py": "a rule that fails is an answer, whatever failed in it",
    "server/connection.py": "one broken connection must not end the others",
    "server/child.py": "a forked process ends here, whatever it raised",
    "storage/uploads.py": "what broke a body is raised once the bytes before it are safe",
    "storage/writer.py": "a step that fails must not take its batch with it",
}

SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE\s+FROM)\b")


def _place(source: Source) -> str:
    return source.path.removeprefix(f"{PACKAGE}/")


def function_lines(source: Source) -> list[str]:
    """Functions that are too long; the docstring does not count."""
    found = []
    for function in functions(source.tree):
        first = function.body[0]
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if ast.get_docstring(function, clean=False) is not None:
            lines -= (first.end_lineno or first.lineno) - first.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            found.append(
                source.at(
                    function, f"{function.name}: {lines} lines, not over {FUNCTION_LINES_MAX}"
                )
            )
    return found


def file_lines(source: Source) -> list[str]:
    """The file, if it is too long."""
    limit = TEST_FILE_LINES_MAX if source.path.startswith("tests/") else FILE_LINES_MAX
    lines = len(source.text.splitlines())
    return [f"{source.path}:1: {lines} lines, not over {limit}"] if lines > limit else []


def parameters(source: Source) -> list[str]:
    """Functions with too many parameters; `self` and `cls` do not count, all others do."""
    found = []
    for function in functions(source.tree):
        taken = function.args
        names = [item.arg for item in (*taken.posonlyargs, *taken.args)]
        count = len(names) - (names[:1] in (["self"], ["cls"])) + len(taken.kwonlyargs)
        count += (taken.vararg is not None) + (taken.kwarg is not None)
        if count > PARAMETERS_MAX:
            found.append(
                source.at(
                    function, f"{function.name}: {count} parameters, not over {PARAMETERS_MAX}"
                )
            )
    return found


def banned_names(source: Source, bans: tuple[Ban, ...] = BANS) -> list[str]:
    """Uses of banned names outside their places, called or not."""
    place = _place(source)
    return [
        source.at(node, f"{name}: {ban.instead}")
        for node, name in _names_used(source.tree)
        for ban in bans
        if _is_banned(name, ban) and not _is_in(place, ban.places)
    ]


def _is_banned(name: str, ban: Ban) -> bool:
    return any(name == banned or name.startswith(f"{banned}.") for banned in ban.names)


def _is_in(place: str, places: tuple[str, ...]) -> bool:
    return any(
        place.startswith(allowed) if allowed.endswith("/") else place == allowed
        for allowed in places
    )


def _names_used(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every imported or builtin name that a file uses, dotted and in full: `rm` of
    `from shutil import rmtree as rm` is `shutil.rmtree`. Imports count as uses."""
    full = _imported_names(tree)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node, name) for name in _names_of(node).values())
        elif isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            head, *rest = _dotted(node)
            if head in full and rest:
                yield node, ".".join([full[head], *rest])
            elif head and head not in full and not rest:
                yield node, head


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """What each name that is bound by an import stands for."""
    full: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            full.update(_names_of(node))
    return full


def _names_of(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    if isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        return {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
    return {
        alias.asname or alias.name.partition(".")[0]: (
            alias.name if alias.asname else alias.name.partition(".")[0]
        )
        for alias in node.names
    }


def _dotted(node: ast.expr) -> list[str]:
    """The parts of `a.b.c`; a first part that is no name is empty."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return parts[::-1]


def wide_handlers(source: Source, borders: Mapping[str, str] = BORDERS) -> list[str]:
    """Handlers of any error at all outside the borders, unless they end in a bare `raise`."""
    if _place(source) in borders:
        return []
    return [
        source.at(node, "name the expected errors, end in a bare raise, or be a border")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and _is_wide(node) and not _passes_on(node)
    ]


def _is_wide(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(_dotted(kind)[-1] in ("Exception", "BaseException") for kind in kinds)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def sql_strings(source: Source) -> list[str]:
    """String literals that begin like SQL, outside storage."""
    if _place(source).startswith("storage/"):
        return []
    return [
        source.at(node, "SQL lives in storage")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
