"""Runs that ended, told as events of the whole registry."""

from __future__ import annotations

from collections.abc import Mapping

from angos_trio.events.model import Event, EventKind, record
from angos_trio.oci.codes import OciError
from angos_trio.registry.context import Registry
from angos_trio.storage.transactions import Transaction
from angos_trio.telemetry.log import logger

_log = logger("maintenance.told")


async def tell_ended(
    registry: Registry, kind: EventKind, actor: str, came_to: Mapping[str, object]
) -> None:
    """Record that a run has ended, and what it came to. What it did is done: a disk or a switch
    that refuses this does not undo it, and then only the log tells of the run."""
    event = Event(kind, None, registry.now(), actor, came_to)

    def step(transaction: Transaction) -> None:
        record(transaction.rows, event)

    try:
        await registry.change(step)
    except OciError as error:
        _log.warning("run.untold", kind=str(kind), error=str(error.__cause__ or error))
