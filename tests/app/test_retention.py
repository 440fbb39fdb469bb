"""Retention rules of a configuration: compiled at the start, or refused with the key's path."""

from __future__ import annotations

from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from tests.factories import make_plan

RULES = {"rules": ["true", "image.last_pulled_at > 1"]}


def test_rules_are_compiled_with_the_paths_of_their_keys(tmp_path: Path) -> None:
    plan = make_plan(
        tmp_path,
        global_={"retention_policy": RULES, "prune_interval_secs": 60},
        repository={"team": {"retention_policy": {"rules": ["top_pushed(3)"]}}, "other": {}},
    )

    assert [rule.path for rule in plan.retention.policy_for("team/app").rules] == [
        "global.retention_policy.rules[0]",
        "global.retention_policy.rules[1]",
        'repository."team".retention_policy.rules[0]',
    ]
    assert plan.limits.prune_interval_secs == 60


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"global_": {"retention_policy": RULES, "update_pull_time": False}},
            "global.retention_policy.rules[1]: is about pulls, which are not noted: "
            "global.update_pull_time is false",
        ),
        (
            {
                "global_": {"update_pull_time": False},
                "repository": {"team": {"retention_policy": {"rules": ["top_pulled(1)"]}}},
            },
            'repository."team".retention_policy.rules[0]: is about pulls, which are not noted: '
            "global.update_pull_time is false",
        ),
        (
            {"global_": {"retention_policy": {"rules": ["true", "tag == 'x'"]}}},
            "global.retention_policy.rules: rule 1: names tag; known are image",
        ),
    ],
)
def test_rule_that_cannot_be_followed_is_refused(
    tmp_path: Path, tables: dict[str, dict[str, object]], message: str
) -> None:
    with pytest.raises(OperatorError) as refused:
        make_plan(tmp_path, **tables)

    assert str(refused.value) == message


def test_without_rules_about_pulls_they_need_not_be_noted(tmp_path: Path) -> None:
    rules = {"rules": ["top_pushed(1)"]}
    plan = make_plan(tmp_path, global_={"retention_policy": rules, "update_pull_time": False})

    assert plan.retention.is_any
