"""`/v2/_ext/_events`: what happened and what happens, as lines of JSON or over a WebSocket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from angos_trio.api.context import Runtime
from angos_trio.errors import only_error
from angos_trio.events.feed import Feed
from angos_trio.events.telling import data_for, is_for, learn
from angos_trio.http.call import Call, Standing
from angos_trio.http.reply import LinesReply, Reply, Say, SocketReply
from angos_trio.identity import DRAIN_EXTENSION, Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.lists import (
    EVENTS_BEHIND_MAX,
    EVENTS_HEARTBEAT_SECS,
    EVENTS_RECHECK_SECS,
    EVENTS_SLOW_SECS,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.pagination import parse_number
from angos_trio.records import Frozen
from angos_trio.storage.metadata.events import Stored

VERSION: Final = 1
"""Of the messages."""
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The second keeps proxies of a common kind from holding lines back."""
_FLAGS: Final = {"true": True, "false": False}


class Ending(Frozen):
    """Why a feed ends: the code that closes a WebSocket, and the word for it."""

    code: int
    reason: str


DONE: Final = Ending(1000, "done")
GOING_AWAY: Final = Ending(1001, "going away")
UNAVAILABLE: Final = Ending(1013, "unavailable")
LEFT: Final = Ending(1000, "left")
UNAUTHORIZED: Final = Ending(4401, "unauthorized")
DENIED: Final = Ending(4401, "denied")
TOO_MANY: Final = Ending(4429, "too many listeners")
_ENDINGS: Final = {401: UNAUTHORIZED, 403: DENIED}


class Wanted(Frozen):
    """What a listener asks for. `after` None: what happens from now on."""

    after: int | None
    follows: bool
    namespace: RepositoryName | None


class Events:
    """The handler of the path."""

    def __init__(self, runtime: Runtime) -> None:
        self._feed = runtime.feed

    async def get(self, call: Call) -> Reply:
        """GET: events after a cursor; over a WebSocket, or with `follow=true`, until either side
        ends it."""
        wanted = _wanted(call)
        if call.standing is None:
            raise RuntimeError("the gate has let nobody pass")
        listener = _Listener(call, call.standing, self._feed, wanted)
        if call.is_socket:
            return SocketReply(101, talk=listener.talk_in_frames)
        self._feed.require_place(call.caller.identity.limit_key)
        return LinesReply(200, dict(_HEADERS), talk=listener.talk_in_lines)


def _wanted(call: Call) -> Wanted:
    query = call.query
    after = query.one("after", Code.PAGINATION_NUMBER_INVALID)
    follow = query.one("follow", Code.NAME_INVALID) or str(call.is_socket).lower()
    namespace = query.one("namespace", Code.NAME_INVALID)
    if follow not in _FLAGS:
        raise OciError(Code.NAME_INVALID, message="follow is true or false", detail=follow)
    return Wanted(
        after=None if after is None else parse_number(after),
        follows=_FLAGS[follow],
        namespace=None if namespace is None else RepositoryName(namespace),
    )


@dataclass(slots=True)
class _Listener:
    """One feed, from its first message to its end. `cursor` is the id of the last event that it
    has passed, told or not."""

    call: Call
    standing: Standing
    feed: Feed
    wanted: Wanted
    cursor: int = 0
    ending: Ending | None = None
    renew_at: float = 0.0
    heartbeat_at: float = 0.0
    runs: frozenset[str] = frozenset()
    waiting: trio.CancelScope | None = field(default=None, repr=False)

    async def talk_in_lines(self, say: Say) -> None:
        """All of it as lines; the last one says why it ends, unless all was told."""
        ending = await self._talk(say)
        if ending is not DONE:
            await say({"v": VERSION, "type": "end", "reason": ending.reason})

    async def talk_in_frames(self, say: Say) -> tuple[int, str]:
        """All of it as messages; how to close."""
        ending = await self._talk(say)
        return ending.code, ending.reason

    async def _talk(self, say: Say) -> Ending:
        try:
            with self.feed.place(self.call.caller.identity.limit_key):
                return await self._watched(say)
        except OciError as error:
            if error.status == 429:
                return TOO_MANY
            raise

    async def _watched(self, say: Say) -> Ending:
        """Tell events, while somebody looks after what ends it. A message that is being sent is
        never cut off, since nothing could follow it."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._await_drain)
                if self.call.is_socket:
                    nursery.start_soon(self._hear)
                ending = await self._tell(say)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise only_error(group) from None
        return ending

    async def _await_drain(self) -> None:
        extensions: dict[str, Any] = self.call.request.scope.get("extensions", {})
        drain: trio.Event | None = extensions.get(DRAIN_EXTENSION)
        if drain is not None:
            await drain.wait()
            self._end(GOING_AWAY)

    async def _hear(self) -> None:
        while await self.call.body.hear():
            continue
        self._end(LEFT)

    def _end(self, ending: Ending) -> None:
        self.ending = self.ending or ending
        if self.waiting is not None:
            self.waiting.cancel()

    async def _tell(self, say: Say) -> Ending:
        try:
            await self._begin(say)
            while self.ending is None:
                await self._renew()
                if await self._tell_page(say):
                    continue
                if not self.wanted.follows:
                    await self._tell_place(say, "heartbeat")
                    return DONE
                await self._wait(say)
        except OciError as error:
            return _ENDINGS.get(error.status, UNAVAILABLE)
        return self.ending or DONE

    async def _begin(self, say: Say) -> None:
        """Who follows is told at once where they are, so that they can come back there."""
        now = trio.current_time()
        self.renew_at, self.heartbeat_at = now + EVENTS_RECHECK_SECS, now + EVENTS_HEARTBEAT_SECS
        after = self.wanted.after
        self.cursor = await self.feed.newest() if after is None else after
        if self.wanted.follows and not (await self.feed.read(self.cursor)).is_broken:
            await self._tell_place(say, "heartbeat")

    async def _renew(self) -> None:
        """Identity and rights once more, each minute and after each reload."""
        if self.standing.is_outdated or trio.current_time() >= self.renew_at:
            await self.standing.renew()
            self.renew_at = trio.current_time() + EVENTS_RECHECK_SECS

    async def _tell_page(self, say: Say) -> bool:
        """Tell what comes next; whether there was anything."""
        page = await self.feed.read(self.cursor)
        if page.is_broken:
            await self._reset(say, page.newest)
            return True
        await self._learn(page.events)
        begun_at = trio.current_time()
        await say.all(self._messages(page.events))
        if self.wanted.follows and trio.current_time() - begun_at > EVENTS_SLOW_SECS:
            newest = await self.feed.newest()
            if newest - self.cursor > EVENTS_BEHIND_MAX:
                await self._reset(say, newest)
        await self._beat(say)
        return bool(page.events)

    async def _reset(self, say: Say, newest: int) -> None:
        self.cursor = newest
        await self._tell_place(say, "reset")

    async def _wait(self, say: Say) -> None:
        """Wait for an event, for the next heartbeat, or for somebody who ends it."""
        if self.ending is not None:
            return  # it was ended while the last page was read
        with trio.CancelScope() as self.waiting:
            self.waiting.deadline = min(self.heartbeat_at, self.renew_at)
            await self.feed.wait(self.cursor)
        self.waiting = None
        if self.ending is None:
            await self._beat(say)

    async def _beat(self, say: Say) -> None:
        if self.wanted.follows and trio.current_time() >= self.heartbeat_at:
            self.heartbeat_at = trio.current_time() + EVENTS_HEARTBEAT_SECS
            await self._tell_place(say, "heartbeat")

    async def _tell_place(self, say: Say, kind: str) -> None:
        await say({"v": VERSION, "seq": self.cursor, "type": kind})

    async def _learn(self, found: Sequence[Stored]) -> None:
        """Let webhooks be asked before what they decide is needed."""
        deadline = trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX
        self.runs = await learn(self.standing.caller(), found, deadline)

    def _messages(self, found: Sequence[Stored]) -> Iterator[dict[str, Any]]:
        """What this caller is told of these events. Each is decided about when it is asked for,
        which is when there is room for it."""
        for event in found:
            if self.ending is not None:
                return
            self.cursor = event.id
            caller = self.standing.caller()
            if self._is_wanted(event) and is_for(caller, event, self.runs):
                yield _message(caller, event)

    def _is_wanted(self, event: Stored) -> bool:
        return self.wanted.namespace in (None, event.namespace)


def _message(caller: Caller, event: Stored) -> dict[str, Any]:
    return {
        "v": VERSION,
        "seq": event.id,
        "at": event.at,
        "type": event.kind,
        "ns": event.namespace or None,
        "actor": event.actor,
        "data": data_for(caller, event),
    }
