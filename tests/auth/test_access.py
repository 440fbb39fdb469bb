"""The decisions: policies, repositories, keys and webhooks together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
import trio
import trio.testing

from angos_trio.auth.access import Access, Question
from angos_trio.identity import Action, Approach, Decision, Grant, Identity, Target
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_MAX
from angos_trio.oci.names import longest_prefix
from angos_trio.policy.access import AccessPolicy, compile_policy
from tests.factories import make_certificate

ADDRESS = "192.0.2.7"
NOBODY = Identity("anonymous", "", "", ADDRESS)
ALICE = Identity("basic", "", "alice", ADDRESS, id="a")
ROBOT = Identity("oidc", "ci", "robot", ADDRESS, claims={"repository": "org/app"})
DEVICE = Identity("certificate", "CN=ca", "CN=d", ADDRESS, certificate=make_certificate())
ANYBODY = frozenset({"anonymous", "basic", "certificate", "oidc"})
CAME = Approach(uri="/v2/team/app/tags/list", address=ADDRESS)


def policy(*texts: str, allows: bool = False) -> AccessPolicy:
    return compile_policy(allows=allows, texts=texts)


def decided(
    access: Access,
    identity: Identity = ALICE,
    action: Action = Action.GET_BLOB,
    target: Target | None = None,
) -> Decision:
    return trio.run(access.authorize, identity, action, target or Target("team/app"), CAME)


ALICE_ONLY = "identity.username == 'alice'"


@pytest.mark.parametrize(
    ("trusts", "allowed"),
    [
        (ANYBODY, {NOBODY.method, ALICE.method, ROBOT.method, DEVICE.method}),
        ({"basic"}, {ALICE.method}),
        ({"certificate"}, {DEVICE.method}),
        ({"basic", "certificate"}, {ALICE.method, DEVICE.method}),
        (set(), set()),
    ],
)
def test_without_a_policy_the_way_of_being_recognised_decides(
    trusts: set[str], allowed: set[str]
) -> None:
    access = Access(frozenset(trusts))
    found = {
        identity.method
        for identity in (NOBODY, ALICE, ROBOT, DEVICE)
        if decided(access, identity).allowed
    }

    assert found == allowed


def test_certificate_beside_a_token_counts_without_a_policy() -> None:
    both = Identity("oidc", "ci", "x", ADDRESS, claims={}, certificate=make_certificate())

    assert decided(Access(frozenset({"certificate"})), both).allowed


def test_policy_of_the_registry_is_the_whole_decision() -> None:
    access = Access(ANYBODY, policy=policy(ALICE_ONLY))

    assert decided(access) == Decision(True, "global.access_policy.rules[0]")
    assert decided(access, DEVICE) == Decision(False, "global.access_policy.default")


def test_policy_of_a_repository_decides_beside_that_of_the_registry() -> None:
    access = Access(
        frozenset(),
        policy=policy(ALICE_ONLY),
        repositories={"team": policy("request.action == 'delete-blob'", allows=True)},
    )

    assert decided(access) == Decision(True, "repository.team.access_policy.default")
    refused = decided(access, action=Action.DELETE_BLOB)
    assert refused == Decision(False, "repository.team.access_policy.rules[0]")
    assert not decided(access, NOBODY).allowed
    elsewhere = decided(access, action=Action.DELETE_BLOB, target=Target("teamx/app"))
    assert elsewhere.allowed, "a prefix ends at a slash"


def test_policy_of_a_repository_alone_decides_for_it_and_nowhere_else() -> None:
    access = Access(frozenset({"basic"}), repositories={"team": policy("true")})

    assert decided(access, NOBODY).allowed
    assert not decided(access, NOBODY, target=Target("other")).allowed
    assert decided(access, ALICE, target=Target("other")).allowed


def test_explicit_deny_without_rules_denies_everything() -> None:
    access = Access(ANYBODY, repositories={"team": policy()})

    assert not decided(access).allowed


def test_longest_repository_counts_alone() -> None:
    tables: Mapping[str, object] = {"team": 1, "team/app": 2}

    assert longest_prefix("team/app/web", tables) == "team/app"
    assert longest_prefix("team/apps", tables) == "team"
    assert longest_prefix("teams", tables) is None
    assert longest_prefix(None, tables) is None


def test_rules_see_the_repository_and_whether_it_has_a_policy() -> None:
    rules = policy("has_repository_policy() && request.repository == 'team'")
    access = Access(frozenset(), policy=rules, repositories={"team": policy("true"), "other": None})

    assert decided(access).allowed
    assert not decided(access, target=Target("other/app")).allowed
    assert not decided(access, target=Target("elsewhere")).allowed


def test_same_identity_is_asked_about_different_things_in_turn() -> None:
    access = Access(frozenset(), policy=policy("request.namespace == 'a'"))

    for namespace in ("a", "b", "a"):
        assert decided(access, target=Target(namespace)).allowed == (namespace == "a")


def test_one_address_is_not_taken_for_another() -> None:
    access = Access(frozenset(), policy=policy(f"identity.client_ip == '{ADDRESS}'"))
    elsewhere = Identity("basic", "", "alice", "198.51.100.1", id="a")

    assert decided(access).allowed
    assert not decided(access, elsewhere).allowed


def test_claims_of_each_token_are_seen_as_they_are() -> None:
    access = Access(frozenset(), policy=policy("identity.oidc.claims.repository == 'org/app'"))
    other = Identity("oidc", "ci", "robot", ADDRESS, claims={"repository": "org/other"})

    assert decided(access, ROBOT).allowed
    assert not decided(access, other).allowed
    assert not decided(access, ALICE).allowed


def test_names_of_certificates_are_seen_by_rules() -> None:
    certificate = make_certificate(
        organizations=("Edge",), uris=("urn:device:7",), issuer="CN=Device CA"
    )
    device = Identity("certificate", "CN=Device CA", "CN=d", ADDRESS, certificate=certificate)
    rules = policy(
        "'Edge' in identity.certificate.organizations && identity.certificate.issuer =="
        " 'CN=Device CA' && identity.certificate.uris.exists(u, u == 'urn:device:7')"
    )

    assert decided(Access(frozenset(), policy=rules), device).allowed
    assert not decided(Access(frozenset(), policy=rules), DEVICE).allowed


KEY = Grant("id", "ci", repositories=("team/*",), actions=("get-manifest", "get-blob"))
BY_KEY = Identity("basic", "", "alice", ADDRESS, id="a", grant=KEY)


def test_key_narrows_its_owner() -> None:
    access = Access(frozenset({"basic"}))

    assert decided(access, BY_KEY).allowed
    assert decided(access, BY_KEY, Action.PUT_MANIFEST).rule == "api-key"
    assert not decided(access, BY_KEY, target=Target("other/app")).allowed
    assert decided(access, BY_KEY, Action.GET_API_VERSION, Target()).allowed


def test_key_never_widens_its_owner() -> None:
    access = Access(frozenset(), policy=policy("identity.username == 'bob'"))

    assert not decided(access, BY_KEY).allowed


def test_listing_shows_what_may_be_listed_or_pulled() -> None:
    access = Access(
        frozenset(),
        policy=policy(
            "request.namespace == 'a' && request.action == 'list-tags'",
            "request.namespace == 'b' && request.action == 'get-manifest'",
            "request.namespace == 'c' && request.action == 'put-manifest'",
        ),
    )

    assert [name for name in "abcd" if access.visible(ALICE, name, CAME)] == ["a", "b"]


class Webhook:
    """Says yes to some namespaces; remembers what it was asked."""

    def __init__(self, *allowed: str, secs: float = 0) -> None:
        self.allowed = allowed
        self.secs = secs
        self.at_once = self.most_at_once = 0
        self.asked: dict[tuple[Action, str | None, str], Decision] = {}

    async def ask(self, question: Question) -> Decision:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await trio.sleep(self.secs)
        self.at_once -= 1
        decision = Decision(question.target.namespace in self.allowed, "webhook")
        self.asked[self._key(question)] = decision
        return decision

    def remembered(self, question: Question) -> Decision | None:
        return self.asked.get(self._key(question))

    def _key(self, question: Question) -> tuple[Action, str | None, str]:
        return question.action, question.target.namespace, question.approach.uri


def test_webhook_is_asked_after_the_policies_and_must_allow_too() -> None:
    webhook = Webhook("team/app")
    access = Access(frozenset({"basic"}), webhook=webhook)

    assert not decided(access, NOBODY).allowed
    assert webhook.asked == {}
    assert decided(access) == Decision(True, "webhook")
    assert not decided(access, target=Target("other")).allowed
    assert not decided(access, target=Target()).allowed, "and for the registry itself"


def test_repository_has_its_own_webhook_or_none() -> None:
    own, everywhere = Webhook("team/app"), Webhook()
    access = Access(frozenset({"basic"}), webhook=everywhere, webhooks={"team": own, "free": None})

    assert decided(access).allowed
    assert decided(access, target=Target("free/app")).allowed
    assert not decided(access, target=Target("other")).allowed


def test_listing_behind_a_webhook_shows_what_it_allows() -> None:
    webhook = Webhook("a", "c")
    access = Access(frozenset({"basic"}), webhook=webhook)
    names: Sequence[str] = ["a", "b", "c"]

    assert [name for name in names if access.visible(ALICE, name, CAME)] == []
    trio.run(access.learn, ALICE, names, CAME, math.inf)
    assert [name for name in names if access.visible(ALICE, name, CAME)] == ["a", "c"]
    assert not access.visible(NOBODY, "a", CAME)


def test_webhook_is_asked_some_questions_at_a_time() -> None:
    names = [f"app{number}" for number in range(100)]
    webhook = Webhook(*names, secs=0.001)
    access = Access(frozenset({"basic"}), webhook=webhook)
    trio.run(access.learn, ALICE, names, CAME, math.inf)

    assert webhook.most_at_once == WEBHOOK_QUESTIONS_MAX
    assert all(access.visible(ALICE, name, CAME) for name in names)


def test_slow_webhook_holds_a_listing_up_for_a_time_only() -> None:
    webhook = Webhook("a", secs=60)
    access = Access(frozenset({"basic"}), webhook=webhook)

    async def test() -> float:
        begun_at = trio.current_time()
        await access.learn(ALICE, ["a"] * 100, CAME, begun_at + 5)
        return trio.current_time() - begun_at

    assert trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0)) <= 5.0
    assert not access.visible(ALICE, "a", CAME)
