"""A command's requests to the registry of a data directory, whether one runs there or not.

Where none runs, the command is the instance: it takes the lock and answers its own requests. Where
one runs, it sends them to the control socket and opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

import trio

from angos_trio.app.building import (
    build_operator_application,
    build_registry,
    build_runtime,
    users_of,
)
from angos_trio.app.housekeeping import housekeeping_of
from angos_trio.app.plan import Plan
from angos_trio.app.timekeeping import keep_time
from angos_trio.errors import OperatorError, cause_and_cure, only_error
from angos_trio.limits.processes import COMMAND_POLL_SECS, COMMAND_WAIT_SECS_MAX, CONTROL_SECS_MAX
from angos_trio.net import control
from angos_trio.net.control import Answer, Request, unix_address
from angos_trio.oci.codes import OciError
from angos_trio.registry.push_blob import complete_interrupted
from angos_trio.server.connection import AsgiApp
from angos_trio.storage.directory import DataDirectory, owner_of, try_instance_lock
from angos_trio.storage.store import begin_storage

Outcome = TypeVar("Outcome")
Ask = Callable[[Request], Awaitable[Answer]]
Work = Callable[[Ask], Awaitable[Outcome]]


async def as_operator(plan: Plan, work: Work[Outcome]) -> Outcome:
    """Do work that asks the registry for things. Raises OperatorError when it cannot be asked."""

    async def running(address: str) -> Outcome:
        return await work(partial(_send, address))

    return await beside_or_in_place(plan, running, partial(_alone, plan, work))


async def beside_or_in_place(
    plan: Plan,
    beside: Callable[[str], Awaitable[Outcome]],
    in_place: Callable[[], Awaitable[Outcome]],
) -> Outcome:
    """Work through the control socket, whose address is given, where a registry runs; elsewhere in
    its place, with the instance lock. Raises OperatorError."""
    directory = DataDirectory(plan.storage.root)
    owner_of(directory)
    try:
        with directory.opened() as folder:
            return await _through(directory, folder, beside, in_place)
    except OciError as error:
        raise OperatorError(f"{directory.root}: {error.message}") from error
    except OSError as error:
        raise OperatorError(f"{directory.root}: {cause_and_cure(error)}") from error


async def _through(
    directory: DataDirectory,
    folder: int,
    beside: Callable[[str], Awaitable[Outcome]],
    in_place: Callable[[], Awaitable[Outcome]],
) -> Outcome:
    address = unix_address(directory.control_socket, folder)
    lock = await _take_lock_or_find_listener(directory, address)
    if lock is None:
        return await beside(address)
    try:
        return await in_place()
    finally:
        os.close(lock)


async def _send(address: str, request: Request) -> Answer:
    return await trio.to_thread.run_sync(
        control.ask, address, request, CONTROL_SECS_MAX, abandon_on_cancel=True
    )


async def _take_lock_or_find_listener(directory: DataDirectory, address: str) -> int | None:
    """The instance lock; None when it is held and somebody listens. What starts or stops has a
    moment in which neither is so."""
    with trio.move_on_after(COMMAND_WAIT_SECS_MAX):
        while True:
            lock = try_instance_lock(directory)
            if lock is not None:
                return lock
            if await trio.to_thread.run_sync(control.is_listening, address, CONTROL_SECS_MAX):
                return None
            await trio.sleep(COMMAND_POLL_SECS)
    raise OperatorError(
        f"{directory.root}: another process holds it and does not listen on control.sock"
    )


async def _alone(plan: Plan, work: Work[Outcome]) -> Outcome:
    """Do the work with a registry of our own, which begins as every other does."""
    async with begin_storage(plan.storage) as storage:
        await keep_time(storage)
        registry = build_registry(plan, storage)
        await complete_interrupted(registry, storage.interrupted)
        runtime = build_runtime(registry)
        keeping = housekeeping_of(runtime, lambda: registry, runtime.puller)
        application = build_operator_application(
            runtime, lambda: users_of(plan.config), keeping.hold
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keeping.carry_out)
                outcome = await work(partial(answer_of, application))
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise only_error(group) from None
        return outcome


async def answer_of(application: AsgiApp, request: Request) -> Answer:
    """What an application of this process answers to the operator."""
    start: dict[str, Any] = {}
    parts: list[bytes] = []
    bodies = iter([request.body])

    async def receive() -> dict[str, Any]:
        body = next(bodies, None)
        if body is None:
            await trio.sleep_forever()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message["body"])

    try:
        with trio.fail_after(CONTROL_SECS_MAX):
            await application(_scope(request), receive, send)
    except trio.TooSlowError:
        raise OperatorError("the data directory does not answer: a slow disk?") from None
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(parts))


def _scope(request: Request) -> dict[str, Any]:
    """The request as a server on the control socket would hand it on."""
    path, _, query = request.target.partition("?")
    return {
        "type": "http",
        "http_version": "1.1",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "method": request.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in request.headers.items()
        ],
        "client": None,
        "server": None,
        "state": {},
        "extensions": {},
    }
