"""What a configuration says of retention: compiled rules."""

from __future__ import annotations

from angos_trio.config.model import Config
from angos_trio.config.model import RetentionPolicy as Section
from angos_trio.errors import OperatorError
from angos_trio.policy.retention import KeepRule, RetentionRules, compile_keep_rules
from angos_trio.policy.rules import RuleError


def retention_of(config: Config) -> RetentionRules:
    """The rules in force. Raises OperatorError with the key's path."""
    rules = RetentionRules(
        _compiled(config.global_.retention_policy, "global.retention_policy.rules"),
        {
            name: _compiled(
                repository.retention_policy, f'repository."{name}".retention_policy.rules'
            )
            for name, repository in config.repository.items()
        },
    )
    if not config.global_.update_pull_time:
        for rule in (
            *rules.common,
            *(each for some in rules.by_repository.values() for each in some),
        ):
            if rule.needs_pulls:
                raise OperatorError(
                    f"{rule.path}: is about pulls, which are not noted: "
                    "global.update_pull_time is false"
                )
    return rules


def _compiled(section: Section | None, path: str) -> tuple[KeepRule, ...]:
    if section is None:
        return ()
    try:
        return compile_keep_rules(section.rules, path)
    except RuleError as error:
        raise OperatorError(f"{path}: {error}") from None
