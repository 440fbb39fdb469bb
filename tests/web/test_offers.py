"""What a page offers in its rows."""

from __future__ import annotations

import re

import pytest
import trio

from angos_trio.identity import Action, Caller, Target
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.policy.immutability import TagRule
from angos_trio.records import replace
from angos_trio.web.offers import deletable_of
from tests.registry.support import Asked, caller_of

NAME = RepositoryName("team/app")
TAGS = [Tag(f"v{number}") for number in range(100)]


def offered(caller: Caller, tags: list[Tag], rule: TagRule) -> set[str]:
    return trio.run(deletable_of, caller, NAME, tags, rule)


def test_page_of_a_hundred_rows_asks_no_more_than_once() -> None:
    asked = Asked()

    assert offered(caller_of(asked=asked), TAGS, TagRule()) == set(TAGS)
    assert asked.questions == [(Action.DELETE_MANIFEST, NAME)]


@pytest.mark.parametrize("readable", [None, frozenset[str]()])
def test_only_what_policies_let_go_is_offered(readable: frozenset[str] | None) -> None:
    def could(action: Action, target: Target) -> bool:
        return str(target.named["reference"]).endswith("7")

    caller = replace(caller_of(asked=Asked(readable)), could=could)
    wanted = {tag for tag in TAGS if tag.endswith("7")} if readable is None else set()
    assert offered(caller, TAGS, TagRule()) == wanted


def test_immutable_tags_are_not_offered_and_nobody_is_asked_about_them() -> None:
    asked = Asked()
    rule = TagRule(is_immutable=True, exclusions=(re.compile("v1"),))

    assert offered(caller_of(asked=asked), TAGS, rule) == {"v1"}
    assert offered(caller_of(asked=asked), TAGS[2:], rule) == set()
    assert len(asked.questions) == 1
