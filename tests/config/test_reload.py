"""What a reload may change, and what waits for a restart."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from angos_trio.config.model import (
    Auth,
    BasicIdentity,
    Config,
    FileStore,
    Global,
    HealthListener,
    Repository,
    Secret,
    Tls,
)
from angos_trio.config.reload import decode, encode, keep_what_is_set_at_the_start

OLD = Config()


def test_keys_of_the_start_keep_their_values_and_are_named() -> None:
    server = replace(OLD.server, port=9000, bind_address="::1", max_uploads_per_caller=7)
    store = replace(OLD.blob_store, fs=FileStore(root_dir="elsewhere", ballast="1GiB"))
    new = replace(OLD, server=server, blob_store=store, global_=Global(min_free_space="1GiB"))

    config, needing = keep_what_is_set_at_the_start(OLD, new)

    assert needing == (
        "server.bind_address",
        "server.port",
        "global.min_free_space",
        "blob_store.fs.root_dir",
        "blob_store.fs.ballast",
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


TLS = Tls(server_certificate_bundle="a.pem", server_private_key="a.key")


def with_server(**values: object) -> Config:
    return replace(OLD, server=replace(OLD.server, **values))


@pytest.mark.parametrize(
    ("old", "new"), [(None, HealthListener()), (HealthListener(), None), (None, None)]
)
def test_second_listener_comes_and_goes_with_a_restart(
    old: HealthListener | None, new: HealthListener | None
) -> None:
    config, needing = keep_what_is_set_at_the_start(
        with_server(health=old), with_server(health=new)
    )

    assert config.server.health == old
    assert needing == (() if old == new else ("server.health",))


def test_second_listener_changes_with_a_restart_as_a_whole() -> None:
    old = with_server(health=HealthListener(port=1))
    config, needing = keep_what_is_set_at_the_start(
        old, with_server(health=HealthListener(port=2, metrics=True))
    )

    assert (config, needing) == (old, ("server.health",))


@pytest.mark.parametrize(("old", "new"), [(None, TLS), (TLS, None)])
def test_tls_comes_and_goes_with_a_restart(old: Tls | None, new: Tls | None) -> None:
    config, needing = keep_what_is_set_at_the_start(with_server(tls=old), with_server(tls=new))

    assert config.server.tls == old
    assert needing == ("server.tls",)


def test_what_tls_says_changes_without_a_restart() -> None:
    new = with_server(tls=replace(TLS, client_ca_bundle="ca.pem", client_auth="required"))

    assert keep_what_is_set_at_the_start(with_server(tls=TLS), new) == (new, ())


def test_callers_change_without_a_restart() -> None:
    alice = BasicIdentity(username="alice", password=Secret("a"))
    old = replace(OLD, auth=Auth(identity={"a": alice, "b": replace(alice, username="bob")}))
    new = replace(OLD, auth=Auth(identity={"a": replace(alice, password=Secret("b")), "c": alice}))

    assert keep_what_is_set_at_the_start(old, new) == (new, ())


def test_secrets_arrive_and_are_shown_to_nobody_on_the_way() -> None:
    alice = BasicIdentity(username="alice", password=Secret("hunter2"))
    config = replace(OLD, auth=Auth(identity={'a".b': alice}))

    assert decode(encode(config)) == config
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(Secret("hunter2")) + f"{Secret('hunter2')}"
