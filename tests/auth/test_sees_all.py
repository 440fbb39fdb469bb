"""Whether somebody sees all of a repository, without a look at each namespace: never too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.access import Access
from angos_trio.identity import Approach, Grant, Identity
from angos_trio.limits.callers import SEEN_IDENTITIES_MAX, SEEN_NAMES_MAX
from angos_trio.policy.access import compile_policy
from tests.oci.strategies import QUICK

ALICE = Identity("basic", "", "alice", "192.0.2.1")
UNIFORM = (
    "identity.username == 'alice'",
    "identity.username == 'alice' && request.action in ['list-tags', 'get-manifest']",
    "has(request.repository) && request.repository == 'team' && request . action == 'list-tags'",
    "has_repository_policy() || identity.username == 'alice'",
    "identity.username == 'bob'",
)
OTHERS = (
    "request.namespace.startsWith('team/a')",
    "has(request.namespace) && request.namespace != 'team/secret'",
    "request['namespace'] == 'team/app'",
    "request == {'action': 'list-tags'}",
    "request.action == 'list-tags' && !(request.namespace in ['team/app'])",
    "request.reference == 'v1'",
    "[request].exists(r, r.namespace == 'team/app')",
)
NAMES = ("team", "team/app", "team/secret", "team/a/b", "other", "other/app")


def access_of(*rules: str, allows: bool = False) -> Access:
    policy = compile_policy(allows=allows, texts=rules)
    return Access(frozenset(), policy=policy, repositories={"team": None})


@pytest.mark.parametrize("rule", UNIFORM)
def test_rules_about_people_and_repositories_say_the_same_of_all(rule: str) -> None:
    access = access_of(rule)

    assert access.policy is not None
    assert access.policy.is_uniform
    seen = {access.visible(ALICE, name, Approach()) for name in NAMES if name.startswith("team")}
    assert seen == {access.sees_all(ALICE, "team")}


@pytest.mark.parametrize("rule", OTHERS)
@pytest.mark.parametrize("allows", [True, False])
def test_rules_that_look_at_the_namespace_say_nothing_of_all(rule: str, allows: bool) -> None:
    access = access_of("identity.username == 'carol'", rule, allows=allows)

    assert not access.sees_all(ALICE, "team")


@QUICK
@given(
    rules=st.lists(st.sampled_from((*UNIFORM, *OTHERS)), max_size=3),
    allows=st.booleans(),
    own=st.none() | st.sampled_from((*UNIFORM, *OTHERS)),
)
def test_who_sees_all_sees_each(rules: list[str], allows: bool, own: str | None) -> None:
    of_team = None if own is None else compile_policy(allows=False, texts=[own])
    policy = compile_policy(allows=allows, texts=rules)
    access = Access(frozenset(), policy=policy, repositories={"team": of_team})

    for repository in ("team", "other"):
        if access.sees_all(ALICE, repository):
            mine = [name for name in NAMES if name.partition("/")[0] == repository]
            assert all(access.visible(ALICE, name, Approach()) for name in mine)


def test_key_for_some_repositories_has_each_looked_at() -> None:
    access = Access(frozenset({"basic"}))
    narrow = Identity("basic", "", "alice", "", grant=Grant("k", "key", ("team/a*",)))
    wide = Identity("basic", "", "alice", "", grant=Grant("k", "key"))

    assert access.sees_all(ALICE, "team")
    assert access.sees_all(wide, "team")
    assert not access.sees_all(narrow, "team")


def test_webhook_has_each_looked_at() -> None:
    class Nobody:
        async def ask(self, question: object) -> object:
            raise AssertionError

        def remembered(self, question: object) -> None:
            return None

    everywhere = Access(frozenset({"basic"}), webhook=Nobody())  # type: ignore[arg-type]
    elsewhere = Access(frozenset({"basic"}), webhooks={"team": Nobody()})  # type: ignore[dict-item]

    assert not everywhere.sees_all(ALICE, "team")
    assert not elsewhere.sees_all(ALICE, "team")
    assert elsewhere.sees_all(ALICE, "other")


def test_what_one_sees_is_not_what_another_sees() -> None:
    access = access_of("identity.username == 'alice' && request.namespace == 'team/app'")
    narrow = Identity("basic", "", "alice", "", grant=Grant("k", "key", ("other/*",)))
    certified = Identity("certificate", "", "alice", "192.0.2.1")

    for _ in range(2):
        assert access.visible(ALICE, "team/app", Approach())
        assert not access.visible(narrow, "team/app", Approach())
        assert not access.visible(certified, "team/app", Approach())
        assert not access.visible(ALICE, "team/secret", Approach())


def test_claims_are_looked_at_each_time() -> None:
    access = access_of("identity.oidc.claims.team == 'red'")
    seen = [
        access.visible(
            Identity("oidc", "p", "alice", "192.0.2.1", claims={"team": team}),
            "team/app",
            Approach(),
        )
        for team in ("red", "blue", "red")
    ]

    assert seen == [True, False, True]


def test_many_names_and_people_are_no_burden() -> None:
    access = Access(frozenset({"basic"}))
    for person in range(2 * SEEN_IDENTITIES_MAX):
        for number in range(0, SEEN_NAMES_MAX + 10, 1 + 10 * bool(person)):
            access.visible(Identity("basic", "", f"p{person}", ""), f"team/{number}", Approach())

    assert len(access._seen) <= SEEN_IDENTITIES_MAX
    assert all(len(names) <= SEEN_NAMES_MAX for names in access._seen.values())
