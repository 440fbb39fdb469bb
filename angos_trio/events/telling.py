"""What a caller is told of an event, wherever events are told: by the feed and by lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import trio

from angos_trio.events.model import EventKind, payload_of
from angos_trio.identity import Action, Caller, Target
from angos_trio.storage.metadata.events import Stored

_OF_OPERATOR: Final = frozenset({EventKind.KEY_CREATED, EventKind.KEY_REVOKED})
"""Told to the operator alone, as are the routes that these are about."""
_INTERNAL: Final = frozenset({"session"})
"""Of a payload what is nobody's business."""


_OF_RUNS: Final[Mapping[str, Action]] = {
    EventKind.GC_ENDED: Action.GET_COLLECTION,
    EventKind.SCRUB_ENDED: Action.GET_SCRUB,
}
"""Told to those who may see such runs."""


async def learn(caller: Caller, found: Sequence[Stored], deadline: float) -> frozenset[str]:
    """Let webhooks be asked what `is_for` and `data_for` need to know of these events, until the
    deadline of Trio's clock; the kinds of runs among them that the caller may see."""
    names = {name for event in found for name in names_of(event)}
    await caller.learn(sorted(names), deadline)
    seen = set()
    with trio.move_on_at(deadline):
        for kind in sorted({event.kind for event in found} & _OF_RUNS.keys()):
            if (await caller.may(_OF_RUNS[kind], Target())).allowed:
                seen.add(kind)
    return frozenset(seen)


def is_for(caller: Caller, event: Stored, runs: Collection[str]) -> bool:
    """Whether a caller is told of an event, `runs` being what `learn` said. What else happens to
    the registry itself is for everybody whom the gate has let in."""
    if event.namespace:
        return caller.sees(event.namespace)
    action = _OF_RUNS.get(event.kind)
    if action is not None:
        return event.kind in runs and caller.could(action, Target())
    return event.kind not in _OF_OPERATOR or caller.identity.method == "operator"


async def may_know_origins(caller: Caller) -> bool:
    """Whether a caller is told from where others came and with what: who may see how the registry
    is looks after it."""
    return (await caller.may(Action.GET_HEALTH, Target())).allowed


def data_for(caller: Caller, event: Stored) -> dict[str, Any]:
    """The payload as a caller is told it; a namespace that they do not see is null."""
    data = {key: value for key, value in payload_of(event).items() if key not in _INTERNAL}
    source = data.get("from")
    if source is not None and not caller.sees(source):
        data["from"] = None
    return data


def names_of(event: Stored) -> tuple[str, ...]:
    """The namespaces that an event names, which `Caller.learn` is to ask about."""
    names = (event.namespace, payload_of(event).get("from") or "")
    return tuple(name for name in names if name)
