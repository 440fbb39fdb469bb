"""`angos-trio policy test`: the decision, the rule and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angos_trio.cli.main import main

HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$UTdn13B89qMM9QHDtQLaLg$"
    "Gf052UkpuqGw5MmPk/gk+WMiPehKbJAbZrgMlymY/os"
)
RULES = (
    "identity.username == 'alice' && identity.id == 'a' && request.action != 'delete-manifest'",
    "identity.certificate != null && 'Edge' in identity.certificate.organizations"
    " && 'e.example.test' in identity.certificate.dns_names"
    " && identity.certificate.issuer == 'CN=ca,O=x'",
    "identity.oidc != null && identity.oidc.provider_name == 'ci'"
    " && identity.oidc.claims.repository == 'org/app'",
    "has(request.tags) && request.tags.exists(t, t == 'open')",
    "has(request.digest) && request.digest == 'sha256:00'",
    "identity.client_ip == '192.0.2.7'",
    "request.action == 'metrics' && 1 / 0 == 1",
)
CONFIG = f"""
[auth.identity.a]
username = "alice"
password = "{HASH}"

[global.access_policy]
default = "deny"
rules = {json.dumps(RULES)}

[repository."kept".access_policy]
default = "allow"
rules = ["request.action == 'put-manifest'"]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "registry.toml"
    file.write_text(CONFIG, encoding="utf-8")
    return str(file)


def ask(capsys: pytest.CaptureFixture[str], config: str, *words: str) -> tuple[int, list[str]]:
    code = main(["policy", "test", "-c", config, *words])
    return code, capsys.readouterr().out.splitlines()


def test_the_rule_that_allows_is_told(capsys: pytest.CaptureFixture[str], config: str) -> None:
    code, lines = ask(
        capsys, config, "--as", "user:alice", "--action", "put-manifest", "--target", "team/app:1.0"
    )

    assert code == 0
    assert lines[:2] == ["allowed", "decided by: global.access_policy.rules[0]"]
    assert lines[2].startswith("the rule: identity.username == 'alice'")


def test_the_default_that_denies_is_told(capsys: pytest.CaptureFixture[str], config: str) -> None:
    code, lines = ask(capsys, config, "--as", "anonymous", "--action", "get-blob")

    assert code == 1
    assert lines == ["denied", "decided by: global.access_policy.default"]


def test_a_rule_that_fails_says_why(capsys: pytest.CaptureFixture[str], config: str) -> None:
    code, lines = ask(capsys, config, "--as", "anonymous", "--action", "metrics")

    assert code == 1
    assert lines[1] == "decided by: global.access_policy.rules[6]"
    assert lines[3].startswith("because: the rule fails")


def test_rule_of_a_repository_is_told(capsys: pytest.CaptureFixture[str], config: str) -> None:
    code, lines = ask(
        capsys, config, "--as", "user:alice", "--action", "put-manifest", "--target", "kept/app:1"
    )

    assert code == 1
    assert lines[1:] == [
        "decided by: repository.kept.access_policy.rules[0]",
        "the rule: request.action == 'put-manifest'",
    ]


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("cert:CN=e,O=Edge,DNS=e.example.test,issuer=CN=ca,O=x", "get-blob", "app"), True),
        (("cert:CN=e,O=Edge,DNS=e.example.test,issuer=CN=other", "get-blob", "app"), False),
        (("cert:CN=e,O=Other,DNS=e.example.test,issuer=CN=ca,O=x", "get-blob", "app"), False),
        (('oidc:ci:{"repository": "org/app"}', "get-blob", "app"), True),
        (('oidc:other:{"repository": "org/app"}', "get-blob", "app"), False),
        (("user:bob", "get-blob", "app"), False),
        (("anonymous", "put-manifest", "app:open"), True),
        (("anonymous", "put-manifest", "app:shut"), False),
        (("anonymous", "get-manifest", "app@sha256:00"), True),
        (("anonymous", "get-manifest", "host:5000/app"), False),
    ],
)
def test_who_and_what_are_as_they_are_written(
    capsys: pytest.CaptureFixture[str], config: str, words: tuple[str, str, str], allowed: bool
) -> None:
    who, action, target = words
    code, lines = ask(capsys, config, "--as", who, "--action", action, "--target", target)

    assert lines[0] == ("allowed" if allowed else "denied")
    assert code == (0 if allowed else 1)


def test_address_is_what_rules_see(capsys: pytest.CaptureFixture[str], config: str) -> None:
    words = ("--as", "anonymous", "--action", "get-blob", "--target", "app")

    assert ask(capsys, config, *words, "--address", "192.0.2.7")[0] == 0
    assert ask(capsys, config, *words)[0] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--as", "alice", "--action", "get-blob"), "--as: 'alice' is none of user:NAME"),
        (("--as", "cert:edge", "--action", "get-blob"), "--as: 'edge' is no CN="),
        (("--as", "oidc:ci:{", "--action", "get-blob"), "--as: the claims are no JSON"),
        (("--as", "oidc:ci:[]", "--action", "get-blob"), "--as: the claims are no JSON object"),
        (("--as", "anonymous", "--action", "get-blobs"), "did you mean get-blob?"),
        (("--as", "anonymous", "--action", "xyzzy"), "known are "),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(
    capsys: pytest.CaptureFixture[str], config: str, words: tuple[str, ...], told: str
) -> None:
    assert main(["policy", "test", "-c", config, *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("angos-trio: ")
    assert told in line
