"""A configuration that takes the place of another while the registry serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from angos_trio.config.model import Config
from angos_trio.config.paths import Keys, dotted
from angos_trio.config.tables import Key, T, keys_of
from angos_trio.config.values import decode_secret, encode_secret


def keep_what_is_set_at_the_start(old: Config, new: Config) -> tuple[Config, tuple[str, ...]]:
    """The new configuration with the old values of keys that are read at the start only.

    Also the paths of those that differ, for which a restart is needed.
    """
    return _keep(old, new), tuple(_changed(old, new, ()))


def _keep(old: T, new: T) -> T:
    changes: dict[str, Any] = {}
    for key in keys_of(type(new)):
        before, after = getattr(old, key.attribute), getattr(new, key.attribute)
        if _is_kept(key, before, after):
            changes[key.attribute] = before
        elif key.is_named:
            changes[key.attribute] = {
                name: _keep(before[name], table) if name in before else table
                for name, table in after.items()
            }
        elif isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            changes[key.attribute] = _keep(before, after)
    return msgspec.structs.replace(new, **changes)


def _changed(old: msgspec.Struct, new: msgspec.Struct, above: Keys) -> Iterator[str]:
    for key in keys_of(type(new)):
        before, after = getattr(old, key.attribute), getattr(new, key.attribute)
        path = (*above, key.name)
        if _is_kept(key, before, after):
            if before != after:
                yield dotted(path)
        elif key.is_named:
            for name in after:
                if name in before:
                    yield from _changed(before[name], after[name], (*path, name))
        elif isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            yield from _changed(before, after, path)


def _is_kept(key: Key, before: object, after: object) -> bool:
    """Whether a reload leaves what was."""
    comes_or_goes = (before is None) != (after is None)
    return key.is_at_start or (key.is_presence_at_start and comes_or_goes)


def encode(config: Config) -> bytes:
    """A checked configuration for another process of the instance."""
    return msgspec.json.encode(config, enc_hook=encode_secret)


def decode(content: bytes) -> Config:
    """The same again. Raises msgspec.ValidationError for anything else."""
    return msgspec.json.decode(content, type=Config, dec_hook=decode_secret)
