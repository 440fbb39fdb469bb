"""A new configuration while the registry serves: all of it is looked at beside the old, then
swapped; what is refused changes nothing."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from angos_trio.api.context import Runtime, note_nothing
from angos_trio.app.authentication import Doors, gate_of
from angos_trio.app.building import build_application, limits_of
from angos_trio.app.certificates import load_tls
from angos_trio.app.plan import Plan, make_plan
from angos_trio.app.services import CONFIGURATION, tell
from angos_trio.config.model import Config
from angos_trio.config.parse import ParsedConfig
from angos_trio.config.reload import keep_what_is_set_at_the_start
from angos_trio.errors import OperatorError
from angos_trio.http.gate import Gate
from angos_trio.limits.processes import RELOAD_REASON_CHARACTERS_MAX
from angos_trio.mirror.pull import puller_of
from angos_trio.records import Mutable, replace
from angos_trio.storage.metadata.services import Report
from angos_trio.storage.store import Storage
from angos_trio.telemetry import log

if TYPE_CHECKING:
    from angos_trio.pki.server import ServerTls

_log = log.logger("app")
ReadAgain = Callable[[], ParsedConfig]
"""Reads the files and options that the registry was started with once more. Raises OperatorError.
"""


class Serving(Mutable):
    """What a process serves now: an ASGI application that the next request meets."""

    plan: Plan
    runtime: Runtime
    doors: Doors
    worker: str
    application: Callable[..., Awaitable[None]]
    gate: Gate
    tls: ServerTls | None = None
    """Certificates that wait to be taken with the rest of this."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request, or the beginning or end of the application's life."""
        await self.application(scope, receive, send)

    async def prepare(self, plan: Plan) -> Serving:
        """The same with another plan, beside this one. Requests go on counting where they were."""
        registry = replace(self.runtime.registry, **limits_of(plan))
        runtime = replace(self.runtime, registry=registry)
        prepared = serve_by(plan, runtime, self.doors, self.worker)
        if self.doors.tls is not None:
            # Files, and signatures to check: requests go on meanwhile.
            prepared.tls = await trio.to_thread.run_sync(load_tls, plan.tls)
        return prepared

    def become(self, other: Serving) -> None:
        """Swap; requests that are under way end as they began, but for those that ask anew."""
        self.plan, self.runtime, self.application = other.plan, other.runtime, other.application
        self.gate = self.doors.gate = other.gate
        if other.tls is not None and self.doors.tls is not None:
            self.doors.tls.swap(other.tls)
        log.configure(other.plan.config.observability.log_level)

    @property
    def notes_pulls(self) -> bool:
        """Whether pulls are counted."""
        return self.plan.config.global_.update_pull_time

    @property
    def expiry_secs(self) -> int:
        """After which an upload session is dropped."""
        return self.plan.config.global_.upload_expiry_secs


def serve_by(plan: Plan, runtime: Runtime, doors: Doors, worker: str) -> Serving:
    """What a worker of this name serves."""
    callers = doors.callers(plan.authentication)
    runtime = replace(
        runtime,
        token_for=callers.token_for,
        note_pull=note_nothing,
        sign_in=callers.sign_in(),
    )
    if plan.config.global_.update_pull_time:
        runtime = replace(runtime, note_pull=doors.pull_times.note)
    if runtime.arriving is not None:
        runtime = replace(runtime, through=partial(puller_of, plan.mirrors, runtime.arriving))
    named = worker if plan.config.observability.worker_header else None
    gate = gate_of(plan.authentication, callers, doors.gate_in_force)
    if doors.gate is None:
        doors.gate = gate
    application = build_application(
        runtime, gate, named, plan.config.ui, plan.methods, plan.mirrors.by_registry
    )
    return Serving(plan, runtime, doors, worker, application, gate)


def read_anew(read_again: ReadAgain, old: Plan, *, is_local: bool) -> Plan:
    """What the files say now, with what only a start can change as it was. Raises OperatorError.

    `is_local`: nobody but this host reaches the sockets.
    """
    try:
        parsed = read_again()
        config, needing = keep_what_is_set_at_the_start(old.config, parsed.config)
        plan = plan_anew(config, old)
    except OSError as error:
        raise OperatorError(str(error)) from error
    if plan.access.loopback_only and not is_local:
        raise OperatorError("without a [global.access_policy] nothing says who may do what")
    if needing:
        _log.warning("reload.needs_restart", keys=needing)
    return plan


def plan_anew(config: Config, old: Plan) -> Plan:
    """A plan for so many processes as there are. Raises OperatorError."""
    return replace(make_plan(config, is_configured=True), workers=old.workers)


def tell_reloaded() -> None:
    """The log line of a reload that everybody took."""
    _log.info("reload.done")


def tell_refused(reason: str) -> None:
    """The log line of one that changed nothing."""
    _log.error("reload.refused", reason=reason)


async def note_outcome(storage: Storage, refused: str | None) -> None:
    """Let `/readyz` and the metrics tell how the last reload ended."""
    problem = None if refused is None else refused[:RELOAD_REASON_CHARACTERS_MAX]
    await tell(storage, Report(CONFIGURATION, problem, int(refused is not None), time.monotonic()))


async def reload_alone(
    serving: Serving, storage: Storage, read_again: ReadAgain, *, is_local: bool
) -> str | None:
    """A reload where one process does everything. Why it was refused; None if it was not."""
    anew = partial(read_anew, read_again, serving.plan, is_local=is_local)
    try:
        serving.become(await serving.prepare(await trio.to_thread.run_sync(anew)))
    except OperatorError as error:
        tell_refused(str(error))
        await note_outcome(storage, str(error))
        return str(error)
    tell_reloaded()
    await note_outcome(storage, None)
    return None
