"""Values inside a configuration: sizes, patterns and names. Errors name the key's path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from angos_trio.config.model import Secret
from angos_trio.errors import OperatorError
from angos_trio.oci.codes import OciError
from angos_trio.oci.names import RepositoryName

SIZE_MAX: Final = 2**63 - 1
_SIZE = re.compile(r"([0-9]{1,18})[ ]?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?", re.ASCII)
_UNITS: Final[dict[str, int]] = {
    **{name: 1024**power for power, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))},
    **{name: 1000**power for power, name in enumerate(("KB", "MB", "GB", "TB"), start=1)},
}


def parse_size(value: int | str, path: str) -> int:
    """Bytes of a size. Raises OperatorError that names the key."""
    if isinstance(value, int):
        size = value
    else:
        match = _SIZE.fullmatch(value)
        if match is None:
            raise OperatorError(f'{path}: {quoted(value)} is no size; write for example "5MiB"')
        size = int(match[1]) * _UNITS[match[2] or "B"]
    if not 0 <= size <= SIZE_MAX:
        raise OperatorError(f"{path}: a size is between 0 and {SIZE_MAX} bytes")
    return size


def compile_exclusions(patterns: Iterable[str], path: str) -> tuple[re.Pattern[str], ...]:
    """Regular expressions that match a whole tag. Raises OperatorError that names the key."""
    compiled: list[re.Pattern[str]] = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except (re.error, OverflowError, RecursionError) as error:
            raise OperatorError(
                f"{path}: {quoted(pattern)} is no regular expression: {error}"
            ) from None
    return tuple(compiled)


def check_repository(name: str) -> None:
    """Refuse a table for a repository that no namespace could belong to."""
    try:
        RepositoryName(name)
    except OciError:
        raise OperatorError(f"repository.{quoted(name)}: not a repository name") from None


def check_directory(text: str, path: str) -> None:
    """Refuse what is no name of a directory."""
    if not text or "\x00" in text:
        raise OperatorError(f"{path}: {quoted(text)} is not a directory")


def quoted(text: str) -> str:
    """Text of a file as it may stand in a message of one line."""
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    return '"' + shown.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


def decode_secret(kind: type[Any], value: object) -> object:
    """msgspec's `dec_hook`: text to a secret."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"{kind.__name__} is text")  # without the value, which may be a secret


def encode_secret(value: object) -> str:
    """msgspec's `enc_hook`: a secret to text, for another process of the instance only."""
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is no value of a configuration")
