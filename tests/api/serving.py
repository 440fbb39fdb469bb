"""A whole registry served in process, with a look inside."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from angos_trio.app.authentication import Doors, doors_of
from angos_trio.app.building import (
    build_operator_application,
    build_runtime,
    run_beside,
    users_of,
)
from angos_trio.app.housekeeping import housekeeping_of
from angos_trio.app.plan import Plan
from angos_trio.app.reload import Serving, serve_by
from angos_trio.events.model import Event, EventKind, record
from angos_trio.identity import NOWHERE, Origin
from angos_trio.maintenance.collect import Collector
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.registry.context import Registry
from angos_trio.registry.push_blob import complete_interrupted
from angos_trio.registry.push_manifest import ManifestPush, push_manifest
from angos_trio.server.connection import AsgiApp
from angos_trio.storage.store import open_storage
from angos_trio.storage.transactions import Transaction
from tests.api.client import Client
from tests.factories import Document, make_plan, make_registry
from tests.registry.support import caller_of
from tests.server.in_process import InProcessServer, in_process, on_unix_socket
from tests.server.secured import Secured
from tests.server.wire import Wire


@dataclass
class ServedRegistry:
    """A registry that is being served; `core` is what its use-cases are given."""

    server: InProcessServer
    plan: Plan
    core: Registry
    collector: Collector
    doors: Doors
    serves: Serving

    @property
    def address(self) -> tuple[str, int]:
        return self.server.address

    @property
    def url(self) -> str:
        host, port = self.address
        return f"{'http' if self.server.secured is None else 'https'}://{host}:{port}"

    def wire(self, **options: Any) -> Wire:
        """A raw connection."""
        return self.server.wire(**options)

    def client(self) -> Client:
        """A client that trusts the server."""
        secured = self.server.secured
        return Client(self.url, True if secured is None else secured.client())

    def files(self, directory: str) -> list[Path]:
        """The files below a directory of the data directory."""
        return [path for path in (self.plan.storage.root / directory).rglob("*") if path.is_file()]

    def session_bytes(self, location: str) -> int:
        """How many bytes of an upload session have reached its file."""
        session = location.rpartition("/")[2]
        path = self.plan.storage.root / "uploads" / f"{session}.data"
        return path.stat().st_size if path.exists() else 0

    def reload(self, **tables: Any) -> None:
        """Serve by another configuration, as after SIGHUP; `tables` as for `serving`."""
        plan = make_plan(self.plan.storage.root.parent, **tables)
        self.server.call(self._become, plan)

    async def _become(self, plan: Plan) -> None:
        self.serves.become(await self.serves.prepare(plan))

    def happen(self, name: str, count: int, origin: Origin = NOWHERE) -> None:
        """So many events of a namespace, past every use-case: for those who read them."""
        for at in range(0, count, 2000):
            self.server.call(self._happen, RepositoryName(name), min(2000, count - at), origin)

    async def _happen(self, name: RepositoryName, count: int, origin: Origin) -> None:
        def step(transaction: Transaction) -> None:
            for number in range(count):
                told = {"tag": f"v{number}", "digest": "sha256:" + "0" * 64}
                event = Event(EventKind.TAG_CREATED, name, 1, "test", told, origin)
                record(transaction.rows, event)

        await self.core.storage.write(step)

    def open_blobs(self) -> int:
        """How many descriptors of this process are open on a blob's file."""
        blobs = str(self.plan.storage.root / "blobs")
        count = 0
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                count += os.readlink(f"/proc/self/fd/{descriptor}").startswith(blobs)
            except FileNotFoundError:
                continue
        return count

    def store(self, name: str, documents: Sequence[Document]) -> list[Document]:
        """Push many manifests by digest, side by side, past the socket: for listings of them."""
        self.server.call(self._store, RepositoryName(name), documents)
        return list(documents)

    async def _store(self, name: RepositoryName, documents: Sequence[Document]) -> None:
        caller = caller_of("operator")
        async with trio.open_nursery() as pushes:
            for item in documents:
                push = ManifestPush(name, Digest(item.digest), item.body, item.media_type)
                pushes.start_soon(push_manifest, self.core, caller, push)


class _Opened:
    """Opens the storage and builds the application in the server's loop."""

    def __init__(
        self,
        plan: Plan,
        *,
        sends_files: bool = True,
        is_for_operator: bool = False,
        secured: Secured | None = None,
    ) -> None:
        self.plan = plan
        self.tls = None if secured is None else secured.live
        self.sends_files = sends_files
        self.is_for_operator = is_for_operator
        self.core: Registry
        self.collector: Collector
        self.doors: Doors
        self.serves: Serving

    def served_by(self, server: InProcessServer) -> ServedRegistry:
        return ServedRegistry(server, self.plan, self.core, self.collector, self.doors, self.serves)

    @asynccontextmanager
    async def application(self) -> AsyncIterator[AsgiApp]:
        async with open_storage(self.plan.storage) as storage:
            self.core = make_registry(storage, self.plan)
            await complete_interrupted(self.core, storage.interrupted)
            runtime = build_runtime(self.core)
            self.doors = doors_of(storage, self.tls)
            self.serves = serve_by(self.plan, runtime, self.doors, "worker-1")
            built: AsgiApp = self.serves
            keeping = housekeeping_of(
                runtime, lambda: self.core, lambda name: self.serves.runtime.puller(name)
            )
            if self.is_for_operator:
                built = build_operator_application(
                    runtime, lambda: users_of(self.plan.config), keeping.hold
                )
            self.collector = keeping.collector
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keeping.carry_out)
                nursery.start_soon(run_beside, runtime)
                yield built if self.sends_files else _without_extensions(built)
                nursery.cancel_scope.cancel()


def _without_extensions(application: AsgiApp) -> AsgiApp:
    """The application as another ASGI server would call it: nothing private is offered."""

    async def called(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await application({**scope, "extensions": {}}, receive, send)

    return called


@contextmanager
def serving(
    root: Path,
    *,
    sends_files: bool = True,
    clock: trio.abc.Clock | None = None,
    secured: Secured | None = None,
    **tables: Any,
) -> Iterator[ServedRegistry]:
    """A registry below `root` for the length of a `with` block; `tables` as for `make_config`, and
    `stall_secs`, `drain_secs` and `port` as for a server."""
    stall_secs, drain_secs = tables.pop("stall_secs", 30.0), tables.pop("drain_secs", 2.0)
    port = tables.pop("port", 0)
    opened = _Opened(make_plan(root, **tables), sends_files=sends_files, secured=secured)
    application = opened.application()
    with in_process(
        application,
        stall_secs=stall_secs,
        drain_secs=drain_secs,
        clock=clock,
        secured=secured,
        port=port,
    ) as server:
        yield opened.served_by(server)


@contextmanager
def serving_operator(
    root: Path, socket_path: Path, **tables: Mapping[str, object]
) -> Iterator[ServedRegistry]:
    """The same as the operator has it, on a Unix socket."""
    opened = _Opened(make_plan(root, **tables), is_for_operator=True)
    with on_unix_socket(opened.application(), socket_path) as server:
        yield opened.served_by(server)
