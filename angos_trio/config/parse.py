"""TOML files to a configuration, with errors that name the key and the nearest known one."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from angos_trio.config.known import NOT_BUILT, WITHOUT_EFFECT
from angos_trio.config.model import AccessPolicy, Config, Repository
from angos_trio.errors import OperatorError

_SIZE = re.compile(r"([0-9]{1,18})[ ]?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?", re.ASCII)
_UNITS: Final[dict[str, int]] = {
    **{name: 1024**power for power, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))},
    **{name: 1000**power for power, name in enumerate(("KB", "MB", "GB", "TB"), start=1)},
}


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """A configuration, and remarks about keys that change nothing."""

    config: Config
    remarks: tuple[str, ...]


def parse(texts: Sequence[tuple[str, str]]) -> ParsedConfig:
    """Merge named TOML texts, the later over the earlier: tables deep, everything else replaced.

    Raises OperatorError with the file's name or the key's path.
    """
    merged: dict[str, object] = {}
    for name, text in texts:
        try:
            merged = _merge(merged, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise OperatorError(f"{name}: {error}") from error
    remarks = tuple(_take_known(merged))
    try:
        config = msgspec.convert(merged, Config)
    except msgspec.ValidationError as error:
        raise OperatorError(_explain(str(error))) from None
    _check(config)
    return ParsedConfig(config, remarks)


def parse_size(value: int | str, path: str) -> int:
    """Bytes of a size. Raises OperatorError that names the key."""
    if isinstance(value, int):
        if value < 0:
            raise OperatorError(f"{path}: a size is not negative")
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise OperatorError(f'{path}: "{value}" is no size; write for example "5MiB"')
    return int(match[1]) * _UNITS[match[2] or "B"]


def compile_exclusions(patterns: Iterable[str], path: str) -> tuple[re.Pattern[str], ...]:
    """Regular expressions that match a whole tag. Raises OperatorError that names the key."""
    compiled: list[re.Pattern[str]] = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise OperatorError(f'{path}: "{pattern}" is no regular expression: {error}') from None
    return tuple(compiled)


def _merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _take_known(document: dict[str, object]) -> Iterator[str]:
    """Refuse what is not built; take out what has no effect, with a remark each."""
    for path, table, key in _walk(document, ()):
        pattern = _pattern(path)
        if pattern in NOT_BUILT and not _is_empty(table[key]):
            raise OperatorError(f"{_dotted(path)}: {NOT_BUILT[pattern]}")
        if pattern in NOT_BUILT:
            del table[key]
        elif pattern in WITHOUT_EFFECT:
            del table[key]
            yield f"{_dotted(path)} has no effect: {WITHOUT_EFFECT[pattern]}"


def _walk(
    table: dict[str, object], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, object], str]]:
    for key in list(table):
        path = (*above, key)
        yield path, table, key
        value = table.get(key)
        if isinstance(value, dict):
            yield from _walk(value, path)


def _is_empty(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(item) for item in value.values())
    return value in ([], "")


def _pattern(path: tuple[str, ...]) -> str:
    if path[0] == "repository" and len(path) > 2:
        return ".".join(("repository", "*", *path[2:]))
    return ".".join(path)


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(f'"{part}"' if not part.replace("_", "").isalnum() else part for part in path)


_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
_AT = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?([^`]*)`)?", re.DOTALL)


def _explain(message: str) -> str:
    """msgspec's message as `key.path: what is wrong`."""
    unknown = _UNKNOWN_FIELD.fullmatch(message)
    if unknown is not None:
        key, table = unknown[1], unknown[2] or ""
        path = f"{table}.{key}" if table else key
        known = [item.rpartition(".")[2] for item in key_paths() if _parent(item) == _star(table)]
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(known)}"
        return f"{path}: unknown key{hint}"
    match = _AT.fullmatch(message)
    if match is not None and match[2]:
        return f"{match[2]}: {match[1]}"
    return message


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _star(table: str) -> str:
    """A table's path as `key_paths` has it; msgspec writes `[...]` for a key of a mapping."""
    return table.replace("[...]", ".*").replace("..", ".")


def key_paths() -> list[str]:
    """Every key, with its tables: `repository.*` stands for each repository."""
    return [path for path, _ in keys_with_defaults()]


def keys_with_defaults() -> list[tuple[str, object]]:
    """Every key that is no table, and tables before their keys, with the default."""
    return [*_paths(Config, ""), *_paths(Repository, "repository.*.")]


def _paths(struct: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, object]]:
    for item in msgspec.structs.fields(struct):
        yield f"{prefix}{item.encode_name}", item.default
        if isinstance(item.default, msgspec.Struct):
            yield from _paths(type(item.default), f"{prefix}{item.encode_name}.")
        elif item.encode_name == "access_policy":
            yield from _paths(AccessPolicy, f"{prefix}access_policy.")


def _check(config: Config) -> None:
    """What types alone do not say."""
    settings = config.global_
    for key in ("max_manifest_size", "max_blob_size"):
        if parse_size(getattr(settings, key), f"global.{key}") < 1:
            raise OperatorError(f"global.{key}: must be at least one byte")
    for key in ("reserve", "ballast"):
        parse_size(getattr(config.blob_store.fs, key), f"blob_store.fs.{key}")
    compile_exclusions(settings.immutable_tags_exclusions, "global.immutable_tags_exclusions")
    for name, repository in config.repository.items():
        path = f'repository."{name}"'
        compile_exclusions(
            repository.immutable_tags_exclusions or (), f"{path}.immutable_tags_exclusions"
        )
    policy = settings.access_policy
    if policy is not None and policy.rules:
        raise OperatorError("global.access_policy.rules: rules are not evaluated by this version")
    below = config.metadata_store.fs.root_dir
    if below is not None and Path(below) != Path(config.blob_store.fs.root_dir):
        raise OperatorError(
            "metadata_store.fs.root_dir: rows and blobs live in one data directory, "
            "blob_store.fs.root_dir; leave this key out or make it the same"
        )
