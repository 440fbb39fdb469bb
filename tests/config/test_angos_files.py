"""Two configurations of the original: with all that is supported, and with all that is not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from angos_trio.config.known import NOT_BUILT, WITHOUT_EFFECT
from angos_trio.config.model import AccessPolicy
from angos_trio.config.overrides import load_with_overrides
from angos_trio.config.tables import keys_with_defaults, tables_in
from angos_trio.errors import OperatorError
from angos_trio.policy.access import compile_policy
from tests.config.documents import paths_of

SUPPORTED = Path(__file__).with_name("angos.toml")
UNSUPPORTED = Path(__file__).with_name("angos-unsupported.toml")

OURS = {
    "server.workers",
    "server.stall_timeout",
    "server.drain_timeout",
    "server.max_uploads_per_caller",
    "server.external_url",
    "server.health",
    "server.health.bind_address",
    "server.health.port",
    "server.health.metrics",
    "server.tls.client_crl",
    "server.tls.crl_stale",
    "global.immutable_tags_deletable",
    "global.untagged_grace",
    "global.scrub_interval_secs",
    "global.scrub_rate",
    "global.upload_expiry_secs",
    "global.prune_interval_secs",
    "repository.*.immutable_tags_deletable",
    "repository.*.quota",
    "repository.*.tag_check_interval",
    "repository.*.stale_tags",
    "repository.*.offline",
    "repository.*.prefetch",
    "repository.*.platforms",
    "repository.*.upstream.password_file",
    "event_webhook.*.token_file",
    "repository.*.upstream.token_hosts",
    "repository.*.upstream.max_connections",
    "repository.*.upstream.bandwidth_limit",
    "auth.identity.*.password_file",
    "auth.token_service.secret_key_file",
    "auth.webhook.*.bearer_token_file",
    "auth.webhook.*.basic_auth.password_file",
    "global.min_free_space",
    "blob_store.fs.ballast",
    "observability.log_level",
    "observability.worker_header",
}
"""Keys that the original does not have."""


def test_configuration_of_the_original_is_taken_as_it_is() -> None:
    parsed = load_with_overrides([str(SUPPORTED)], None, None, {})

    assert sorted(parsed.config.auth.identity) == ["alice", "build farm"]
    assert sorted(parsed.config.auth.oidc) == ["github", "github-by-hand", "login"]
    assert parsed.config.server.tls is not None
    assert parsed.secret_files == ()


def test_each_key_of_the_original_without_effect_has_one_remark() -> None:
    remarks = load_with_overrides([str(SUPPORTED)], None, None, {}).remarks

    assert {remark.partition(" has no effect: ")[0] for remark in remarks} == set(WITHOUT_EFFECT)


def test_its_rules_compile() -> None:
    config = load_with_overrides([str(SUPPORTED)], None, None, {}).config
    policies = [table for _, table in tables_in(config) if isinstance(table, AccessPolicy)]

    assert {compile_policy(allows=p.allows, texts=p.rules).allows for p in policies} == {
        True,
        False,
    }


def test_file_has_every_key_of_the_original_that_is_supported() -> None:
    document = tomllib.loads(SUPPORTED.read_text(encoding="utf-8"))
    known = {path for path, _ in keys_with_defaults()} - OURS

    assert known <= set(paths_of(document))


def test_file_has_no_key_that_the_original_has_not() -> None:
    document = tomllib.loads(SUPPORTED.read_text(encoding="utf-8"))

    assert not OURS & set(paths_of(document))


def test_each_section_that_is_not_supported_is_named_in_one_line() -> None:
    with pytest.raises(OperatorError) as refused:
        load_with_overrides([str(UNSUPPORTED)], None, None, {})

    lines = str(refused.value).splitlines()
    named = {line.partition(": ")[0].replace("docker-io", "*"): line for line in lines}
    assert named.keys() == NOT_BUILT.keys()
    assert len(lines) == len(NOT_BUILT)
    assert all(line.endswith(NOT_BUILT[key]) for key, line in named.items())


def test_both_files_together_name_the_same_sections() -> None:
    with pytest.raises(OperatorError) as refused:
        load_with_overrides([str(SUPPORTED), str(UNSUPPORTED)], None, None, {})

    assert len(str(refused.value).splitlines()) == len(NOT_BUILT)
