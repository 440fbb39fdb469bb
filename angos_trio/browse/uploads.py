"""The upload sessions of a namespace."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.registry.context import Registry


@dataclass(frozen=True, slots=True)
class Upload:
    """A session: bytes that came so far, when it began in epoch seconds, whose it is, and for how
    many seconds nothing has come."""

    session: SessionId
    size: int
    started_at: int
    owner: str
    idle_secs: int


async def list_uploads(
    registry: Registry, name: RepositoryName, after: str, limit: int
) -> list[Upload]:
    """Sessions in the order of their ids, strictly after a text."""
    sessions = registry.storage.sessions
    found = await sessions.of_namespace(name, after, limit)
    sizes = await trio.to_thread.run_sync(
        lambda: [sessions.committed_offset(session.id) for session, _ in found]
    )
    return [
        Upload(session.id, size, session.started_at, session.owner, int(idle_secs))
        for (session, idle_secs), size in zip(found, sizes, strict=True)
    ]
