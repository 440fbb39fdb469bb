"""A registry in several processes: workers that answer, a steward, and their supervisor."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import trio

from angos_trio.app.alone import (
    SWITCH_SECS,
    forget_control,
    listen_for_control,
    listening_sockets,
    log_started,
    serve_probes,
    stop_signals,
    worker_name,
)
from angos_trio.app.authentication import doors_of
from angos_trio.app.building import (
    build_operator_application,
    build_registry,
    build_runtime,
    run_beside,
    users_of,
)
from angos_trio.app.certificates import follow_files, load_tls, open_tls, secured
from angos_trio.app.housekeeping import housekeeping_of
from angos_trio.app.plan import Plan
from angos_trio.app.reload import (
    ReadAgain,
    Serving,
    note_outcome,
    plan_anew,
    read_anew,
    serve_by,
    tell_refused,
    tell_reloaded,
)
from angos_trio.app.reporting import watch_problems
from angos_trio.app.services import STEWARD, report_alive, run_services
from angos_trio.app.timekeeping import keep_time, tell_time
from angos_trio.auth.remembered import Remembered
from angos_trio.config.reload import decode, encode
from angos_trio.errors import OperatorError
from angos_trio.events.handing_on import begin_cursors
from angos_trio.limits.processes import CHILD_ALIVE_SECS
from angos_trio.records import Mutable
from angos_trio.registry.push_blob import complete_interrupted
from angos_trio.server.child import Child, run_once
from angos_trio.server.link import Drop, Link, Offer, Take
from angos_trio.server.reporting import Look, Reporter
from angos_trio.server.serve import serve
from angos_trio.server.sockets import TurnListener, Turns, is_local, listeners_of, places_of
from angos_trio.server.supervisor import HURRY_SIGNAL, Supervisor
from angos_trio.storage.directory import DataDirectory, take_instance_lock
from angos_trio.storage.files import Files
from angos_trio.storage.shared import clear_counter_file, make_counter_files
from angos_trio.storage.store import Storage, begin_storage, join_storage
from angos_trio.telemetry import log
from angos_trio.telemetry.metrics import in_flight_file, share, shared_files


class _Family(Mutable):
    """What all processes are forked with; `plan` is what counts when one is forked."""

    plan: Plan
    files: Files | None
    directory: DataDirectory
    sockets: list[socket.socket]
    probes: list[socket.socket]
    control: socket.socket
    turns: Turns
    read_again: ReadAgain | None
    remembered: Remembered

    def offer(self) -> bytes | str:
        """What the files say now, for all to look at; or why there is nothing to look at."""
        if self.read_again is None:
            return "there is nothing to read again"
        is_local_only = all(map(is_local, self.sockets))
        try:
            plan = read_anew(self.read_again, self.plan, is_local=is_local_only)
        except OperatorError as error:
            return str(error)
        return encode(plan.config)

    def settle(self, outcome: bytes | str) -> None:
        """All took the configuration; or none did, and why."""
        if isinstance(outcome, bytes):
            self.plan = plan_anew(decode(outcome), self.plan)
            log.configure(self.plan.config.observability.log_level)
            tell_reloaded()
        else:
            tell_refused(outcome)


def serve_family(
    plan: Plan,
    files: Files | None = None,
    read_again: ReadAgain | None = None,
    reporter: Reporter | None = None,
) -> int:
    """Serve with several workers until SIGTERM or SIGINT; the exit code. Raises OperatorError.

    `read_again` is called when SIGHUP comes; `reporter` tells a service manager how it goes.
    """
    reporter = reporter or Reporter()
    # A certificate that is refused leaves no data directory behind. It is told of here, once; and
    # what certificates need is shared.
    load_tls(plan.tls)
    directory = DataDirectory(plan.storage.root)
    lock = take_instance_lock(directory)
    try:
        sockets, probes = listening_sockets(plan)
        starting = partial(_stay_starting, reporter)
        starting()
        run_once("begin", partial(_in_loop, _begin, plan, files), starting)
        reporter.places = places_of(sockets)
        names = [*map(worker_name, range(plan.workers)), STEWARD]
        make_counter_files(directory, [file for name in names for file in shared_files(name)])
        control, turns = listen_for_control(plan), Turns(plan.workers)
        family = _Family(
            plan=plan,
            files=files,
            directory=directory,
            sockets=sockets,
            probes=probes,
            control=control,
            turns=turns,
            read_again=read_again,
            remembered=Remembered(),
        )
        code = _supervisor(family, reporter).run()
        forget_control(plan)
    finally:
        os.close(lock)
    log.logger("app").info("stopped")
    return code


def _stay_starting(reporter: Reporter) -> None:
    reporter.go_round(Look(), time.monotonic())


def _supervisor(family: _Family, reporter: Reporter) -> Supervisor:
    plan = family.plan
    workers = [
        Child(worker_name(number), partial(_in_loop, _work, family, number))
        for number in range(plan.workers)
    ]
    # The steward is stopped last: it looks after what the workers leave.
    steward = Child(STEWARD, partial(_in_loop, _look_after, family), rank=1)
    return Supervisor(
        children=[*workers, steward],
        drain_secs=plan.serve.drain_secs,
        on_ready=lambda: log_started(family.sockets, plan.workers, None),
        on_hangup=family.offer,
        on_reload=family.settle,
        reporter=reporter,
        connections=family.turns.total,
    )


def _in_loop(main: Callable[..., Awaitable[None]], *arguments: object) -> None:
    """Run a process's async part to its end."""
    sys.setswitchinterval(SWITCH_SECS)
    trio.run(partial(main, *arguments))


async def _begin(plan: Plan, files: Files | None, link: Link) -> None:
    """See to what an earlier instance left, before anybody serves."""
    async with begin_storage(plan.storage, files, is_alone=False) as storage:
        await keep_time(storage)
        tell_time()
        completed = await complete_interrupted(build_registry(plan, storage), storage.interrupted)
        await begin_cursors(storage, plan.endpoints)  # what happens from now on is told
    log.logger("app").info("begun", completed_uploads=completed)


def stops_of(signals: AsyncIterator[int]) -> Callable[[], Awaitable[None]]:
    """What to wait for: the first time for any signal, then for the one that means at once.

    A service manager may tell every process to stop, and the supervisor tells them too.
    """
    wanted = iter([{signal.SIGTERM, HURRY_SIGNAL}, {HURRY_SIGNAL}])

    async def wait() -> None:
        kinds = next(wanted, set())
        async for kind in signals:
            if kind in kinds:
                return

    return wait


async def _be_alive(link: Link) -> None:
    while True:
        link.alive()
        await trio.sleep(CHILD_ALIVE_SECS)


async def _follow(link: Link, serving: Serving, storage: Storage | None = None) -> None:
    """Look at what the supervisor offers, and take it when all can; until cancelled.

    With a storage this process tells all how it ended.
    """
    prepared: Serving | None = None
    while True:
        await trio.lowlevel.wait_readable(link)
        match link.hear():
            case Offer() as offer:
                prepared = await _prepare(link, offer, serving)
            case Take() if prepared is not None:
                serving.become(prepared)
                if storage is not None:
                    await note_outcome(storage, None)
            case Drop(reason):
                prepared = None
                if storage is not None:
                    await note_outcome(storage, reason)


async def _prepare(link: Link, offer: Offer, serving: Serving) -> Serving | None:
    try:
        prepared = await serving.prepare(plan_anew(decode(offer.content), serving.plan))
    except (OperatorError, ValueError) as error:
        link.refuse(offer, f"{type(error).__name__}: {error}")
        return None
    link.accept(offer)
    return prepared


def _name_process(family: _Family, name: str) -> None:
    log.name_process(name)
    clear_counter_file(family.directory, in_flight_file(name))
    share(family.directory.metrics, name)


async def _work(family: _Family, number: int, link: Link) -> None:
    """A worker: requests, and what this process holds."""
    plan, name = family.plan, worker_name(number)
    _name_process(family, name)
    family.turns.tell(number, 0)
    with stop_signals(signal.SIGTERM, HURRY_SIGNAL) as signals:
        async with join_storage(plan.storage, family.files, processes=plan.workers) as storage:
            await keep_time(storage)
            runtime = build_runtime(build_registry(plan, storage))
            tls = await trio.to_thread.run_sync(open_tls, plan.tls)
            doors = doors_of(storage, tls, family.remembered, processes=plan.workers)
            serving = serve_by(plan, runtime, doors, name)
            inner = listeners_of(family.sockets)
            listeners = [TurnListener(each, family.turns, number) for each in inner]
            tell = partial(family.turns.tell, number)
            async with trio.open_nursery() as services:
                services.start_soon(_be_alive, link)
                services.start_soon(storage.sessions.run)
                services.start_soon(run_beside, runtime)
                services.start_soon(report_alive, storage, name)
                services.start_soon(doors.last_uses.run)
                services.start_soon(doors.pull_times.run, lambda: serving.notes_pulls)
                services.start_soon(_follow, link, serving)
                services.start_soon(serve_probes, plan, runtime, family.probes)
                if tls is not None:
                    services.start_soon(follow_files, tls)
                options = secured(plan.serve, tls, plan.config.server.handshake_timeout)
                await serve(serving, listeners, options, stops_of(signals), tell, link.ready)
                services.cancel_scope.cancel()


async def _look_after(family: _Family, link: Link) -> None:
    """The steward: services, and requests of the operator."""
    plan = family.plan
    _name_process(family, STEWARD)
    with stop_signals(signal.SIGTERM, HURRY_SIGNAL) as signals:
        async with join_storage(plan.storage, family.files, processes=plan.workers) as storage:
            await keep_time(storage)
            runtime = build_runtime(build_registry(plan, storage))
            tls = await trio.to_thread.run_sync(open_tls, plan.tls)
            serving = serve_by(plan, runtime, doors_of(storage, tls), STEWARD)
            keeping = housekeeping_of(
                runtime,
                lambda: serving.runtime.registry,
                lambda name: serving.runtime.puller(name),
            )
            operator = build_operator_application(
                runtime, lambda: users_of(serving.plan.config), keeping.hold
            )
            services_wanted = keeping.services(lambda: serving.expiry_secs)
            async with trio.open_nursery() as services:
                services.start_soon(_be_alive, link)
                services.start_soon(storage.sessions.run)
                services.start_soon(run_beside, runtime)
                services.start_soon(report_alive, storage, STEWARD)
                services.start_soon(run_services, storage, services_wanted)
                services.start_soon(_follow, link, serving, storage)
                services.start_soon(watch_problems, runtime.readiness, link.note)
                if tls is not None:
                    services.start_soon(follow_files, tls, storage)
                listeners = listeners_of([family.control])
                stops = stops_of(signals)
                await serve(operator, listeners, plan.serve, stops, on_accepting=link.ready)
                services.cancel_scope.cancel()
