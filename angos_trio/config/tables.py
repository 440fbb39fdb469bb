"""The shape of the configuration: its tables with their keys, and ways through all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from angos_trio.config.model import AtStart, Config, PresenceAtStart, Secret
from angos_trio.config.paths import Keys
from angos_trio.records import Frozen

Struct = type[msgspec.Struct]
T = TypeVar("T", bound=msgspec.Struct)

_FILE = "_file"


class Key(Frozen):
    """A key of a table. `attribute` is its name in Python, `kind` its type with bounds and marks.

    `table` is the table that it holds, if it holds one; with `is_named` it holds any number of
    these, by names of the operator's own, with `is_list` by their numbers from 0. `is_path`: it
    names a file, or a list of them.
    """

    name: str
    attribute: str
    kind: Any
    default: object
    table: Struct | None
    is_named: bool
    is_list: bool
    is_required: bool
    is_at_start: bool
    is_presence_at_start: bool
    is_path: bool
    is_secret: bool
    is_text: bool


@functools.cache
def keys_of(struct: Struct) -> tuple[Key, ...]:
    """The keys of a table in their order."""
    return tuple(_key(field) for field in msgspec.structs.fields(struct))


def _key(field: msgspec.structs.FieldInfo) -> Key:
    marks, kinds = _taken_apart(field.type)
    is_named = any(get_origin(kind) is dict for kind in kinds)
    held = [get_args(kind)[1] if get_origin(kind) is dict else kind for kind in kinds]
    tables = [kind for kind in held if _is_table(kind)]
    lists = [get_args(kind)[0] for kind in kinds if get_origin(kind) is tuple]
    for item in lists:
        marks += _taken_apart(item)[0]
    listed = [kind for kind in lists if _is_table(kind)]
    extras = [mark.extra or {} for mark in marks]
    return Key(
        name=field.encode_name,
        attribute=field.name,
        kind=field.type,
        default=field.default,
        table=next(iter(tables + listed), None),
        is_named=is_named,
        is_list=bool(listed),
        is_required=field.required,
        is_at_start=AtStart in marks,
        is_presence_at_start=PresenceAtStart in marks,
        is_path=any(extra.get("is_path") for extra in extras),
        is_secret=Secret in kinds,
        is_text=all(_is_text(kind) for kind in kinds),
    )


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _taken_apart(kind: Any) -> tuple[list[msgspec.Meta], list[Any]]:
    """The marks of a type, and the types that it may be, without None."""
    marks: list[msgspec.Meta] = []
    kinds: list[Any] = []
    left = [kind]
    while left:
        item = left.pop(0)
        if get_origin(item) is Annotated:
            inner, *more = get_args(item)
            marks += [mark for mark in more if isinstance(mark, msgspec.Meta)]
            left.append(inner)
        elif get_origin(item) in (Union, UnionType):
            left += get_args(item)
        elif item is not type(None):
            kinds.append(item)
    return marks, kinds


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return all(isinstance(value, str) for value in get_args(kind))
    return kind in (str, Secret)


def table_at(path: Keys) -> Struct | None:
    """The table at a path, in which any name stands for an operator's own or for a number in a
    list; None where none is."""
    struct: Struct = Config
    names = iter(path)
    for name in names:
        key = _key_in(struct, name)
        if key is None or key.table is None:
            return None
        if (key.is_named or key.is_list) and next(names, None) is None:
            return None
        struct = key.table
    return struct


def key_at(path: Keys) -> Key | None:
    """The key at a path; None for the name of an operator's own table, and where no key is."""
    struct = table_at(path[:-1])
    return None if struct is None else _key_in(struct, path[-1])


def _key_in(struct: Struct, name: str) -> Key | None:
    return next((key for key in keys_of(struct) if key.name == name), None)


def keys_with_defaults() -> list[tuple[str, object]]:
    """Every key with its default, tables before their keys. `*` stands for any name that an
    operator gives a table: `repository.*`, `auth.identity.*`; tables of a list have none."""
    return list(_with_defaults(Config, ""))


def _with_defaults(struct: Struct, prefix: str) -> Iterator[tuple[str, object]]:
    for key in keys_of(struct):
        path = f"{prefix}{key.name}"
        yield path, key.default
        if key.table is not None:
            yield from _with_defaults(key.table, f"{path}.*." if key.is_named else f"{path}.")


def tables_in(table: msgspec.Struct, path: Keys = ()) -> Iterator[tuple[Keys, msgspec.Struct]]:
    """A table and all that it holds, each with its path."""
    yield path, table
    for key in keys_of(type(table)):
        held = getattr(table, key.attribute)
        if isinstance(held, msgspec.Struct):
            yield from tables_in(held, (*path, key.name))
        elif key.table is not None and held is not None:
            for name, item in _items(held):
                yield from tables_in(item, (*path, key.name, name))


def _items(held: Any) -> list[tuple[str, msgspec.Struct]]:
    """Tables by their names, or by their numbers."""
    if isinstance(held, tuple):
        return [(str(number), item) for number, item in enumerate(held)]
    return list(held.items())


def changed(
    table: T, change: Callable[[msgspec.Struct, Keys], dict[str, Any]], path: Keys = ()
) -> T:
    """The same table where `change` says, of it and of all that it holds, which attributes are to
    have which values."""
    values: dict[str, Any] = {}
    for key in keys_of(type(table)):
        held = getattr(table, key.attribute)
        if isinstance(held, msgspec.Struct):
            values[key.attribute] = changed(held, change, (*path, key.name))
        elif key.table is not None and held is not None:
            items = {
                name: changed(item, change, (*path, key.name, name)) for name, item in _items(held)
            }
            values[key.attribute] = tuple(items.values()) if key.is_list else items
    return msgspec.structs.replace(table, **values, **change(table, path))


def secrets_with_files(struct: Struct) -> Iterator[tuple[Key, Key]]:
    """The secrets of a table that may stand in files, each with the key that names the file."""
    keys = {key.name: key for key in keys_of(struct)}
    for key in keys.values():
        if key.is_secret and (file := keys.get(f"{key.name}{_FILE}")) is not None:
            yield key, file
