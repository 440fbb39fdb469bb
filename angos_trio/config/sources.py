"""Where a configuration comes from: files, and the environment over them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from angos_trio.config.environment import blamed, document_of, names_and_paths, read_variables
from angos_trio.config.parse import (
    ParsedConfig,
    merge,
    merge_texts,
    refuse_unknown,
    take_known,
    to_config,
)
from angos_trio.config.paths import KeyRefused
from angos_trio.errors import OperatorError, cause_and_cure
from angos_trio.limits.processes import CONFIG_FILE_BYTES_MAX

NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


def load(
    paths: Sequence[str], environ: Mapping[str, str] = NO_ENVIRONMENT, *, is_again: bool = False
) -> ParsedConfig:
    """Read and merge files, the later over the earlier, and the environment over all of them; no
    file and no variable give the defaults. What it all means is not checked yet.

    Raises OperatorError for a file that cannot be read or is no configuration; and, where it was
    read before, for one that can be read once only.
    """
    document = merge_texts([(path, _read_text(path, is_again=is_again)) for path in paths])
    remarks = take_known(document)
    refuse_unknown(document)
    found = read_variables(environ)
    over, more = document_of(found.variables)
    variables = names_and_paths(found.variables)
    try:
        config = to_config(merge(document, over))
    except KeyRefused as refused:
        raise blamed(refused, variables) from None
    return ParsedConfig(config, (*remarks, *found.remarks, *more), variables)


def _read_text(path: str, *, is_again: bool) -> str:
    try:
        with open(path, "rb", opener=_open_at_once if is_again else None) as file:
            # A pipe is empty by now, which would be a configuration of nothing but defaults.
            if is_again and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OperatorError(f"{path} can be read once only: start the registry anew")
            content = file.read(CONFIG_FILE_BYTES_MAX + 1)
        if len(content) > CONFIG_FILE_BYTES_MAX:
            raise OperatorError(f"{path}: larger than {CONFIG_FILE_BYTES_MAX} bytes")
        return content.decode()
    except OSError as error:
        raise OperatorError(f"{path}: {cause_and_cure(error)}") from error
    except UnicodeDecodeError as error:
        raise OperatorError(f"{path}: not UTF-8") from error


def _open_at_once(path: str, flags: int) -> int:
    """Nobody may ever write into a named pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_small_file(path: str, bytes_max: int) -> tuple[bytes, int]:
    """The content of a regular file, and its mode (who may read it). It never waits for a pipe.

    Raises OSError, and ValueError for a file that is larger or of another kind.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(bytes_max + 1)
    finally:
        os.close(descriptor)
    if len(content) > bytes_max:
        raise ValueError(f"larger than {bytes_max} bytes")
    return content, stat.S_IMODE(status.st_mode)
