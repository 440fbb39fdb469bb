"""Retention: rules in CEL that keep images. Facts in, verdict out; `now` is a fact.

An image stays when any rule is true. It also stays when a rule fails or says neither true nor
false and no other is true, and where there are no rules: only what every rule answers with false
goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from angos_trio.limits.housekeeping import RETENTION_TOP_MAX
from angos_trio.oci.names import longest_prefix
from angos_trio.policy.rules import Rule, RuleError, Words, compile_rules
from angos_trio.records import Frozen, field

if TYPE_CHECKING:
    import cel

TOP_PUSHED: Final = "top_pushed"
TOP_PULLED: Final = "top_pulled"
_UNITS: Final = {"minutes": 60, "hours": 3600, "days": 86_400}
WORDS: Final = Words(
    variables=("image",), functions=("now", *_UNITS, TOP_PUSHED, TOP_PULLED)
)  # fmt: skip
FIELDS: Final = (
    "tag", "digest", "pushed_at", "last_pulled_at", "pull_count", "size", "platform", "annotations",
    "media_type", "artifact_type",
)  # fmt: skip
PULL_FIELDS: Final = ("last_pulled_at", "pull_count")
_SECS_MAX: Final = 1 << 62
_STRING = re.compile(
    r"""'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|//[^\n]*""", re.DOTALL
)
_IMAGE = re.compile(r"(?<![\w.])image\b(?:\s*\.\s*(\w+))?")
_HAS = re.compile(r"\bhas\s*\(\s*image\b")
_TOP = re.compile(rf"\b({TOP_PUSHED}|{TOP_PULLED})\s*\((?:\s*([0-9]{{1,9}})\s*\))?")


class Image(Frozen):
    """What rules see of a tag, or of a manifest without one; None is what is not known, but for
    `tag`. Sizes in bytes; times in epoch seconds, `last_pulled_at` 0: never."""

    tag: str | None
    digest: str
    pushed_at: int | None
    media_type: str
    artifact_type: str = ""
    annotations: Mapping[str, str] | None = None
    last_pulled_at: int | None = None
    pull_count: int | None = None
    size: int | None = None
    platform: str | None = None

    def variables(self) -> dict[str, object]:
        """As rules name it. What is not known is left out: a rule that names it fails."""
        known = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in known.items() if value is not None or name == "tag"}


class Ranks(Frozen):
    """For each n that a rule asks for, the time that the n-th newest tag of the namespace carries;
    0 where fewer carry one. Tags of the same time rank alike."""

    pushed: Mapping[int, int] = field(default_factory=dict)
    pulled: Mapping[int, int] = field(default_factory=dict)


class Ground(StrEnum):
    """On which ground something stays, or goes."""

    RULE = "rule"
    FAILURE = "failure"
    """A rule fails, or says neither true nor false."""
    NO_RULES = "no_rules"
    IMMUTABLE = "immutable"
    """No rule keeps it, but its tag is immutable."""
    NOTHING = "nothing"
    """It goes."""


class Verdict(Frozen):
    """`rule` is the key's path of the rule that decided; `reason` is what is wrong with it."""

    ground: Ground
    rule: str | None = None
    reason: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether it stays."""
        return self.ground is not Ground.NOTHING


class KeepRule(Frozen):
    """A rule with the path of its key, and what it names."""

    path: str
    rule: Rule
    fields: frozenset[str]
    tops: frozenset[tuple[str, int]]
    """Functions that rank, each with its n."""

    @property
    def needs_pulls(self) -> bool:
        """Whether it is about pulls."""
        return bool(self.fields & {*PULL_FIELDS}) or any(
            name == TOP_PULLED for name, _ in self.tops
        )


class RetentionPolicy(Frozen):
    """The rules of a namespace."""

    rules: tuple[KeepRule, ...] = ()

    def names(self, variable: str) -> bool:
        """Whether a rule names this field of the image."""
        return any(variable in rule.fields for rule in self.rules)

    def tops(self, function: str) -> tuple[int, ...]:
        """Every n that a rule asks this function for."""
        found = {n for rule in self.rules for name, n in rule.tops if name == function}
        return tuple(sorted(found))

    @property
    def needs_pulls(self) -> bool:
        """Whether a rule is about pulls."""
        return any(rule.needs_pulls for rule in self.rules)


class RetentionRules(Frozen):
    """The rules for all, and those of each configured repository."""

    common: tuple[KeepRule, ...] = ()
    by_repository: Mapping[str, tuple[KeepRule, ...]] = field(default_factory=dict)

    def policy_for(self, namespace: str) -> RetentionPolicy:
        """The rules that may keep something here: those for all, and those of the repository."""
        name = longest_prefix(namespace, self.by_repository)
        return RetentionPolicy(self.common + (() if name is None else self.by_repository[name]))

    @property
    def is_any(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self.common) or any(self.by_repository.values())


class Judge:
    """Asks the rules of a policy about images, one at a time."""

    def __init__(self, policy: RetentionPolicy, now: int, ranks: Ranks) -> None:
        self._policy = policy
        self._now = now
        self._ranks = ranks
        self._image: Image | None = None
        self._is_unknown = False
        self._context: cel.Context | None = None

    def decide(self, image: Image) -> Verdict:
        """The first rule that is true keeps it, else the first that fails."""
        if not self._policy.rules:
            return Verdict(Ground.NO_RULES)
        context, failed = self._about(image), None
        for each in self._policy.rules:
            self._is_unknown = False
            answer = each.rule.ask(context)
            if answer is True:
                return Verdict(Ground.RULE, each.path)
            if answer is False and self._is_unknown:
                answer = "it asks for the rank of a time that is not known"
            if isinstance(answer, str) and failed is None:
                failed = Verdict(Ground.FAILURE, each.path, answer)
        return failed or Verdict(Ground.NOTHING)

    def _about(self, image: Image) -> cel.Context:
        import cel

        self._image = image
        if self._context is None:
            functions = {name: _times(secs) for name, secs in _UNITS.items()}
            functions["now"] = lambda *_: self._now
            functions[TOP_PUSHED] = self._top_pushed
            functions[TOP_PULLED] = self._top_pulled
            self._context = cel.Context(variables={}, functions=functions)
        self._context.add_variable("image", image.variables())
        return self._context

    def _top_pushed(self, *given: object) -> bool | None:
        at = None if self._image is None else self._image.pushed_at
        return self._is_among(at, self._ranks.pushed, given)

    def _top_pulled(self, *given: object) -> bool | None:
        at = None if self._image is None else self._image.last_pulled_at
        return self._is_among(at, self._ranks.pulled, given)

    def _is_among(
        self, at: int | None, times: Mapping[int, int], given: tuple[object, ...]
    ) -> bool | None:
        if self._image is None or self._image.tag is None:
            return False
        n = given[0] if len(given) == 1 else None
        if at is None or not isinstance(n, int) or n not in times:
            self._is_unknown = True  # nobody knows; a comparison would make it false
            return None
        return at > 0 and at >= times[n]


def _times(secs: int):  # type: ignore[no-untyped-def]
    """A function of a rule that gives so many times the seconds of a unit. It never raises, since
    the library would print that: null is no number, and fails where it is used as one."""

    def given(*counts: object) -> int | None:
        count = counts[0] if len(counts) == 1 else None
        if not isinstance(count, int) or isinstance(count, bool) or abs(count) > _SECS_MAX // secs:
            return None
        return count * secs

    return given


def last_pulled_at(noted_at: int, pushed_at: int, began_at: int | None) -> int | None:
    """When something was pulled last: `noted_at` is what was noted, 0 for never.

    What was there before pulls were noted, at `began_at`, may have been pulled until then; None
    when they are not noted.
    """
    if began_at is None:
        return None
    return max(noted_at, began_at) if pushed_at < began_at else noted_at


def compile_keep_rules(texts: Sequence[str], path: str) -> tuple[KeepRule, ...]:
    """Compile the rules of a key. Raises RuleError that says which, and what is wrong."""
    found = []
    for number, rule in enumerate(compile_rules(texts, WORDS)):
        try:
            fields, tops = _named(rule.text)
        except RuleError as error:
            raise RuleError(f"rule {number}: {error}") from None
        found.append(KeepRule(f"{path}[{number}]", rule, fields, tops))
    return tuple(found)


def _named(text: str) -> tuple[frozenset[str], frozenset[tuple[str, int]]]:
    """The fields of the image and the ranks that a rule names: only these are looked up."""
    plain = _STRING.sub("''", text)
    if _HAS.search(plain):
        raise RuleError("has() hides what is not known, which keeps; name the field itself")
    fields = [match[1] for match in _IMAGE.finditer(plain)]
    for name in fields:
        if name not in FIELDS:
            wrong = "image alone" if name is None else f"image.{name}"
            raise RuleError(f"names {wrong}; known are {', '.join(FIELDS)} of image")
    tops = []
    for match in _TOP.finditer(plain):
        n = int(match[2] or 0)
        if not 1 <= n <= RETENTION_TOP_MAX:
            raise RuleError(f"{match[1]} takes a number from 1 to {RETENTION_TOP_MAX}, written out")
        tops.append((match[1], n))
    return frozenset(fields), frozenset(tops)
