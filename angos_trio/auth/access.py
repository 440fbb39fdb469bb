"""The only decisions about access. The gate asks for every request; use-cases ask for a mount."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from angos_trio.identity import Action, Decision, Identity, Target
from angos_trio.policy.access import AccessPolicy, Facts


@dataclass(frozen=True, slots=True)
class Access:
    """The rules in force: of the registry, and of its repositories. All that exist must allow.

    `is_open` decides where no policy does: in a registry that is bound to a loopback address and
    has no policy; then requests must name a loopback host as well (`loopback_only`), so that a web
    page cannot reach it under another name. `repositories` has every configured repository, None
    for one without a policy of its own.
    """

    is_open: bool
    loopback_only: bool
    policy: AccessPolicy | None = None
    repositories: Mapping[str, AccessPolicy | None] = field(default_factory=dict)

    async def authorize(self, identity: Identity, action: Action, target: Target) -> Decision:
        """Whether the identity may do this to the target."""
        return self._decide(identity, action, target)

    def visible(self, identity: Identity, namespace: str) -> bool:
        """Whether a listing shows the namespace: whoever may list its tags or pull from it."""
        target = Target(namespace)
        return any(
            self._decide(identity, action, target).allowed
            for action in (Action.LIST_TAGS, Action.GET_MANIFEST)
        )

    def _decide(self, identity: Identity, action: Action, target: Target) -> Decision:
        repository = self._repository_of(target.namespace)
        own = None if repository is None else self.repositories[repository]
        policies = [("global", self.policy), (f"repository.{repository}", own)]
        facts = Facts(
            request_facts(action, target, repository), identity_facts(identity), own is not None
        )
        decided_by = ""
        for name, policy in policies:
            if policy is None:
                continue
            verdict = policy.decide(facts)
            rule = "default" if verdict.rule is None else f"rules[{verdict.rule}]"
            decided_by = f"{name}.access_policy.{rule}"
            if not verdict.allowed:
                return Decision(False, decided_by, verdict.reason)
        if not decided_by:
            return Decision(self.is_open, "open" if self.is_open else "no policy")
        return Decision(True, decided_by)

    def _repository_of(self, namespace: str | None) -> str | None:
        """The configured repository that a namespace belongs to: the longest that fits."""
        name = namespace or ""
        while name:
            if name in self.repositories:
                return name
            name = name.rpartition("/")[0]
        return None


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
    return {
        "id": None,
        "username": identity.subject if identity.method == "basic" else None,
        "client_ip": identity.address,
        "certificate": None,
        "oidc": None,
    }
