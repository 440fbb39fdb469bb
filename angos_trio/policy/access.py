"""Access policies: rules in CEL that are compiled once, facts in, verdict out.

With `default = "deny"` a rule allows, with `default = "allow"` a rule denies; the first that is
true decides. A rule that fails, or says neither true nor false, denies in either case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from angos_trio.policy.rules import Rule, RuleError, Words, compile_rules
from angos_trio.records import Frozen

if TYPE_CHECKING:
    import cel

__all__ = ["WORDS", "AccessPolicy", "Facts", "RuleError", "Verdict", "compile_policy"]

HAS_REPOSITORY_POLICY: Final = "has_repository_policy"
_OTHER_FACTS: Final = re.compile(r"\brequest\b(?!\s*\.\s*(?:action|repository)\b)")
WORDS: Final = Words(variables=("identity", "request"), functions=(HAS_REPOSITORY_POLICY,))


class Verdict(Frozen):
    """What a policy says: `rule` is the number of the rule that decided, from 0; None is the
    default."""

    allowed: bool
    rule: int | None
    reason: str = ""


class Facts:
    """What rules look at: the identity, converted to CEL once at the first rule, and the request
    that is asked about. One question at a time: an answer does not wait for anything."""

    def __init__(self, identity: Mapping[str, object]) -> None:
        self._identity = dict(identity)
        self._request: dict[str, object] = {}
        self._has_repository_policy = False
        self._context: cel.Context | None = None

    def about(self, request: Mapping[str, object], *, has_repository_policy: bool) -> Facts:
        """The same identity, asking for this."""
        self._request = dict(request)
        self._has_repository_policy = has_repository_policy
        if self._context is not None:
            self._context.add_variable("request", self._request)
        return self

    @property
    def context(self) -> cel.Context:
        """The same as CEL sees it."""
        if self._context is None:
            import cel

            self._context = cel.Context(
                variables={"request": self._request, "identity": self._identity},
                functions={HAS_REPOSITORY_POLICY: lambda: self._has_repository_policy},
            )
        return self._context


class AccessPolicy(Frozen):
    """A default and the rules that are exceptions from it."""

    allows: bool
    rules: tuple[Rule, ...] = ()

    @property
    def is_uniform(self) -> bool:
        """Whether it says the same of all namespaces of a repository: no rule looks at more of the
        request than its action and the repository. True is certain, False is not."""
        return not any(_OTHER_FACTS.search(rule.text) for rule in self.rules)

    def decide(self, facts: Facts) -> Verdict:
        """The first rule that holds or fails decides, else the default."""
        for number, rule in enumerate(self.rules):
            answer = rule.ask(facts.context)
            if isinstance(answer, str):
                return Verdict(False, number, answer)
            if answer:
                return Verdict(not self.allows, number)
        return Verdict(self.allows, None)


def compile_policy(*, allows: bool, texts: Sequence[str]) -> AccessPolicy:
    """Compile every rule. Raises RuleError that says which."""
    return AccessPolicy(allows, compile_rules(texts, WORDS))
