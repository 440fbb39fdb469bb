"""Pages that follow what happens: which event a page stands for, and what it is told about.

The cursor is read before anything else of a page, so what happens while the page is made, sent and
drawn comes over the feed: once too often at worst, never not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from angos_trio.browse.activity import newest_event
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action, Target
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry

Handler = Callable[[Call], Awaitable[Reply]]
CURSOR: Final = "cursor"
"""Among the values of a call: the id of the newest event before the page was made."""


class Live(Frozen):
    """What the script of a page needs to follow the feed.

    `cursor` is empty for those who may not listen. `name` is the namespace that the page is about,
    or what is above several (`is_deep`); empty for all of the registry. `of` is the digest that the
    page of a manifest shows.
    """

    cursor: str
    name: str = ""
    is_deep: bool = False
    tag: str = ""
    of: str = ""


def following(registry: Registry, handler: Handler) -> Handler:
    """The handler of a page that follows the feed."""

    async def answer(call: Call) -> Reply:
        call.values = {**call.values, CURSOR: await _cursor(registry, call)}
        return await handler(call)

    return answer


async def _cursor(registry: Registry, call: Call) -> str:
    """The newest event's id for those who may listen, or nothing: the socket of others would only
    be refused."""
    decision = await call.caller.may(Action.GET_EVENTS, Target())
    return str(await newest_event(registry)) if decision.allowed else ""


def live_of(call: Call, *, is_deep: bool = False, tag: str = "", of: str = "") -> Live:
    """What a page follows, by the call that asks for it."""
    name = call.values.get("name", "")
    return Live(call.values.get(CURSOR, ""), name, is_deep, tag, of)
