"""A configuration of the original: each of its keys is read, refused by name, or without effect."""

from __future__ import annotations

import pytest

from angos_trio.config.known import NOT_BUILT, WITHOUT_EFFECT
from angos_trio.config.model import Config
from angos_trio.config.parse import parse
from angos_trio.config.tables import keys_with_defaults
from angos_trio.errors import OperatorError
from tests.config.refusals import value_or_refusal

# Keys that mean here what they mean in the original, and others with a value that passes.
READ = """
server.bind_address = "127.0.0.1"
server.port = 8000
global.max_manifest_size = "5MiB"
global.max_blob_size = "100GiB"
global.immutable_tags = true
global.immutable_tags_exclusions = ["^latest$"]
global.allow_missing_manifest_references = true
global.shutdown_drain_secs = 30
global.gc_grace_secs = 300
ui.enabled = true
ui.name = "Angos"
global.access_policy.default = "allow"
global.access_policy.rules = ["identity.username == 'alice'"]
global.authorization_webhook = ""
global.trusted_proxies = ["192.0.2.0/24"]
global.event_webhooks = []
global.retention_policy.rules = ["image.pushed_at > now() - days(30)"]
global.update_pull_time = true
repository."docker-io".retention_policy.rules = ["true"]
blob_store.fs.root_dir = "angos-data"
metadata_store.fs.root_dir = "angos-data"
repository."docker-io".immutable_tags = true
repository."docker-io".immutable_tags_exclusions = ["latest"]
repository."docker-io".event_webhooks = []
repository."docker-io".upstream = []
repository."docker-io".access_policy.default_allow = true
repository."docker-io".access_policy.rules = ["true"]
repository."docker-io".authorization_webhook = ""
server.handshake_timeout = 10
auth.identity = {}
auth.token_service = { secret_key = "cULDuNvIlwTS7PVVkZL1HtmGVscYF6FqEcgQsmc8Njk=" }
event_webhook.a = { url = "https://a.test", policy = "required", events = ["manifest.push"] }
auth.webhook.asker = { url = "https://asker.example.test", timeout_ms = 100 }
"""

REFUSED = """
cache.redis.url = "redis://example.test"
blob_store.s3.bucket = "registry"
metadata_store.s3.link_cache_ttl = 30
metadata_store.fs.redis.url = "redis://example.test"
repository."docker-io".downstream = [{ name = "b", url = "https://example.test" }]
"""

CHANGING_NOTHING = """
server.query_timeout = 3600
server.query_timeout_grace_period = 60
global.max_concurrent_requests = 64
global.max_concurrent_cache_jobs = 4
global.max_concurrent_replication_jobs = 4
global.enable_redirect = true
global.enable_blob_redirect = true
global.enable_manifest_redirect = false
global.namespace_walk_concurrency = 128
global.atime_audit_window_secs = 3600
global.job_queue.max_attempts = 5
blob_store.fs.sync_to_disk = true
metadata_store.fs.sync_to_disk = false
observability.tracing.endpoint = "https://example.test"
"""


def lines_of(text: str) -> list[str]:
    return text.strip().splitlines()


def key_of(line: str) -> str:
    return line.partition(" = ")[0]


@pytest.mark.parametrize("line", lines_of(READ))
def test_key_of_the_original_is_read(line: str) -> None:
    found = parse([("angos.toml", line)])

    assert isinstance(found.config, Config)
    assert found.remarks == ()


@pytest.mark.parametrize("line", lines_of(REFUSED))
def test_key_that_is_not_built_is_refused_by_name(line: str) -> None:
    found = value_or_refusal(lambda: parse([("angos.toml", line)]))

    assert isinstance(found, OperatorError)
    named, _, reason = str(found).partition(": ")
    assert key_of(line).replace('"', "").startswith(named)
    assert "unknown key" not in reason


@pytest.mark.parametrize("line", lines_of(CHANGING_NOTHING))
def test_key_that_changes_nothing_starts_with_a_remark(line: str) -> None:
    found = parse([("angos.toml", line)])
    [remark] = found.remarks
    named, _, reason = remark.partition(" has no effect: ")

    assert found.config == Config()
    assert key_of(line).startswith(named)
    assert reason in WITHOUT_EFFECT.values()


def test_whole_file_of_the_original_starts() -> None:
    found = parse([("angos.toml", "\n".join([*lines_of(READ), *lines_of(CHANGING_NOTHING)]))])

    assert len(found.remarks) == len(WITHOUT_EFFECT)
    assert found.config.global_.gc_grace_secs == 300


def test_all_keys_that_are_not_built_are_named_at_once_a_line_each() -> None:
    text = "\n".join(lines_of(REFUSED))
    found = value_or_refusal(lambda: parse([("angos.toml", text)]))

    lines = str(found).splitlines()
    assert isinstance(found, OperatorError)
    assert [line.partition(": ")[2] for line in lines].count(NOT_BUILT["cache"]) == 1
    assert sorted(line.partition(": ")[2] for line in lines) == sorted(NOT_BUILT.values())


def test_value_of_a_key_that_changes_nothing_is_not_looked_at() -> None:
    assert (
        len(
            parse(
                [("angos.toml", 'observability.tracing = "any"\nserver.query_timeout = "any"')]
            ).remarks
        )
        == 2
    )


def test_every_row_of_both_tables_is_shown_here() -> None:
    shown = {
        key_of(line).replace('"docker-io"', "*")
        for line in [*lines_of(REFUSED), *lines_of(CHANGING_NOTHING)]
    }
    not_shown = [
        pattern
        for pattern in [*NOT_BUILT, *WITHOUT_EFFECT]
        if not any(key == pattern or key.startswith(f"{pattern}.") for key in shown)
    ]

    assert not_shown == []


def test_no_key_is_both_read_and_refused() -> None:
    read = {path for path, _ in keys_with_defaults()}

    assert not read & {*NOT_BUILT, *WITHOUT_EFFECT}
    assert not set(NOT_BUILT) & set(WITHOUT_EFFECT)
