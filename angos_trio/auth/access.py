"""The only decisions on access: may this caller do that, and do they see this name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from angos_trio.auth.api_keys import covers
from angos_trio.identity import Action, Approach, Certificate, Decision, Identity, Target
from angos_trio.limits.callers import (
    POLICY_IDENTITIES_MAX,
    SEEN_IDENTITIES_MAX,
    SEEN_NAMES_MAX,
    WEBHOOK_QUESTIONS_MAX,
)
from angos_trio.oci.names import longest_prefix
from angos_trio.policy.access import AccessPolicy, Facts
from angos_trio.records import Frozen, replace

_READS = (Action.LIST_TAGS, Action.GET_MANIFEST)
"""Whoever may do one of these to a namespace sees its name in listings."""


class Question(Frozen):
    """What an authorization webhook is asked: the same facts as the policies see."""

    approach: Approach
    identity: Identity
    action: Action
    target: Target


class Authorizer(Protocol):
    """A service elsewhere that decides as well."""

    async def ask(self, question: Question) -> Decision:
        """What it says; where it cannot be asked, no."""

    def remembered(self, question: Question) -> Decision | None:
        """What it said a short time ago."""


@dataclass(frozen=True, slots=True)
class Access:
    """The rules in force: of the registry, and of its repositories. All that exist must allow.

    `trusts` decides where no policy does: callers who were recognised by one of these methods may
    do anything there. With `loopback_only` requests must name a loopback host as well, so that a
    web page cannot reach the registry under another name. `repositories` has every configured
    repository, None for one without a policy of its own; `webhooks` those whose webhook is not
    `webhook`, None for one that has none.
    """

    trusts: frozenset[str]
    loopback_only: bool = False
    policy: AccessPolicy | None = None
    repositories: Mapping[str, AccessPolicy | None] = field(default_factory=dict)
    webhook: Authorizer | None = None
    webhooks: Mapping[str, Authorizer | None] = field(default_factory=dict)
    _identities: dict[object, Facts] = field(default_factory=dict, compare=False)
    _seen: dict[object, dict[str, bool]] = field(default_factory=dict, init=False, compare=False)

    @property
    def has_webhooks(self) -> bool:
        """Whether anything is decided by more than the policies."""
        return self.webhook is not None or bool(self.webhooks)

    async def authorize(
        self, identity: Identity, action: Action, target: Target, approach: Approach
    ) -> Decision:
        """Whether the identity may do this to the target: policies first, then the webhook."""
        decision = self.decide(identity, action, target)
        authorizer = self._authorizer_of(target.namespace)
        if not decision.allowed or authorizer is None:
            return decision
        return await authorizer.ask(Question(approach, identity, action, target))

    def visible(self, identity: Identity, namespace: str, approach: Approach) -> bool:
        """Whether a listing shows the namespace: whoever may list its tags or pull from it.

        Where a webhook decides, only what it has allowed a short time ago is shown; `learn` asks.
        """
        if not self._is_readable(identity, namespace):
            return False
        authorizer = self._authorizer_of(namespace)
        if authorizer is None:
            return True
        said = authorizer.remembered(_visibility(identity, namespace, approach))
        return said is not None and said.allowed

    async def learn(
        self, identity: Identity, namespaces: Sequence[str], approach: Approach, deadline: float
    ) -> None:
        """Ask webhooks what `visible` will need, some at a time, until the deadline of Trio's
        clock."""
        if not self.has_webhooks:
            return
        questions = [
            (authorizer, _visibility(identity, name, approach))
            for name in namespaces
            if (authorizer := self._authorizer_of(name)) is not None
            and self._is_readable(identity, name)
        ]
        left = iter(questions)

        async def ask_one_by_one() -> None:
            for authorizer, question in left:
                await authorizer.ask(question)

        with trio.move_on_at(deadline):
            async with trio.open_nursery() as nursery:
                for _ in questions[:WEBHOOK_QUESTIONS_MAX]:
                    nursery.start_soon(ask_one_by_one)

    def sees_all(self, identity: Identity, repository: str) -> bool:
        """Whether a listing shows every namespace of a repository, the longest configured name that
        fits or a first segment. True is certain; False is said too where each must be looked at."""
        own = self.repositories.get(repository)
        if identity.grant is not None and identity.grant.repositories:
            return False
        if self._authorizer_of(repository) is not None:
            return False
        policies = [policy for policy in (self.policy, own) if policy is not None]
        return all(each.is_uniform for each in policies) and self._is_readable(identity, repository)

    def _is_readable(self, identity: Identity, namespace: str) -> bool:
        """What policies say is a function of the identity and the name, and remembered for lists
        that many names are asked about; but for identities with claims, which say anything."""
        if identity.claims is not None:
            return self._decide_readable(identity, namespace)
        key = (*_key_of(identity), identity.grant)
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= SEEN_IDENTITIES_MAX:
                self._seen.clear()
            seen = self._seen[key] = {}
        found = seen.get(namespace)
        if found is None:
            if len(seen) >= SEEN_NAMES_MAX:
                seen.clear()
            found = seen[namespace] = self._decide_readable(identity, namespace)
        return found

    def _decide_readable(self, identity: Identity, namespace: str) -> bool:
        target = Target(namespace)
        return any(self.decide(identity, action, target).allowed for action in _READS)

    def decide(self, identity: Identity, action: Action, target: Target) -> Decision:
        """What the policies say, without any webhook."""
        grant = identity.grant
        if grant is not None and not covers(grant, action, target.namespace):
            return Decision(False, "api-key", f"the key {grant.name} does not reach this")
        repository = longest_prefix(target.namespace, self.repositories)
        own = None if repository is None else self.repositories[repository]
        if self.policy is None and own is None:
            return self._by_method(identity)
        facts = self._facts_of(identity).about(
            request_facts(action, target, repository), has_repository_policy=own is not None
        )
        decision = Decision(True, "")
        for name, policy in (("global", self.policy), (f"repository.{repository}", own)):
            if policy is None or not decision.allowed:
                continue
            verdict = policy.decide(facts)
            rule = "default" if verdict.rule is None else f"rules[{verdict.rule}]"
            decision = Decision(verdict.allowed, f"{name}.access_policy.{rule}", verdict.reason)
        return decision

    def _facts_of(self, identity: Identity) -> Facts:
        """The identity as rules see it; converted once for those who call often.

        Of an identity with claims nothing is kept: a token says anything at all.
        """
        if identity.claims is not None:
            return Facts(identity_facts(identity))
        key = _key_of(identity)
        facts = self._identities.get(key)
        if facts is None:
            if len(self._identities) >= POLICY_IDENTITIES_MAX:
                self._identities.clear()
            facts = self._identities[key] = Facts(identity_facts(identity))
        return facts

    def _by_method(self, identity: Identity) -> Decision:
        methods = {identity.method} | ({"certificate"} if identity.certificate else set())
        trusted = sorted(methods & self.trusts)
        if not trusted:
            return Decision(False, "no policy", "only callers with credentials are let in")
        return Decision(True, "open" if trusted[0] == "anonymous" else f"no policy: {trusted[0]}")

    def _authorizer_of(self, namespace: str | None) -> Authorizer | None:
        repository = longest_prefix(namespace, self.webhooks)
        return self.webhook if repository is None else self.webhooks[repository]


def _key_of(identity: Identity) -> tuple[object, ...]:
    """All that rules see of an identity without claims, and how it was recognised."""
    certificate = identity.certificate
    shown = None if certificate is None else certificate.fingerprint
    return identity.method, identity.subject, identity.id, identity.address, shown


def _visibility(identity: Identity, namespace: str, approach: Approach) -> Question:
    """The question that a request for the namespace's tags would be."""
    asked = replace(approach, method="GET", uri=f"/v2/{namespace}/tags/list")
    return Question(asked, identity, Action.LIST_TAGS, Target(namespace))


def request_facts(action: Action, target: Target, repository: str | None) -> dict[str, object]:
    """`request` as rules see it. What a request does not name is not there."""
    facts: dict[str, object] = {"action": str(action), **target.named}
    if target.namespace is not None:
        facts["namespace"] = target.namespace
    if repository is not None:
        facts["repository"] = repository
    return facts


def identity_facts(identity: Identity) -> dict[str, object]:
    """`identity` as rules see it: every field is there, null where there is none."""
    certificate, oidc = identity.certificate, None
    if identity.claims is not None:
        oidc = {"provider_name": identity.provider, "claims": dict(identity.claims)}
    return {
        "id": identity.id,
        "username": identity.subject if identity.method == "basic" else None,
        "client_ip": identity.address,
        "certificate": None if certificate is None else certificate_facts(certificate),
        "oidc": oidc,
    }


def certificate_facts(certificate: Certificate) -> dict[str, object]:
    """`identity.certificate` as rules see it; names and times as in `Certificate`."""
    return {
        "common_names": list(certificate.common_names),
        "organizations": list(certificate.organizations),
        "dns_names": list(certificate.dns_names),
        "uris": list(certificate.uris),
        "emails": list(certificate.emails),
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "fingerprint": certificate.fingerprint,
        "not_after": certificate.not_after,
    }
