"""A configuration that takes the place of another while the registry serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec

from angos_trio.config.model import AtStart, Config
from angos_trio.config.values import decode_secret, encode_secret


def keep_what_is_set_at_the_start(old: Config, new: Config) -> tuple[Config, tuple[str, ...]]:
    """The new configuration with the old values of keys that are read at the start only.

    Also the paths of those that differ, for which a restart is needed.
    """
    kept: Config = _keep(old, new)
    return kept, tuple(_changed(old, new, ""))


def _keep(old: Any, new: Any) -> Any:
    changes: dict[str, Any] = {}
    for field, is_at_start in _fields(type(new)):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if is_at_start:
            changes[field.name] = before
        elif isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            changes[field.name] = _keep(before, after)
    return msgspec.structs.replace(new, **changes)


def _changed(old: Any, new: Any, above: str) -> Iterator[str]:
    for field, is_at_start in _fields(type(new)):
        before, after = getattr(old, field.name), getattr(new, field.name)
        path = f"{above}{field.encode_name}"
        if is_at_start and before != after:
            yield path
        elif isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            yield from _changed(before, after, f"{path}.")


def _fields(table: type[msgspec.Struct]) -> Iterator[tuple[msgspec.structs.FieldInfo, bool]]:
    """Each key of a table, and whether it is read at the start only."""
    hints = get_type_hints(table, include_extras=True)
    for field in msgspec.structs.fields(table):
        yield field, AtStart in getattr(hints[field.name], "__metadata__", ())


def encode(config: Config) -> bytes:
    """A checked configuration for another process of the instance."""
    return msgspec.json.encode(config, enc_hook=encode_secret)


def decode(content: bytes) -> Config:
    """The same again. Raises msgspec.ValidationError for anything else."""
    return msgspec.json.decode(content, type=Config, dec_hook=decode_secret)
