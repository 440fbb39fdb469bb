"""Who is told of the end of a run: who may see such runs, by policy and webhook both."""

from __future__ import annotations

import math

import pytest
import trio

from angos_trio.events.model import EventKind
from angos_trio.events.telling import is_for, learn, may_know_origins
from angos_trio.identity import Action, Caller, Decision, Target
from angos_trio.records import replace
from angos_trio.storage.metadata.events import Stored
from tests.registry.support import caller_of

RUNS = [
    Stored(number, 1, kind, "", "registry::x", "{}")
    for number, kind in enumerate((EventKind.GC_ENDED, EventKind.SCRUB_ENDED))
]
TAGGED = Stored(9, 1, EventKind.TAG_CREATED, "team/app", "me", "{}")


def caller(policies: set[Action], webhook: set[Action]) -> tuple[Caller, list[Action]]:
    """One whom policies, and beside them a webhook, allow some actions; and what was asked."""
    asked: list[Action] = []

    async def may(action: Action, target: Target) -> Decision:
        assert target == Target()
        asked.append(action)
        return Decision(action in policies & webhook, "test")

    def could(action: Action, target: Target) -> bool:
        return action in policies

    return replace(caller_of("alice"), may=may, could=could), asked


@pytest.mark.parametrize(
    ("policies", "webhook", "expected"),
    [
        ({Action.GET_COLLECTION}, {Action.GET_COLLECTION}, [EventKind.GC_ENDED]),
        ({Action.GET_SCRUB}, {Action.GET_COLLECTION, Action.GET_SCRUB}, [EventKind.SCRUB_ENDED]),
        ({Action.GET_COLLECTION, Action.GET_SCRUB}, set(), []),
        (set(), {Action.GET_COLLECTION}, []),
    ],
)
def test_run_is_told_where_policy_and_webhook_let_it(
    policies: set[Action], webhook: set[Action], expected: list[EventKind]
) -> None:
    who, _ = caller(policies, webhook)
    runs = trio.run(learn, who, RUNS, math.inf)

    assert [event.kind for event in RUNS if is_for(who, event, runs)] == expected


def test_rules_of_now_count_for_what_was_asked_before() -> None:
    everything = {Action.GET_COLLECTION}
    who, _ = caller(everything, everything)
    runs = trio.run(learn, who, RUNS, math.inf)
    later, _ = caller(set(), everything)

    assert is_for(who, RUNS[0], runs)
    assert not is_for(later, RUNS[0], runs)


def test_nothing_is_asked_where_there_are_no_runs() -> None:
    who, asked = caller(set(), set())
    runs = trio.run(learn, who, [TAGGED] * 3, math.inf)

    assert is_for(who, TAGGED, runs)
    assert asked == []


@pytest.mark.parametrize("may_see", [True, False])
def test_origins_are_for_who_may_see_how_the_registry_is(may_see: bool) -> None:
    allowed = {Action.GET_HEALTH} if may_see else {Action.GET_STORAGE, Action.GET_ACTIVITY}
    who, _ = caller(allowed, allowed)

    assert trio.run(may_know_origins, who) is may_see
