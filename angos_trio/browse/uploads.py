"""Upload sessions: of a namespace, and of all that the caller sees."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from angos_trio.identity import Action, Caller, Target
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.housekeeping import UPLOAD_ACTIVE_SECS
from angos_trio.limits.lists import UPLOADS_EXAMINED_MAX
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.session_record import UploadSession


class Upload(Frozen):
    """A session: bytes that came so far, when it began in epoch seconds, whose it is, and for how
    many seconds nothing has come."""

    session: SessionId
    size: int
    started_at: int
    owner: str
    idle_secs: int
    namespace: RepositoryName

    @property
    def is_stale(self) -> bool:
        """Whether nothing came for so long that whoever began it has probably given up."""
        return self.idle_secs >= UPLOAD_ACTIVE_SECS


async def list_uploads(
    registry: Registry, name: RepositoryName, after: str, limit: int
) -> list[Upload]:
    """Sessions in the order of their ids, strictly after a text."""
    found = await registry.storage.sessions.of_namespace(name, after, limit)
    return await _measured(registry, found)


class UploadPage(Frozen):
    """A page, the oldest first; `next_after` is the start time and the id behind which the next one
    begins. It may be short, where the caller does not see some, and still have a next one."""

    uploads: list[Upload]
    next_after: tuple[int, str] | None


async def list_all_uploads(
    registry: Registry, caller: Caller, after: tuple[int, str], limit: int
) -> UploadPage:
    """Sessions of all namespaces that the caller sees and whose uploads they may list."""
    sessions = registry.storage.sessions
    examined = await sessions.oldest(after, UPLOADS_EXAMINED_MAX)
    names = sorted({session.namespace for session, _ in examined})
    shown = await _listed_for(caller, names)
    mine = [each for each in examined if each[0].namespace in shown]
    is_last = len(examined) < UPLOADS_EXAMINED_MAX and len(mine) <= limit
    page = mine[:limit]
    last = page[-1][0] if len(mine) > limit else examined[-1][0] if examined else None
    next_after = None if is_last or last is None else (last.started_at, str(last.id))
    return UploadPage(await _measured(registry, page), next_after)


async def _listed_for(caller: Caller, names: Sequence[RepositoryName]) -> set[RepositoryName]:
    deadline = trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX
    await caller.learn(names, deadline)
    found: set[RepositoryName] = set()
    with trio.move_on_at(deadline):
        for name in names:
            target = Target(name)
            if caller.sees(name) and (await caller.may(Action.LIST_UPLOADS, target)).allowed:
                found.add(name)
    return found


async def _measured(
    registry: Registry, found: Sequence[tuple[UploadSession, float]]
) -> list[Upload]:
    sessions = registry.storage.sessions
    sizes = await trio.to_thread.run_sync(
        lambda: [sessions.committed_offset(session.id) for session, _ in found]
    )
    return [
        Upload(
            session.id, size, session.started_at, session.owner, int(idle_secs), session.namespace
        )
        for (session, idle_secs), size in zip(found, sizes, strict=True)
    ]
