"""Options of the command line over a loaded configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from angos_trio.config.model import Config, MetadataStore, Server
from angos_trio.config.parse import ParsedConfig, check
from angos_trio.config.sources import load
from angos_trio.config.values import quoted
from angos_trio.errors import OperatorError

PORT_MAX = 65_535
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def load_with_overrides(
    files: Sequence[str], listen: str | None, data_dir: str | None
) -> ParsedConfig:
    """The configuration that a command works with. Raises OperatorError."""
    parsed = load(files)
    config = parsed.config
    if listen is not None:
        config = _with_server(config, parse_listen(listen))
    if data_dir is not None:
        store = msgspec.structs.replace(config.blob_store.fs, root_dir=data_dir)
        blob_store = msgspec.structs.replace(config.blob_store, fs=store)
        config = msgspec.structs.replace(
            config, blob_store=blob_store, metadata_store=MetadataStore()
        )
    check(config)
    return ParsedConfig(config, parsed.remarks)


def _with_server(config: Config, address: tuple[str, int]) -> Config:
    server: Server = msgspec.structs.replace(
        config.server, bind_address=address[0], port=address[1]
    )
    return msgspec.structs.replace(config, server=server)


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, an IPv6 host in brackets. Raises OperatorError."""
    host, separator, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if is_bracketed:
        host = host[1:-1]
    is_port = _PORT.fullmatch(port) is not None and int(port) <= PORT_MAX
    if not separator or not host or not is_port or (":" in host and not is_bracketed):
        raise OperatorError(f"--listen: {quoted(text)} is not HOST:PORT")
    return host, int(port)
