"""Keys that the environment sets: `ANGOS_TRIO__SERVER__PORT=9000` is `server.port = 9000`.

Two underscores separate the parts of a path, and upper case is lowered. The value is TOML if it
reads as a value of TOML, else text. It is TOML's text too where the key takes only text, so that a
password of digits needs no quotation marks. No message shows a value.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from angos_trio.config.parse import Table, merge, refuse_unknown, take_known
from angos_trio.config.paths import KeyRefused, Keys, dotted, quoted
from angos_trio.config.tables import key_at
from angos_trio.errors import OperatorError
from angos_trio.records import Frozen

PREFIX = "ANGOS_TRIO__"
_ALIKE = "ANGOS_TRIO"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the environment that sets a key."""

    name: str
    path: Keys
    value: object = field(repr=False)


class Variables(Frozen):
    """The variables that set keys, a table before what is in it, and remarks about others that look
    like them."""

    variables: tuple[Variable, ...]
    remarks: tuple[str, ...]


def read_variables(environ: Mapping[str, str]) -> Variables:
    """The variables that are ours. Raises OperatorError that names one that cannot be."""
    found: dict[Keys, Variable] = {}
    remarks: list[str] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            if name.upper().startswith(_ALIKE):
                remarks.append(f"{_shown(name)} is not read: variables begin with {PREFIX}")
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if not all(path):
            why = f"names no key; write for example {PREFIX}SERVER__PORT"
            raise OperatorError(f"{_shown(name)}: {why}")
        if path in found:
            other = _shown(found[path].name)
            raise OperatorError(f"{_shown(name)}: sets {dotted(path)}, as {other} does")
        found[path] = Variable(name, path, _value_of(environ[name], path, name))
    return Variables(tuple(found[path] for path in sorted(found)), tuple(remarks))


def _value_of(text: str, path: Keys, name: str) -> object:
    try:
        text.encode()
        values = tomllib.loads(f"value = {text}")
    except UnicodeEncodeError:
        raise OperatorError(f"{_shown(name)}: not UTF-8") from None
    except RecursionError:
        raise OperatorError(f"{_shown(name)}: nested too deeply") from None
    except ValueError:
        return text
    key = key_at(path)
    is_for_text = key is not None and key.is_text and not isinstance(values["value"], str)
    return text if is_for_text or len(values) > 1 else values["value"]


def document_of(variables: Sequence[Variable]) -> tuple[Table, tuple[str, ...]]:
    """What variables set, as one document, and remarks about those that have no effect.

    Raises OperatorError that names the variable of a key that does not exist or is not built.
    """
    merged: Table = {}
    remarks: list[str] = []
    for variable in variables:
        document: Table = {variable.path[-1]: variable.value}
        for key in reversed(variable.path[:-1]):
            document = {key: document}
        try:
            _refuse_key_below_a_value(variable.path)
            remarks += [f"{_shown(variable.name)}: {line}" for line in take_known(document)]
            refuse_unknown(document)
        except OperatorError as error:
            raise OperatorError(f"{_shown(variable.name)}: {error}") from None
        merged = merge(merged, document)
    return merged, tuple(remarks)


def _refuse_key_below_a_value(path: Keys) -> None:
    for length in range(1, len(path)):
        key = key_at(path[:length])
        if key is not None and key.table is None:
            raise KeyRefused(dotted(path[:length]), "has no keys below it")


def blamed(refused: KeyRefused, variables: Sequence[tuple[str, str]]) -> OperatorError:
    """A refusal that names the variable which set the key, if one of these (name, path) did."""
    for name, path in variables:
        if refused.path == path or refused.path.startswith((f"{path}.", f"{path}[")):
            return OperatorError(f"{name}: {refused}")
    return refused


def names_and_paths(variables: Sequence[Variable]) -> tuple[tuple[str, str], ...]:
    """Variables without their values, the most specific first."""
    found = [(_shown(variable.name), dotted(variable.path)) for variable in variables]
    return tuple(reversed(found))


def _shown(name: str) -> str:
    """A variable's name as it may stand in a line."""
    return name if name.isprintable() and len(name) <= 120 else quoted(name)
