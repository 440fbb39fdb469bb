"""Secrets that stand in files of their own, and files that systemd hands over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from angos_trio.config.model import Config, Secret
from angos_trio.config.parse import SecretFile
from angos_trio.config.paths import KeyRefused, Keys, dotted, quoted
from angos_trio.config.secret_checks import check_secret, unknown_secret
from angos_trio.config.sources import read_small_file
from angos_trio.config.tables import changed, keys_of, secrets_with_files
from angos_trio.errors import cause_and_cure
from angos_trio.limits.processes import SECRET_FILE_BYTES_MAX
from angos_trio.records import Frozen

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd names the directory of a service's credentials."""

_BEGINNING = f"${CREDENTIALS}/"
_FOR_OTHERS = 0o077


class Resolved(Frozen):
    """A configuration with the secrets in it, the files that these came from, and remarks."""

    config: Config
    files: tuple[SecretFile, ...]
    remarks: tuple[str, ...]


def expand_paths(config: Config, environ: Mapping[str, str], *, reads_files: bool = True) -> Config:
    """Names of files with the directory in the place of `$CREDENTIALS_DIRECTORY` where they begin
    with it. Raises KeyRefused if the environment does not have it; without `reads_files` the names
    stay as they are then."""
    if not (reads_files or environ.get(CREDENTIALS)):
        return config

    def change(table: msgspec.Struct, path: Keys) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for key in keys_of(type(table)):
            value = getattr(table, key.attribute)
            if not key.is_path or value is None:
                continue
            where = dotted((*path, key.name))
            if isinstance(value, str):
                changes[key.attribute] = _expanded(value, environ, where)
            else:
                changes[key.attribute] = tuple(_expanded(item, environ, where) for item in value)
        return changes

    return changed(config, change)


def _expanded(text: str, environ: Mapping[str, str], where: str) -> str:
    if not text.startswith(_BEGINNING):
        return text
    directory = environ.get(CREDENTIALS)
    if not directory:
        why = f"${CREDENTIALS} is not set; systemd sets it for a service with LoadCredential="
        raise KeyRefused(where, why)
    return f"{directory}/{text.removeprefix(_BEGINNING)}"


def stand_in_secrets(config: Config) -> Config:
    """Secrets that nobody knows in the place of those in files: for a command that lets nobody in
    and asks nobody, and whose user may not read them."""

    def change(table: msgspec.Struct, path: Keys) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for secret, file in secrets_with_files(type(table)):
            if getattr(table, file.attribute) is not None:
                made = Secret(unknown_secret(type(table), secret.name))
                changes |= {secret.attribute: made, file.attribute: None}
        return changes

    return changed(config, change)


def resolve_secrets(config: Config, environ: Mapping[str, str]) -> Resolved:
    """Read the file of each secret that has one: the key of the file goes, the secret takes its
    place. A file that others may read is remarked on, unless systemd made it.

    Raises KeyRefused for a file that cannot be read, or holds what cannot be this secret.
    """
    files: list[SecretFile] = []

    def change(table: msgspec.Struct, path: Keys) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for secret, file in secrets_with_files(type(table)):
            name = getattr(table, file.attribute)
            if name is None:
                continue
            where = dotted((*path, file.name))
            text, mode = _read_secret(name, where)
            check_secret(type(table), secret.name, text, f"{where}: {quoted(name)}")
            files.append(SecretFile(where, name, mode))
            changes |= {secret.attribute: Secret(text), file.attribute: None}
        return changes

    resolved = changed(config, change)
    private = f"{environ.get(CREDENTIALS, '')}/"
    remarks = [
        f"{file.key}: {quoted(file.path)} has mode {file.mode:04o}, so that others than its owner "
        "may get at the secret; 0600 is enough"
        for file in files
        if file.mode & _FOR_OTHERS and not (len(private) > 1 and file.path.startswith(private))
    ]
    return Resolved(resolved, tuple(files), tuple(remarks))


def _read_secret(name: str, where: str) -> tuple[str, int]:
    try:
        content, mode = read_small_file(name, SECRET_FILE_BYTES_MAX)
        text = content.decode()
    except OSError as error:
        raise KeyRefused(where, f"{quoted(name)}: {cause_and_cure(error)}") from None
    except UnicodeDecodeError:  # its text would show the content
        raise KeyRefused(where, f"{quoted(name)}: not UTF-8") from None
    except ValueError as error:
        raise KeyRefused(where, f"{quoted(name)}: {error}") from None
    return text.removesuffix("\n").removesuffix("\r"), mode
