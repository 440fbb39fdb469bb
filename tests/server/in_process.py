"""The real `serve` on a loopback port, in a thread of the test's own process.

The server runs in a thread with a Trio loop of its own; tests are plain functions that speak to it
over sockets, and look into its loop when they ask what is left behind.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import trio
import trio.testing

from angos_trio.server.connection import AsgiApp
from angos_trio.server.serve import ServeOptions, serve
from angos_trio.server.sockets import listen, listen_for_operator, listeners_of
from tests.server.secured import Secured
from tests.server.wire import HOST, Wire, eventually

Result = TypeVar("Result")
THREAD_SECS_MAX = 30.0


class InProcessServer:
    """A server that is running until `stop`; `address` is where it listens, if not on a path."""

    def __init__(
        self,
        application: AbstractAsyncContextManager[AsgiApp],
        options: ServeOptions,
        *,
        receive_buffer_bytes: int | None = None,
        socket_path: Path | None = None,
        secured: Secured | None = None,
        port: int = 0,
    ) -> None:
        self.secured = secured
        self._port = port
        self._application = application
        self._options = options
        self._socket_path = socket_path
        self._receive_buffer_bytes = receive_buffer_bytes
        self._is_listening = threading.Event()
        self._error: BaseException | None = None
        self._was_told = False
        self._token: trio.lowlevel.TrioToken
        self._stops: trio.MemorySendChannel[None]
        self._thread: threading.Thread
        self._idle_tasks: int
        self.address: tuple[str, int]

    def start(self, clock: trio.abc.Clock | None = None) -> None:
        """Return when the server listens, or raise what kept it from that."""
        self._thread = threading.Thread(target=self._run, args=(clock,), name="server")
        self._thread.start()
        self._is_listening.wait(THREAD_SECS_MAX)
        if self._error is not None:
            self._thread.join()
            raise self._error
        self.call(trio.testing.wait_all_tasks_blocked)
        self._idle_tasks = self.tasks()

    def _run(self, clock: trio.abc.Clock | None) -> None:
        try:
            trio.run(self._main, clock=clock)
        except BaseException as error:  # raised again in the test's thread
            self._error = error
        finally:
            self._is_listening.set()

    async def _main(self) -> None:
        async with self._application as application:
            listeners = listeners_of(self._listen())
            for listener in listeners:
                self._shrink(listener.socket)
            if self._socket_path is None:
                self.address = listeners[0].socket.getsockname()[:2]
            self._token = trio.lowlevel.current_trio_token()
            self._stops, stops = trio.open_memory_channel[None](2)
            self._is_listening.set()
            await serve(application, listeners, self._options, stops.receive)

    def _listen(self) -> list[socket.socket]:
        path = self._socket_path
        if path is None:
            return listen(HOST, self._port)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            return [listen_for_operator(path, folder)]
        finally:
            os.close(folder)

    def _shrink(self, listener: trio.socket.SocketType) -> None:
        size = self._receive_buffer_bytes
        if size is not None:
            listener.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, size)

    def wire(self, **options: Any) -> Wire:
        """A connection, over TLS where the server speaks it; without a certificate of its own."""
        if self.secured is not None:
            options.setdefault("tls", self.secured.client())
        return Wire(self.address, **options)

    def begin_to_stop(self) -> None:
        """Ask the server to drain, as a signal does; returns at once. Twice means now."""
        self._was_told = True
        trio.from_thread.run_sync(self._stops.send_nowait, None, trio_token=self._token)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until the server has ended. Raises what ended it, if that was an error."""
        self._thread.join(THREAD_SECS_MAX)
        assert not self._thread.is_alive(), "the server did not end"
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Drain and wait for the end; twice is fine."""
        if not self._was_told:
            self.begin_to_stop()
        self.join()

    def call(self, function: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
        """Run an async function in the server's loop."""
        return trio.from_thread.run(function, *arguments, trio_token=self._token)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile the server's loop does nothing, as if the machine were busy."""
        is_held, release = threading.Event(), threading.Event()

        def hold() -> None:
            is_held.set()
            release.wait(THREAD_SECS_MAX)

        self._token.run_sync_soon(hold)
        is_held.wait(THREAD_SECS_MAX)
        try:
            yield
        finally:
            release.set()

    def tasks(self) -> int:
        """How many tasks the server's loop has: a connection is one, and each thing it waits for
        in a nursery is another."""
        return trio.from_thread.run_sync(_count_tasks, trio_token=self._token)

    def expect_idle(self) -> None:
        """Wait until there are no more tasks than before the first connection, or fail."""
        eventually(
            lambda: self.tasks() == self._idle_tasks,
            lambda: f"{self.tasks()} tasks, {self._idle_tasks} when idle",
        )


def _count_tasks() -> int:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    count, left = 0, [root]
    while left:
        task = left.pop()
        count += 1
        left += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return count


@contextmanager
def in_process(
    application: AsgiApp | AbstractAsyncContextManager[AsgiApp],
    *,
    clock: trio.abc.Clock | None = None,
    receive_buffer_bytes: int | None = None,
    secured: Secured | None = None,
    port: int = 0,
    **times: float,
) -> Iterator[InProcessServer]:
    """A server on a loopback port for the length of a `with` block; on a free one, unless one is
    given.

    `application` is an ASGI callable, or what opens one in the server's loop and closes it there.
    `times`: `stall_secs` and `drain_secs`.
    """
    tls = None if secured is None else secured.options
    server = InProcessServer(
        _opened(application),
        ServeOptions(**{"stall_secs": 30.0, "drain_secs": 2.0, **times}, tls=tls),
        receive_buffer_bytes=receive_buffer_bytes,
        secured=secured,
        port=port,
    )
    server.start(clock)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def on_unix_socket(
    application: AbstractAsyncContextManager[AsgiApp], path: Path
) -> Iterator[InProcessServer]:
    """The same on a Unix socket."""
    options = ServeOptions(stall_secs=30.0, drain_secs=2.0)
    server = InProcessServer(_opened(application), options, socket_path=path)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _opened(
    application: AsgiApp | AbstractAsyncContextManager[AsgiApp],
) -> AbstractAsyncContextManager[AsgiApp]:
    if isinstance(application, AbstractAsyncContextManager):
        return application
    return nullcontext(application)
