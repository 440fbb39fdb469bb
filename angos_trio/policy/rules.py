"""Rules in CEL, for policies of any kind: compiled once, and asked about facts."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Final

from angos_trio.limits.callers import POLICY_RULE_CHARACTERS_MAX
from angos_trio.records import Frozen

if TYPE_CHECKING:
    import cel

# The library imports its command line with itself: 0.4 s and five distributions for what is never
# called here, so an empty module stands for it.
sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))

FUNCTIONS: Final = (
    "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth",
    "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes",
    "getMonth", "getSeconds", "int", "matches", "size", "startsWith", "string", "timestamp",
    "type", "uint",
)  # fmt: skip
"""What every rule may call besides operators and the macros of CEL."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_BOUND = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*,")
"""A macro's own variable."""


class RuleError(ValueError):
    """A rule that cannot be used; says why in one line."""


class Rule(Frozen):
    """A rule: its text, and the program that it was compiled to."""

    text: str
    program: cel.Program

    def ask(self, context: cel.Context) -> bool | str:
        """Whether it holds; or what is wrong with it, in one line."""
        try:
            result = self.program.execute(context)
        except Exception as error:
            return f"the rule fails: {_one_line(error)}"
        return result if isinstance(result, bool) else "the rule says neither true nor false"


class Words(Frozen):
    """The variables and functions that rules of a kind may name."""

    variables: Sequence[str]
    functions: Sequence[str]


def compile_rule(text: str, words: Words) -> Rule:
    """Compile a rule, and look that it names only what there is. Raises RuleError."""
    import cel  # a registry without rules does not need its library of 6 MB

    if not text.strip():
        raise RuleError("is empty")
    if len(text) > POLICY_RULE_CHARACTERS_MAX:
        raise RuleError(f"is longer than {POLICY_RULE_CHARACTERS_MAX} characters")
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise RuleError(f"is no CEL expression: {_one_line(error)}") from None
    known = (*words.functions, *FUNCTIONS)
    called = {name for name in program.functions() if _NAME.fullmatch(name)}
    for unknown in sorted({*program.variables()} - {*words.variables, *_BOUND.findall(text)}):
        raise RuleError(f"names {unknown}; known are {' and '.join(words.variables)}")
    for unknown in sorted(called - {*known}):
        raise RuleError(f"calls {unknown}; known are {', '.join(known)}")
    return Rule(text, program)


def compile_rules(texts: Sequence[str], words: Words) -> tuple[Rule, ...]:
    """Compile every rule. Raises RuleError that says which."""
    rules = []
    for number, text in enumerate(texts):
        try:
            rules.append(compile_rule(text, words))
        except RuleError as error:
            raise RuleError(f"rule {number}: {error}") from None
    return tuple(rules)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
