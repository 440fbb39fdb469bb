"""The composition root: builds the real objects and orders the nurseries."""

from __future__ import annotations

import ipaddress
import math
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import trio

from angos_trio.api.context import Runtime
from angos_trio.api.routes import build_routes
from angos_trio.auth.access import Access
from angos_trio.clock import epoch_seconds
from angos_trio.config.model import Config, Global, Repository
from angos_trio.config.values import compile_exclusions, parse_size
from angos_trio.errors import OperatorError
from angos_trio.http.application import Application
from angos_trio.http.gate import Gate
from angos_trio.limits import SWEEP_SECS
from angos_trio.oci.codes import OciError
from angos_trio.policy.immutability import TagRule, TagRules
from angos_trio.registry.context import Limits, Registry
from angos_trio.registry.push_blob import complete_interrupted
from angos_trio.server.serve import ServeOptions, listen, serve
from angos_trio.storage.files import Files
from angos_trio.storage.store import Storage, StorageSettings, open_storage
from angos_trio.telemetry import log
from angos_trio.telemetry.health import Readiness
from angos_trio.telemetry.metrics import Metrics, StorageGauges

SWITCH_SECS: Final = 0.0005
"""Python's thread switch interval: with one busy thread a 5 µs read took 6 ms at the default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a configuration comes to: everything that can be refused has been looked at."""

    config: Config
    host: str
    port: int
    access: Access
    storage: StorageSettings
    limits: Limits
    tag_rules: TagRules
    serve: ServeOptions

    def describe(self) -> list[str]:
        """What would happen, a line each."""
        reach = "callers on this host, asking by a loopback name"
        if not self.access.is_open:
            reach = "nobody (global.access_policy.default is deny)"
        elif not self.access.loopback_only:
            reach = "everybody who reaches it (global.access_policy.default is allow)"
        storage = self.storage
        return [
            f"serves http://{_url_host(self.host)}:{self.port} to {reach}",
            f"stores in {storage.root.absolute()}, keeping {storage.reserve_bytes} bytes free",
            f"takes manifests up to {self.limits.manifest_bytes_max} bytes "
            f"and blobs up to {self.limits.blob_bytes_max} bytes",
        ]


def make_plan(config: Config) -> Plan:
    """Check what types alone do not say. Raises OperatorError with the key's path."""
    settings, store = config.global_, config.blob_store.fs
    drain = config.server.drain_timeout
    return Plan(
        config=config,
        host=config.server.bind_address,
        port=config.server.port,
        access=_access(config),
        storage=StorageSettings(
            root=Path(store.root_dir),
            reserve_bytes=parse_size(store.reserve, "blob_store.fs.reserve"),
            ballast_bytes=parse_size(store.ballast, "blob_store.fs.ballast"),
        ),
        limits=Limits(
            manifest_bytes_max=parse_size(settings.max_manifest_size, "global.max_manifest_size"),
            blob_bytes_max=parse_size(settings.max_blob_size, "global.max_blob_size"),
            uploads_per_caller_max=config.server.max_uploads_per_caller,
            lease_secs=settings.gc_grace_secs,
        ),
        tag_rules=_tag_rules(config),
        serve=ServeOptions(
            stall_secs=config.server.stall_timeout,
            drain_secs=settings.shutdown_drain_secs if drain is None else drain,
        ),
    )


def _access(config: Config) -> Access:
    policy = config.global_.access_policy
    if policy is not None:
        return Access(is_open=policy.default == "allow", loopback_only=False)
    if not _is_loopback(config.server.bind_address):
        raise OperatorError(
            f"server.bind_address: {config.server.bind_address} can be reached by others, and "
            "nothing says who may do what. To let everybody do everything, add these lines:\n"
            '    [global.access_policy]\n    default = "allow"\n    rules = []'
        )
    return Access(is_open=True, loopback_only=True)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tag_rules(config: Config) -> TagRules:
    default = _tag_rule(Repository(), config.global_, "global")
    rules = {
        name: _tag_rule(repository, config.global_, f'repository."{name}"')
        for name, repository in config.repository.items()
    }
    return TagRules(default, rules)


def _tag_rule(repository: Repository, settings: Global, path: str) -> TagRule:
    """A repository's own value wins over the global one."""
    exclusions = repository.immutable_tags_exclusions
    own, deletable = repository.immutable_tags, repository.immutable_tags_deletable
    return TagRule(
        is_immutable=settings.immutable_tags if own is None else own,
        exclusions=compile_exclusions(
            settings.immutable_tags_exclusions if exclusions is None else exclusions,
            f"{path}.immutable_tags_exclusions",
        ),
        is_deletable=settings.immutable_tags_deletable if deletable is None else deletable,
    )


async def run(plan: Plan, files: Files | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain and close. Raises OperatorError."""
    sys.setswitchinterval(SWITCH_SECS)
    with _stop_signals() as signals:
        await _serve(plan, files, signals)


@contextmanager
def _stop_signals() -> Iterator[AsyncIterator[int]]:
    """SIGTERM and SIGINT as they come, until the end: one that comes late does not kill us.

    Trio delivers what nobody took once more when its receiver closes: to the handler that is set
    here before, which does nothing. Signals are held back in between, so that none is lost to it.
    """
    kinds = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, kinds)
    for kind in kinds:
        signal.signal(kind, _take_no_notice)
    with trio.open_signal_receiver(*kinds) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, kinds)
        yield signals


def _take_no_notice(kind: int, frame: FrameType | None) -> None:
    """The process is about to end."""


async def _serve(plan: Plan, files: Files | None, signals: AsyncIterator[int]) -> None:
    logger = log.logger("app")
    async with open_storage(plan.storage, files) as storage:
        registry = Registry(
            storage=storage,
            limits=plan.limits,
            tag_rules=plan.tag_rules,
            allows_missing_references=plan.config.global_.allow_missing_manifest_references,
            now=epoch_seconds,
        )
        completed = await complete_interrupted(registry)
        application = build_application(registry, plan.access)
        listeners = await listen(plan.host, plan.port)
        ports = [listener.socket.getsockname()[1] for listener in listeners]
        logger.info("started", host=plan.host, ports=ports, completed_uploads=completed)
        async with trio.open_nursery() as services:
            services.start_soon(sweep, storage, plan.config.global_.upload_expiry_secs)
            await serve(application, listeners, plan.serve, signals.__anext__)
            services.cancel_scope.cancel()
        logger.info("stopped")


def build_application(registry: Registry, access: Access) -> Application:
    """The ASGI application over a registry."""
    metrics = Metrics()
    storage = registry.storage
    metrics.watch_storage(
        StorageGauges(
            free_bytes=lambda: _or_unknown(lambda: storage.space().free_bytes),
            reserve_bytes=lambda: storage.settings.reserve_bytes,
            database_bytes=lambda: _or_unknown(storage.database_bytes),
            uploads_open=lambda: len(storage.sessions),
            writes_waiting=lambda: storage.waiting_steps,
            is_writable=lambda: int(storage.broken is None),
        )
    )
    runtime = Runtime(registry, metrics, readiness_of(storage))
    return Application(build_routes(runtime), Gate(access), metrics)


def _or_unknown(read: Callable[[], int]) -> float:
    """A gauge's value, or NaN when the disk does not answer: a scrape never fails for it."""
    try:
        return read()
    except (OciError, OSError):
        return math.nan


def readiness_of(storage: Storage) -> Callable[[], Readiness]:
    """Looks at the database's state and the disk; blocks for one look at the file system."""

    def look() -> Readiness:
        problems: list[str] = []
        if storage.broken is not None:
            problems.append(f"the database cannot be written until a restart: {storage.broken}")
        try:
            space = storage.space()
        except OciError:
            return Readiness((*problems, "the data directory's file system does not answer"))
        if not space.is_enough:
            problems.append(
                f"{space.free_bytes} bytes are free, {space.reserve_bytes} must stay free"
            )
        return Readiness(tuple(problems))

    return look


async def sweep(storage: Storage, expiry_secs: int) -> None:
    """Each minute: drop upload sessions that nothing came to for long, and refill the ballast."""
    while True:
        await trio.sleep(SWEEP_SECS)
        for session in storage.sessions.idle_since(trio.current_time() - expiry_secs):
            log.logger("app").info("upload.expired", session=session)
            await storage.sessions.discard(session)
        await trio.to_thread.run_sync(storage.ballast.restore, storage.settings.reserve_bytes)
