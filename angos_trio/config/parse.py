"""TOML files to a configuration, with errors that name the key and the nearest known one."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

import msgspec

from angos_trio.config.known import NOT_BUILT, WITHOUT_EFFECT
from angos_trio.config.model import AccessPolicy, Config, Repository
from angos_trio.config.values import (
    check_directory,
    check_repository,
    compile_exclusions,
    decode_secret,
    parse_size,
    quoted,
)
from angos_trio.errors import OperatorError

Struct = type[msgspec.Struct]
Table = dict[str, object]
Keys = tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_AT = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?([^`]*)`)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """A configuration, and remarks about keys that change nothing."""

    config: Config
    remarks: tuple[str, ...]


def parse(texts: Sequence[tuple[str, str]]) -> ParsedConfig:
    """Merge named TOML texts, the later over the earlier: tables deep, everything else replaced.

    Raises OperatorError with the file's name or the key's path.
    """
    merged: Table = {}
    for name, text in texts:
        try:
            merged = _merge(merged, tomllib.loads(text))
        except ValueError as error:
            raise OperatorError(f"{name}: {error}") from error
        except RecursionError:
            raise OperatorError(f"{name}: nested too deeply") from None
    try:
        remarks = tuple(_take_known(merged))
    except RecursionError:
        raise OperatorError("the configuration is nested too deeply") from None
    _refuse_unknown(merged, Config, ())
    config = _convert(merged)
    check(config)
    return ParsedConfig(config, remarks)


def _merge(base: Mapping[str, object], over: Mapping[str, object]) -> Table:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _take_known(document: Table) -> Iterator[str]:
    """Refuse what is not built; take out what has no effect, with a remark each."""
    for path, table in _walk(document, ()):
        pattern = _pattern(path)
        if pattern in NOT_BUILT and not _is_empty(table[path[-1]]):
            raise OperatorError(f"{dotted(path)}: {NOT_BUILT[pattern]}")
        if pattern in NOT_BUILT:
            del table[path[-1]]
        elif pattern in WITHOUT_EFFECT:
            del table[path[-1]]
            yield f"{dotted(path)} has no effect: {WITHOUT_EFFECT[pattern]}"


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


def dotted(path: Keys) -> str:
    """A path as it is written in TOML."""
    return ".".join(key if _BARE.fullmatch(key) else quoted(key) for key in path)


def _refuse_unknown(table: Table, struct: Struct, above: Keys) -> None:
    fields = {item.encode_name: item for item in msgspec.structs.fields(struct)}
    for key, value in table.items():
        path = (*above, key)
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(fields)}"
            raise OperatorError(f"{dotted(path)}: unknown key; {hint}")
        below = _struct_of(fields[key])
        if below is not None and isinstance(value, dict):
            _refuse_unknown(value, below, path)
    if struct is Config and isinstance(repositories := table.get("repository"), dict):
        for name, repository in repositories.items():
            check_repository(name)
            if isinstance(repository, dict):
                _refuse_unknown(repository, Repository, ("repository", name))


def _struct_of(item: msgspec.structs.FieldInfo) -> Struct | None:
    """The table that a key holds, if it holds one."""
    members = get_args(item.type) if get_origin(item.type) in (Union, UnionType) else ()
    candidates = (item.type, *members)
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _convert(merged: Table) -> Config:
    """Types are checked here; each repository by itself, so that an error can name it."""
    try:
        repositories = msgspec.convert(merged.pop("repository", {}), dict[str, object])
    except msgspec.ValidationError as error:
        raise OperatorError(_explain(str(error), ("repository",))) from None
    try:
        config = msgspec.convert(merged, Config, dec_hook=decode_secret)
    except msgspec.ValidationError as error:
        raise OperatorError(_explain(str(error), ())) from None
    converted: dict[str, Repository] = {}
    for name, table in repositories.items():
        try:
            converted[name] = msgspec.convert(table, Repository, dec_hook=decode_secret)
        except msgspec.ValidationError as error:
            raise OperatorError(_explain(str(error), ("repository", name))) from None
    return msgspec.structs.replace(config, repository=converted)


def _explain(message: str, above: Keys) -> str:
    """msgspec's message as `key.path: what is wrong`."""
    match = _AT.fullmatch(message)
    text, below = (message, None) if match is None else (match[1], match[2])
    path = ".".join(part for part in (dotted(above), below) if part)
    return f"{path or 'the configuration'}: {text}"


def keys_with_defaults() -> list[tuple[str, object]]:
    """Every key with its default, tables before their keys; `repository.*` is any repository."""
    return [*_paths(Config, ""), *_paths(Repository, "repository.*.")]


def _paths(struct: Struct, prefix: str) -> Iterator[tuple[str, object]]:
    for item in msgspec.structs.fields(struct):
        yield f"{prefix}{item.encode_name}", item.default
        below = _struct_of(item)
        if below is not None:
            yield from _paths(below, f"{prefix}{item.encode_name}.")


def check(config: Config) -> None:
    """What types alone do not say. Raises OperatorError with the key's path."""
    settings, store = config.global_, config.blob_store.fs
    for key in ("max_manifest_size", "max_blob_size"):
        if parse_size(getattr(settings, key), f"global.{key}") < 1:
            raise OperatorError(f"global.{key}: must be at least one byte")
    for key in ("reserve", "ballast"):
        parse_size(getattr(store, key), f"blob_store.fs.{key}")
    check_directory(store.root_dir, "blob_store.fs.root_dir")
    compile_exclusions(settings.immutable_tags_exclusions, "global.immutable_tags_exclusions")
    for name, repository in config.repository.items():
        path = dotted(("repository", name, "immutable_tags_exclusions"))
        compile_exclusions(repository.immutable_tags_exclusions or (), path)
    policies: dict[Keys, AccessPolicy | None] = {("global",): settings.access_policy}
    for name, repository in config.repository.items():
        policies["repository", name] = repository.access_policy
    for above, policy in policies.items():
        if policy is not None and policy.is_contradictory:
            path = dotted((*above, "access_policy"))
            raise OperatorError(f"{path}: default and default_allow contradict each other")
    below = config.metadata_store.fs.root_dir
    if below is not None and Path(below) != Path(store.root_dir):
        raise OperatorError(
            "metadata_store.fs.root_dir: rows and blobs live in one data directory, "
            "blob_store.fs.root_dir; leave this key out or make it the same"
        )
