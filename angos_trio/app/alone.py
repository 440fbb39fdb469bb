"""A registry in one process: requests, the steward's services and the control socket together."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Final

import trio

from angos_trio.api.context import Runtime
from angos_trio.app.authentication import doors_of
from angos_trio.app.building import (
    build_health_application,
    build_operator_application,
    build_registry,
    build_runtime,
    run_beside,
    users_of,
)
from angos_trio.app.certificates import follow_files, open_tls, secured
from angos_trio.app.housekeeping import housekeeping_of
from angos_trio.app.plan import Plan, tell_remarks
from angos_trio.app.reload import ReadAgain, Serving, reload_alone, serve_by
from angos_trio.app.reporting import Alone, watch_problems
from angos_trio.app.services import report_alive, run_services
from angos_trio.app.timekeeping import keep_time, tell_time
from angos_trio.errors import OperatorError
from angos_trio.events.handing_on import begin_cursors
from angos_trio.registry.push_blob import complete_interrupted
from angos_trio.server.reporting import Reporter
from angos_trio.server.serve import serve
from angos_trio.server.sockets import (
    HEALTH_NAME,
    handed_over,
    is_local,
    listen,
    listen_for_operator,
    listeners_of,
    path_of,
    places_of,
)
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files
from angos_trio.storage.store import Storage, open_storage
from angos_trio.telemetry.log import logger

_log = logger("app")
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
Follow = Callable[[Serving, Storage, list[socket.socket]], Awaitable[None]]
SWITCH_SECS: Final = 0.0005
"""Python's thread switch interval: with one busy thread a 5 µs read took 6 ms at the default."""


async def run(
    plan: Plan,
    files: Files | None = None,
    read_again: ReadAgain | None = None,
    reporter: Reporter | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain and close. Raises OperatorError.

    `read_again` is called when SIGHUP comes; `reporter` tells a service manager how it goes.
    """
    sys.setswitchinterval(SWITCH_SECS)
    # A start may take an hour in threads that nothing can cancel. What they leave is what a power
    # cut would, so a signal ends the process at once until there are requests to drain.
    for kind in _STOPS:
        signal.signal(kind, signal.SIG_DFL)
    with ExitStack() as until_the_end, stop_signals(signal.SIGHUP) as hangups:
        take_signals = partial(until_the_end.enter_context, stop_signals(*_STOPS))
        alone = Alone(reporter or Reporter())
        async with trio.open_nursery() as reports:
            reports.start_soon(alone.go_round)
            follow = partial(_follow, hangups, read_again, alone)
            await _serve(plan, files, take_signals, follow, alone)
            reports.cancel_scope.cancel()


async def _follow(
    hangups: AsyncIterator[int],
    read_again: ReadAgain | None,
    alone: Alone,
    serving: Serving,
    storage: Storage,
    sockets: list[socket.socket],
) -> None:
    """Reload at each hang-up, until cancelled."""
    is_local_only = all(map(is_local, sockets))
    async for _ in hangups:
        if read_again is not None:
            alone.reloading()
            refused = await reload_alone(serving, storage, read_again, is_local=is_local_only)
            alone.reloaded(refused)


@contextmanager
def stop_signals(*kinds: signal.Signals) -> Iterator[AsyncIterator[int]]:
    """These signals as they come, until the end: one that comes late does not kill us.

    Trio delivers what nobody took once more when its receiver closes: to the handler that is set
    here before, which does nothing. Signals are held back in between, so that none is lost to it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, kinds)
    for kind in kinds:
        signal.signal(kind, _take_no_notice)
    with trio.open_signal_receiver(*kinds) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, kinds)
        yield signals


def _take_no_notice(kind: int, frame: FrameType | None) -> None:
    """The process is about to end."""


async def _serve(
    plan: Plan,
    files: Files | None,
    take_signals: Callable[[], AsyncIterator[int]],
    follow: Follow,
    alone: Alone,
) -> None:
    # A certificate that is refused leaves no data directory behind.
    tls = await trio.to_thread.run_sync(open_tls, plan.tls)
    async with open_storage(plan.storage, files) as storage:
        await keep_time(storage)
        tell_time()
        registry = build_registry(plan, storage)
        completed = await complete_interrupted(registry, storage.interrupted)
        await begin_cursors(storage, plan.endpoints)  # what happens from now on is told
        signals = take_signals()
        sockets, probes = listening_sockets(plan)
        control = listen_for_control(plan)
        runtime = build_runtime(registry)
        doors = doors_of(storage, tls)
        serving = serve_by(plan, runtime, doors, worker_name(0))
        alone.reporter.places = places_of(sockets)
        log_started(sockets, workers=1, completed=completed)
        async with trio.open_nursery() as services:
            services.start_soon(storage.sessions.run)
            services.start_soon(run_beside, runtime)
            services.start_soon(report_alive, storage, worker_name(0))
            services.start_soon(doors.last_uses.run)
            services.start_soon(doors.pull_times.run, lambda: serving.notes_pulls)
            keeping = housekeeping_of(
                runtime,
                lambda: serving.runtime.registry,
                lambda name: serving.runtime.puller(name),
            )
            wanted = keeping.services(lambda: serving.expiry_secs)
            services.start_soon(run_services, storage, wanted)
            services.start_soon(follow, serving, storage, sockets)
            services.start_soon(serve_probes, plan, runtime, probes)
            services.start_soon(watch_problems, runtime.readiness, alone.tell_problems)
            if tls is not None:
                services.start_soon(follow_files, tls, storage)
            operator = build_operator_application(
                runtime, lambda: users_of(serving.plan.config), keeping.hold
            )
            services.start_soon(
                serve, operator, listeners_of([control]), plan.serve, trio.sleep_forever
            )
            options = secured(plan.serve, tls, plan.config.server.handshake_timeout)
            stops = partial(_wait_for_stop, signals, alone, plan.serve.drain_secs)
            listeners = listeners_of(sockets)
            await serve(serving, listeners, options, stops, alone.tell_connections, alone.ready)
            services.cancel_scope.cancel()
        forget_control(plan)
    _log.info("stopped")


async def _wait_for_stop(signals: AsyncIterator[int], alone: Alone, drain_secs: float) -> None:
    await signals.__anext__()
    alone.stopping(drain_secs)


def listening_sockets(plan: Plan) -> tuple[list[socket.socket], list[socket.socket]]:
    """Where requests are taken, and where probes are: what systemd hands over, else what the plan
    says.

    Raises OperatorError, also when others can reach what is for this host only.
    """
    handed, section = handed_over(), plan.config.server.health
    if plan.access.loopback_only and not all(map(is_local, handed.requests)):
        raise OperatorError(
            "a socket that was handed over can be reached by others, and nothing says who may do "
            "what: add a [global.access_policy]"
        )
    if section is None and handed.probes:
        raise OperatorError(
            f"a socket with FileDescriptorName={HEALTH_NAME} was handed over, and there is no "
            "[server.health]"
        )
    if section is not None and section.metrics and not all(map(is_local, handed.probes)):
        raise OperatorError(
            "server.health.metrics: the socket that was handed over can be reached by others"
        )
    requests = list(handed.requests) or listen(plan.host, plan.port)
    probes = list(handed.probes)
    if section is not None and not probes:
        probes = listen(section.bind_address, section.port)
    reached = [each.getsockname()[0] for each in requests if not is_local(each)]
    tell_remarks(plan.remarks_on(list(dict.fromkeys(reached))))
    return requests, probes


async def serve_probes(plan: Plan, runtime: Runtime, sockets: list[socket.socket]) -> None:
    """The second listener, plain and without credentials, until cancelled: also while the requests
    of a stop go on."""
    section = plan.config.server.health
    if section is not None:
        application = build_health_application(runtime, has_metrics=section.metrics)
        await serve(application, listeners_of(sockets), plan.serve, trio.sleep_forever)


def listen_for_control(plan: Plan) -> socket.socket:
    """The control socket of the data directory, whose lock is held. Raises OperatorError."""
    directory = DataDirectory(plan.storage.root)
    with directory.opened() as folder:
        return listen_for_operator(directory.control_socket, folder)


def forget_control(plan: Plan) -> None:
    """Nobody listens on the control socket any more; a disk that broke may keep its name."""
    with suppress(OSError):
        DataDirectory(plan.storage.root).control_socket.unlink()


def log_started(sockets: list[socket.socket], workers: int, completed: int | None) -> None:
    """The line that says where requests are taken."""
    places = [each.getsockname() for each in sockets if each.family != socket.AF_UNIX]
    _log.info(
        "started",
        host=places[0][0] if places else None,  # of sockets that systemd hands over, theirs
        ports=[place[1] for place in places],
        paths=[path_of(each) for each in sockets if each.family == socket.AF_UNIX],
        workers=workers,
        completed_uploads=completed,
    )


def worker_name(number: int) -> str:
    """What a worker is called in logs and reports; numbers begin at 0."""
    return f"worker-{number + 1}"
