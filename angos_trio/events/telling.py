"""What a caller is told of an event, wherever events are told: by the feed and by lists."""

from __future__ import annotations

import json
from typing import Any, Final

from angos_trio.events.model import EventKind
from angos_trio.identity import Caller
from angos_trio.storage.metadata.events import Stored

_OF_OPERATOR: Final = frozenset({EventKind.KEY_CREATED, EventKind.KEY_REVOKED})
"""Told to the operator alone, as are the routes that these are about."""
_INTERNAL: Final = frozenset({"session"})
"""Of a payload what is nobody's business."""


def is_for(caller: Caller, event: Stored) -> bool:
    """Whether a caller is told of an event. What happens to the registry itself is for everybody
    whom the gate has let in."""
    if event.namespace:
        return caller.sees(event.namespace)
    return event.kind not in _OF_OPERATOR or caller.identity.method == "operator"


def data_for(caller: Caller, event: Stored) -> dict[str, Any]:
    """The payload as a caller is told it; a namespace that they do not see is null."""
    data = {key: value for key, value in _payload(event).items() if key not in _INTERNAL}
    source = data.get("from")
    if source is not None and not caller.sees(source):
        data["from"] = None
    return data


def names_of(event: Stored) -> tuple[str, ...]:
    """The namespaces that an event names, which `Caller.learn` is to ask about."""
    names = (event.namespace, _payload(event).get("from") or "")
    return tuple(name for name in names if name)


def _payload(event: Stored) -> dict[str, Any]:
    """What is damaged says nothing."""
    try:
        found = json.loads(event.payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
