"""What a reload may change, and what waits for a restart."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from angos_trio.config.model import Config, FileStore, Global, Repository
from angos_trio.config.reload import decode, encode, keep_what_is_set_at_the_start

OLD = Config()


def test_keys_of_the_start_keep_their_values_and_are_named() -> None:
    server = replace(OLD.server, port=9000, bind_address="::1", max_uploads_per_caller=7)
    store = replace(OLD.blob_store, fs=FileStore(root_dir="elsewhere", reserve="1GiB"))
    new = replace(OLD, server=server, blob_store=store)

    config, needing = keep_what_is_set_at_the_start(OLD, new)

    assert needing == (
        "server.bind_address",
        "server.port",
        "blob_store.fs.root_dir",
        "blob_store.fs.reserve",
    )
    assert config == replace(OLD, server=replace(OLD.server, max_uploads_per_caller=7))


def test_the_rest_is_as_the_files_say_now() -> None:
    new = replace(
        OLD,
        global_=Global(immutable_tags=True, max_manifest_size="1MiB"),
        repository={"team": Repository(immutable_tags=False)},
        observability=replace(OLD.observability, log_level="debug"),
    )
    assert keep_what_is_set_at_the_start(OLD, new) == (new, ())


def test_configuration_arrives_as_it_was_sent() -> None:
    config = replace(OLD, repository={'a"b/c': Repository(immutable_tags_exclusions=("^x",))})
    assert decode(encode(config)) == config
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"servers": {}}')
