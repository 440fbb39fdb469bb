"""The switch that makes the whole registry read-only, for every process at once."""

from __future__ import annotations

from angos_trio.events.model import Event, EventKind, record
from angos_trio.identity import Caller
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import switches
from angos_trio.storage.metadata.switches import Switched
from angos_trio.storage.transactions import Transaction


async def find_read_only(registry: Registry) -> Switched | None:
    """Since when the registry is read-only, and who did it; None when it takes changes."""
    return await registry.storage.read_point(switches.find_read_only)


async def begin_read_only(registry: Registry, caller: Caller) -> Switched:
    """Take no changes from now on. Where that is so already, it stays as it is.

    What is being uploaded goes on as far as its request goes, and is not committed.
    """
    wanted = Switched(registry.now(), caller.identity.owner)

    def step(transaction: Transaction) -> Switched:
        found = switches.find_read_only(transaction.rows)
        if found is not None:
            return found
        switches.set_read_only(transaction.rows, wanted)
        record(
            transaction.rows,
            Event(EventKind.READ_ONLY_BEGUN, None, wanted.since, wanted.by, {}, caller.origin),
        )
        return wanted

    return await registry.storage.write(step, makes_room=True)


async def end_read_only(registry: Registry, caller: Caller) -> None:
    """Take changes again."""
    ended = Event(
        EventKind.READ_ONLY_ENDED, None, registry.now(), caller.identity.owner, {}, caller.origin
    )

    def step(transaction: Transaction) -> None:
        if switches.end_read_only(transaction.rows):
            record(transaction.rows, ended)

    await registry.storage.write(step, makes_room=True)
