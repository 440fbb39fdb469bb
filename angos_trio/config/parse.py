"""TOML to a configuration, with errors that name the key and the nearest known one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from angos_trio.config.checks import check
from angos_trio.config.known import NOT_BUILT, WITHOUT_EFFECT
from angos_trio.config.model import Config
from angos_trio.config.paths import KeyRefused, Keys, did_you_mean, dotted
from angos_trio.config.tables import Key, Struct, keys_of
from angos_trio.config.values import decode_secret
from angos_trio.errors import OperatorError
from angos_trio.records import Frozen

Table = dict[str, object]

_AT = re.compile(r"(.*?)(?: - at `\$([^`]*)`)?", re.DOTALL)


class SecretFile(Frozen):
    """A file that a secret was read from: by which key, and who else may read it."""

    key: str
    path: str
    mode: int


class ParsedConfig(Frozen):
    """A configuration, and remarks about what the operator may want to change in it.

    `variables` are those of the environment that set keys: name and path. `secret_files` have been
    read.
    """

    config: Config
    remarks: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    secret_files: tuple[SecretFile, ...] = ()


def parse(texts: Sequence[tuple[str, str]]) -> ParsedConfig:
    """Merge named TOML texts and check what they say; files that they name are not read.

    Raises OperatorError with the text's name or the key's path.
    """
    document = merge_texts(texts)
    remarks = take_known(document)
    refuse_unknown(document)
    config = to_config(document)
    check(config)
    return ParsedConfig(config, remarks)


def merge_texts(texts: Sequence[tuple[str, str]]) -> Table:
    """Named TOML texts as one, the later over the earlier. Raises OperatorError with the name."""
    merged: Table = {}
    for name, text in texts:
        try:
            merged = merge(merged, tomllib.loads(text))
        except ValueError as error:
            raise OperatorError(f"{name}: {error}") from error
        except RecursionError:
            raise OperatorError(f"{name}: nested too deeply") from None
    return merged


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> Table:
    """One over the other: tables deep, everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def take_known(document: Table) -> tuple[str, ...]:
    """Take out the keys of the original that have no effect, and return a remark for each.

    Raises OperatorError with a line for each that is not built.
    """
    refused: list[str] = []
    remarks: list[str] = []
    try:
        for path, table in _walk(document, ()):
            pattern, value = _pattern(path), table[path[-1]]
            if pattern in NOT_BUILT:
                del table[path[-1]]
                if not _is_empty(value):
                    refused.append(f"{dotted(path)}: {NOT_BUILT[pattern]}")
            elif pattern in WITHOUT_EFFECT:
                del table[path[-1]]
                remarks.append(f"{dotted(path)} has no effect: {WITHOUT_EFFECT[pattern]}")
    except RecursionError:
        raise OperatorError("the configuration is nested too deeply") from None
    if refused:
        raise OperatorError("\n".join(refused))
    return tuple(remarks)


def _walk(table: Table, above: Keys) -> Iterator[tuple[Keys, Table]]:
    """Every key's path with the table it stands in, tables before what they hold."""
    for key in list(table):
        path = (*above, key)
        yield path, table
        value = table.get(key)
        if isinstance(value, dict):
            yield from _walk(value, path)


def _is_empty(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(item) for item in value.values())
    return value in ([], "")


def _pattern(path: Keys) -> str:
    """A path as `known` writes it; a key that has a dot of its own matches nothing there."""
    parts = list(path)
    if path[0] == "repository" and len(path) > 2:
        parts[1] = "*"
    return "" if any("." in key for key in parts) else ".".join(parts)


def refuse_unknown(document: Table) -> None:
    """Raises KeyRefused for a key that does not exist, with the nearest that does."""
    _refuse_unknown(document, Config, ())


def _refuse_unknown(table: Table, struct: Struct, above: Keys) -> None:
    keys = {key.name: key for key in keys_of(struct)}
    for name, value in table.items():
        path = (*above, name)
        if name not in keys:
            raise KeyRefused(dotted(path), f"unknown key; {did_you_mean(name, keys)}")
        key = keys[name]
        if key.table is None:
            continue
        for own, item in _held(value, key):
            if isinstance(item, dict):
                _refuse_unknown(item, key.table, path if own is None else (*path, own))


def _held(value: object, key: Key) -> list[tuple[str | None, object]]:
    """The tables that a key holds, with their names or numbers."""
    if key.is_list:
        items = value if isinstance(value, list) else []
        return [(str(number), item) for number, item in enumerate(items)]
    if not isinstance(value, dict):
        return []
    return list(value.items()) if key.is_named else [(None, value)]


def to_config(document: Table) -> Config:
    """Types are checked here, key by key, so that an error can name its key's whole path.

    Raises KeyRefused; no message shows a value of a secret.
    """
    config: Config = _table_of(document, Config, ())
    return config


def _table_of(value: object, struct: Struct, path: Keys) -> Any:
    table = _typed(value, dict[str, Any], path)
    values: dict[str, Any] = {}
    for key in keys_of(struct):
        below = (*path, key.name)
        if key.name in table:
            values[key.attribute] = _value_of(table[key.name], key, below)
        elif key.is_required:
            raise KeyRefused(dotted(below), "must be there")
    return struct(**values)


def _value_of(value: object, key: Key, path: Keys) -> Any:
    if key.table is None:
        return _typed(value, key.kind, path)
    if key.is_list:
        items = _typed(value, list[Any], path)
        return tuple(
            _table_of(item, key.table, (*path, str(number))) for number, item in enumerate(items)
        )
    if not key.is_named:
        return _table_of(value, key.table, path)
    tables = _typed(value, dict[str, Any], path)
    return {name: _table_of(item, key.table, (*path, name)) for name, item in tables.items()}


def _typed(value: object, kind: Any, path: Keys) -> Any:
    try:
        return msgspec.convert(value, kind, dec_hook=decode_secret)
    except msgspec.ValidationError as error:
        match = _AT.fullmatch(str(error))
        what, place = (str(error), None) if match is None else (match[1], match[2])
        raise KeyRefused(f"{dotted(path)}{place or ''}", what) from None
