"""Where a configuration comes from."""

from __future__ import annotations

from collections.abc import Sequence

from angos_trio.config.parse import ParsedConfig, parse
from angos_trio.errors import OperatorError
from angos_trio.limits import CONFIG_FILE_BYTES_MAX


def load(paths: Sequence[str]) -> ParsedConfig:
    """Read and merge files, the later over the earlier; no file gives the defaults.

    Raises OperatorError for a file that cannot be read or is no configuration.
    """
    return parse([(path, _read(path)) for path in paths])


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(CONFIG_FILE_BYTES_MAX + 1)
        if len(content) > CONFIG_FILE_BYTES_MAX:
            raise OperatorError(f"{path}: larger than {CONFIG_FILE_BYTES_MAX} bytes")
        return content.decode()
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise OperatorError(f"{path}: not UTF-8") from error
