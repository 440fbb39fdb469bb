"""Access policies: what rules see, and what they come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.limits.callers import POLICY_RULE_CHARACTERS_MAX
from angos_trio.policy.access import AccessPolicy, Facts, RuleError, Verdict, compile_policy
from tests.oci.strategies import QUICK

REQUEST = {"action": "get-manifest", "namespace": "team/app", "reference": "v1"}
IDENTITY = {
    "id": None,
    "username": "alice",
    "client_ip": "192.0.2.7",
    "certificate": None,
    "oidc": {"provider_name": "ci", "claims": {"repository": "org/app", "n": 1}},
}
FACTS = Facts(IDENTITY).about(REQUEST, has_repository_policy=False)


def decided(*texts: str, allows: bool = False, facts: Facts = FACTS) -> Verdict:
    return compile_policy(allows=allows, texts=texts).decide(facts)


@pytest.mark.parametrize("allows", [True, False])
def test_without_rules_the_default_decides(allows: bool) -> None:
    assert AccessPolicy(allows).decide(FACTS) == Verdict(allows, None)


def test_first_true_rule_allows_where_the_default_denies() -> None:
    assert decided("false", "identity.username == 'alice'", "true") == Verdict(True, 1)
    assert decided("false", "identity.username == 'bob'") == Verdict(False, None)


def test_first_true_rule_denies_where_the_default_allows() -> None:
    assert decided("false", "request.action == 'get-manifest'", allows=True) == Verdict(False, 1)
    assert decided("request.action == 'put-manifest'", allows=True) == Verdict(True, None)


@pytest.mark.parametrize("allows", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "1 / 0 == 1",
        "request.digest == 'x'",
        "identity.certificate.common_names[0] == 'x'",
        "identity.oidc.claims.nope == 'x'",
        "identity.username + 1 == 2",
        "request.namespace.matches('(')",
        "'yes'",
        "1",
        "null",
        "identity.oidc",
        "[true]",
    ],
)
def test_rule_that_fails_or_is_no_boolean_denies_whatever_follows(text: str, allows: bool) -> None:
    verdict = decided(text, "true", allows=allows)

    assert (verdict.allowed, verdict.rule) == (False, 0)
    assert verdict.reason
    assert "\n" not in verdict.reason


@pytest.mark.parametrize(
    "text",
    [
        "has(request.reference) && request.reference == 'v1'",
        "!has(request.digest)",
        "identity.certificate == null",
        "identity.oidc.claims.repository.startsWith('org/')",
        "request.namespace.matches('^team/[a-z]+$')",
        "request.action in ['get-blob', 'get-manifest']",
        "['team', 'other'].exists(t, request.namespace.startsWith(t + '/'))",
        "!has_repository_policy()",
    ],
)
def test_what_rules_can_say(text: str) -> None:
    assert decided(text).allowed


def test_rule_knows_whether_the_repository_has_a_policy() -> None:
    assert decided(
        "has_repository_policy()", facts=Facts(IDENTITY).about(REQUEST, has_repository_policy=True)
    ).allowed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "rule 0: is empty"),
        (" \n", "rule 0: is empty"),
        ("request.action =", "rule 0: is no CEL expression"),
        ("(" * 3000, "rule 0: is no CEL expression"),
        ("user == 'alice'", "rule 0: names user; known are identity and request"),
        ("now() > 1", "rule 0: calls now; known are has_repository_policy, "),
        ("true || " * POLICY_RULE_CHARACTERS_MAX + "true", "rule 0: is longer than 8192"),
    ],
)
def test_rule_that_cannot_be_used_is_refused_when_it_is_compiled(text: str, said: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_policy(allows=False, texts=[text])

    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_second_rule_is_named_by_its_number() -> None:
    with pytest.raises(RuleError, match=r"^rule 1: is empty"):
        compile_policy(allows=True, texts=["true", ""])


@QUICK
@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        policy = compile_policy(allows=True, texts=[text])
    except RuleError:
        return
    assert isinstance(policy.decide(FACTS).allowed, bool)
