"""The whole configuration that a command works with: files, the environment over them, options of
the command line over both, and the secrets that stand in files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import msgspec

from angos_trio.config.checks import check
from angos_trio.config.environment import blamed
from angos_trio.config.model import Config, MetadataStore, Server
from angos_trio.config.parse import ParsedConfig
from angos_trio.config.paths import KeyRefused, quoted
from angos_trio.config.secret_files import expand_paths, resolve_secrets, stand_in_secrets
from angos_trio.config.sources import load
from angos_trio.errors import OperatorError
from angos_trio.records import replace

PORT_MAX = 65_535
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def load_with_overrides(
    files: Sequence[str],
    listen: str | None,
    data_dir: str | None,
    environ: Mapping[str, str] = os.environ,
    *,
    reads_files: bool = True,
    is_again: bool = False,
) -> ParsedConfig:
    """The configuration that a command works with, checked, secrets in their places; `is_again`:
    this process has read it before.

    Without `reads_files` what stands in files of its own, secrets and certificates, is not read:
    for all commands but those that serve, check, or send something. Raises OperatorError.
    """
    parsed = load(files, environ, is_again=is_again)
    config = parsed.config
    if listen is not None:
        config = _with_server(config, parse_listen(listen))
    if data_dir is not None:
        config = _with_data_dir(config, data_dir)
    try:
        config = expand_paths(config, environ, reads_files=reads_files)
        check(config)
        if not reads_files:
            return replace(parsed, config=stand_in_secrets(config))
        resolved = resolve_secrets(config, environ)
    except KeyRefused as refused:
        raise blamed(refused, parsed.variables) from None
    remarks = (*parsed.remarks, *resolved.remarks)
    return ParsedConfig(resolved.config, remarks, parsed.variables, resolved.files)


def _with_data_dir(config: Config, data_dir: str) -> Config:
    store = msgspec.structs.replace(config.blob_store.fs, root_dir=data_dir)
    blob_store = msgspec.structs.replace(config.blob_store, fs=store)
    return msgspec.structs.replace(config, blob_store=blob_store, metadata_store=MetadataStore())


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
