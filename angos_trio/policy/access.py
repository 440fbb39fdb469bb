"""Access policies: rules in CEL that are compiled once, facts in, verdict out.

With `default = "deny"` a rule allows, with `default = "allow"` a rule denies; the first that is
true decides. A rule that fails, or says neither true nor false, denies in either case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from angos_trio.limits import POLICY_RULE_CHARACTERS_MAX

if TYPE_CHECKING:
    import cel

VARIABLES: Final = ("identity", "request")
HAS_REPOSITORY_POLICY: Final = "has_repository_policy"
FUNCTIONS: Final = (
    HAS_REPOSITORY_POLICY, "bytes", "contains", "double", "duration", "dyn", "endsWith",
    "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours",
    "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "int", "matches", "size",
    "startsWith", "string", "timestamp", "type", "uint",
)  # fmt: skip
"""What a rule may call besides operators and the macros of CEL."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_BOUND = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*,")
"""A macro's own variable."""


class RuleError(ValueError):
    """A rule that cannot be used; says why in one line."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says: `rule` is the number of the rule that decided, from 0; None is the
    default."""

    allowed: bool
    rule: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its text, and the program that it was compiled to."""

    text: str
    program: cel.Program


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


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """A default and the rules that are exceptions from it."""

    allows: bool
    rules: tuple[Rule, ...] = ()

    def decide(self, facts: Facts) -> Verdict:
        """The first rule that holds or fails decides, else the default."""
        for number, rule in enumerate(self.rules):
            try:
                result = rule.program.execute(facts.context)
            except Exception as error:
                return Verdict(False, number, f"the rule fails: {_one_line(error)}")
            if not isinstance(result, bool):
                return Verdict(False, number, "the rule says neither true nor false")
            if result:
                return Verdict(not self.allows, number)
        return Verdict(self.allows, None)


def compile_policy(*, allows: bool, texts: Sequence[str]) -> AccessPolicy:
    """Compile every rule. Raises RuleError that says which."""
    rules = []
    for number, text in enumerate(texts):
        try:
            rules.append(compile_rule(text))
        except RuleError as error:
            raise RuleError(f"rule {number}: {error}") from None
    return AccessPolicy(allows, tuple(rules))


def compile_rule(text: str) -> Rule:
    """Compile a rule, and look that it names only what there is. Raises RuleError."""
    import cel  # takes 0.15 s, which a registry without rules need not wait for

    if not text.strip():
        raise RuleError("is empty")
    if len(text) > POLICY_RULE_CHARACTERS_MAX:
        raise RuleError(f"is longer than {POLICY_RULE_CHARACTERS_MAX} characters")
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise RuleError(f"is no CEL expression: {_one_line(error)}") from None
    variables = set(program.variables()) - {*VARIABLES, *_BOUND.findall(text)}
    functions = {name for name in program.functions() if _NAME.fullmatch(name)} - {*FUNCTIONS}
    for unknown in sorted(variables):
        raise RuleError(f"names {unknown}; known are {' and '.join(VARIABLES)}")
    for unknown in sorted(functions):
        raise RuleError(f"calls {unknown}; known are {', '.join(FUNCTIONS)}")
    return Rule(text, program)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
