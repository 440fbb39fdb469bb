"""Listening, accepting and draining."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from angos_trio.limits.requests import WATCH_SECS
from angos_trio.records import Frozen
from angos_trio.server.connection import AsgiApp, Connection, ServerSettings, hypercorn_config
from angos_trio.server.transport import PlainTransport, TlsOptions, Transport


class ServeOptions(Frozen):
    """Times in seconds: how long a peer may stall, and how long requests may go on at the end.

    With `tls` all listeners speak TLS, without it none does.
    """

    stall_secs: float
    drain_secs: float
    tls: TlsOptions | None = None


async def serve(
    app: AsgiApp,
    listeners: Sequence[trio.abc.Listener[trio.SocketStream]],
    options: ServeOptions,
    wait_for_stop: Callable[[], Awaitable[object]],
    tell: Callable[[int], None] = lambda connections: None,
    on_accepting: Callable[[], None] = lambda: None,
) -> None:
    """Serve until `wait_for_stop` returns, then drain.

    Draining stops accepting, ends idle connections and lets requests go on for `drain_secs`,
    or until `wait_for_stop` returns a second time. `tell` is told how many connections there are,
    `on_accepting` that connections are taken from now on.
    """
    settings = ServerSettings(app, hypercorn_config(), options.stall_secs)
    transport_of = _transports(options)
    connections: set[Connection] = set()
    is_draining = False

    async def handle(stream: trio.SocketStream) -> None:
        try:
            transport = transport_of(stream)
        except OSError:
            return  # gone before it was accepted
        connection = Connection(transport, settings)
        connections.add(connection)
        tell(len(connections))
        if is_draining:  # accepted just before the stop
            connection.drain()
        try:
            await connection.serve()
        finally:
            connections.discard(connection)
            tell(len(connections))

    async with trio.open_nursery() as watch:
        watch.start_soon(_watch, connections)
        async with trio.open_nursery() as handlers:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    await accepting.start(_accept, listener, handle, handlers)
                on_accepting()
                await wait_for_stop()
                is_draining = True
                for connection in list(connections):
                    connection.drain()
                accepting.cancel_scope.cancel()
            watch.start_soon(_hurry, wait_for_stop, handlers)
            handlers.cancel_scope.deadline = trio.current_time() + options.drain_secs
        watch.cancel_scope.cancel()


def _transports(options: ServeOptions) -> Callable[[trio.SocketStream], Transport]:
    """What makes a transport of an accepted connection. Raises OSError when it is gone."""
    if options.tls is None:
        return partial(PlainTransport, stall_secs=options.stall_secs)
    # Imported here: it brings `cryptography` along, which a plain registry can do without.
    from angos_trio.server.tls import TlsDoor

    return TlsDoor(options.tls, options.stall_secs)


async def _hurry(wait_for_stop: Callable[[], Awaitable[object]], handlers: trio.Nursery) -> None:
    """Being told to stop a second time ends the requests that are left."""
    await wait_for_stop()
    handlers.cancel_scope.cancel()


async def _watch(connections: set[Connection]) -> None:
    """Notice clients that left while their request is handled and nothing is sent or received."""
    while True:
        await trio.sleep(WATCH_SECS)
        for connection in list(connections):
            connection.end_if_abandoned()


async def _accept(
    listener: trio.abc.Listener[trio.SocketStream],
    handle: Callable[[trio.SocketStream], Awaitable[None]],
    handlers: trio.Nursery,
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept until cancelled; running out of descriptors is waited out, not fatal."""
    await trio.serve_listeners(
        handle, [listener], handler_nursery=handlers, task_status=task_status
    )
