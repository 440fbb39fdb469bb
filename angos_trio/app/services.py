"""What is not a request: services of the steward, each started anew when it fails."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from angos_trio.errors import only_error
from angos_trio.limits.processes import (
    CHILD_BACKOFF_SECS_MAX,
    CHILD_BACKOFF_SECS_MIN,
    EVENT_SECS_MAX,
    PRUNE_ROWS,
    PRUNE_SECS,
    RECOVERY_SECS,
    REPORT_SECS,
    SWEEP_SECS,
)
from angos_trio.maintenance.forget import expire_pulls, forget_gone
from angos_trio.oci.codes import OciError
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.registry.push_blob import complete_interrupted
from angos_trio.registry.read_only import find_read_only
from angos_trio.storage.metadata import events, services
from angos_trio.storage.metadata.services import Report
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Transaction
from angos_trio.telemetry.log import logger

_log = logger("steward")
STEWARD: Final = "steward"
"""Its services report as `steward.<service>`."""
CONFIGURATION: Final = f"{STEWARD}.configuration"
"""How the last reload ended."""
CERTIFICATES: Final = f"{STEWARD}.certificates"
"""How the files of certificates are doing."""


def is_service(name: str) -> bool:
    """Whether a report is of a service; else it is of a process."""
    return name.startswith(f"{STEWARD}.")


async def expire(registry: Registry, expiry_secs: Callable[[], int]) -> None:
    """Drop upload sessions that nothing came to for long; each minute, unless it is read-only."""
    sessions = registry.storage.sessions
    while True:
        is_asleep = await find_read_only(registry) is not None
        idle_since = time.monotonic() - expiry_secs()
        for session in [] if is_asleep else await sessions.idle_since(idle_since):
            _log.info("upload.expired", session=session)
            await sessions.discard(session)
        await trio.sleep(SWEEP_SECS)


async def recover(registry: Registry) -> None:
    """Give back what dead processes held, and complete what they were finishing."""
    while True:
        interrupted = await registry.storage.recover_from_dead_processes()
        completed = await complete_interrupted(registry, interrupted)
        if interrupted:
            _log.info("uploads.recovered", found=len(interrupted), completed=completed)
        await trio.sleep(RECOVERY_SECS)


async def forget(registry: Registry) -> None:
    """Remove pulls of what is gone, and those that are old; each hour."""
    while True:
        await trio.sleep(PRUNE_SECS)
        await forget_gone(registry.storage)
        await expire_pulls(registry.storage, registry.now())


async def trim(registry: Registry) -> None:
    """Remove events that are older than 30 days; each hour, a thousand in one change."""
    while True:
        before = registry.now() - EVENT_SECS_MAX

        def step(transaction: Transaction, before: int = before) -> int:
            return events.prune(transaction.rows, before, PRUNE_ROWS)

        with suppress(ReadOnlyError):
            while await registry.change(step, makes_room=True) == PRUNE_ROWS:
                await trio.lowlevel.checkpoint()
        await trio.sleep(PRUNE_SECS)


async def refill(registry: Registry) -> None:
    """Make the ballast again when space allows; each minute."""
    storage = registry.storage
    while True:
        await trio.to_thread.run_sync(storage.ballast.restore, storage.settings.reserve_bytes)
        await trio.sleep(SWEEP_SECS)


Services = Mapping[str, Callable[[], Awaitable[None]]]


async def run_services(storage: Storage, wanted: Services) -> None:
    """Run them all until cancelled; one that fails is started anew, later each time."""
    async with trio.open_nursery() as nursery:
        for name, service in wanted.items():
            nursery.start_soon(_keep_running, storage, name, service)


async def _keep_running(
    storage: Storage, name: str, service: Callable[[], Awaitable[None]]
) -> None:
    failures = 0
    await _report(storage, name, None, failures)
    while True:
        begun_at = trio.current_time()
        try:
            async with trio.open_nursery() as beside:
                if failures:
                    beside.start_soon(_forgive, storage, name, failures)
                await service()
                beside.cancel_scope.cancel()
        except Exception as group:
            error = only_error(group)
            if trio.current_time() - begun_at > 2 * CHILD_BACKOFF_SECS_MAX:
                failures = 0
            wait_secs = min(CHILD_BACKOFF_SECS_MAX, CHILD_BACKOFF_SECS_MIN * 2 ** min(failures, 16))
            failures += 1
            problem = f"{type(error).__name__}: {error}"
            secs = round(wait_secs, 1)
            if isinstance(error, OciError):  # a disk's refusal has been foreseen: no traceback
                _log.error("service.failed", service=name, error=problem, restart_secs=secs)
            else:
                _log.exception("service.failed", service=name, error=problem, restart_secs=secs)
            await _report(storage, name, problem, failures)
            await trio.sleep(wait_secs)
            continue
        return


async def _forgive(storage: Storage, name: str, failures: int) -> None:
    """A service that has gone on for a minute is well again."""
    await trio.sleep(2 * CHILD_BACKOFF_SECS_MAX)
    await _report(storage, name, None, failures)


async def _report(storage: Storage, name: str, problem: str | None, failures: int) -> None:
    await tell(storage, Report(f"{STEWARD}.{name}", problem, failures, time.monotonic()))


async def tell(storage: Storage, report: Report) -> None:
    """Let all processes know of it, unless the disk refuses."""
    try:
        await storage.shared.run(partial(services.put, report=report))
    except OciError as error:
        _log.warning("report.failed", error=str(error))


async def report_alive(storage: Storage, name: str) -> None:
    """Tell the others each few seconds that this process runs, and whether it can write."""
    while True:
        await tell(storage, Report(name, storage.broken, 0, time.monotonic()))
        await trio.sleep(REPORT_SECS)
