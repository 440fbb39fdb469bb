"""The ASGI application over an opened storage, and what is told about it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypedDict

import trio

from angos_trio.api.backups import Hold
from angos_trio.api.context import Runtime
from angos_trio.api.routes import (
    build_health_routes,
    build_operator_routes,
    build_routes,
)
from angos_trio.app.authentication import operator_gate
from angos_trio.app.plan import Plan
from angos_trio.app.services import CERTIFICATES, CONFIGURATION, is_service
from angos_trio.app.timekeeping import time_problem
from angos_trio.auth.access import Access
from angos_trio.auth.authenticate import OperatorAuthenticator
from angos_trio.clock import epoch_seconds, iso
from angos_trio.config.model import Config, Ui
from angos_trio.events.endpoints import Endpoints
from angos_trio.events.feed import Feed
from angos_trio.events.pulls import ToldPulls
from angos_trio.http.application import Application
from angos_trio.http.gate import Gate
from angos_trio.http.routing import RouteTable
from angos_trio.limits.processes import REPORT_SECS_MAX
from angos_trio.maintenance.tasks import Tasks
from angos_trio.mirror.fills import Fills
from angos_trio.mirror.manifests import Manifests
from angos_trio.mirror.pull import Memory
from angos_trio.mirror.referrers import Referrers
from angos_trio.oci.codes import OciError
from angos_trio.policy.immutability import TagRules
from angos_trio.policy.quota import Quotas
from angos_trio.policy.retention import RetentionRules
from angos_trio.records import replace
from angos_trio.registry.context import Limits, Registry
from angos_trio.storage.metadata import jobs, services, switches
from angos_trio.storage.metadata.jobs import Count
from angos_trio.storage.metadata.services import Report
from angos_trio.storage.metadata.switches import Switched
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Query
from angos_trio.telemetry.health import Readiness
from angos_trio.telemetry.metrics import Metrics, StorageGauges
from angos_trio.web.frame import Site
from angos_trio.web.house import House
from angos_trio.web.routes import build_pages

REFUSED_RELOAD: Final = "the last reload was refused: "


def build_registry(plan: Plan, storage: Storage) -> Registry:
    """The use-cases' bundle."""
    return Registry(storage=storage, now=epoch_seconds, **limits_of(plan))


class RegistryLimits(TypedDict):
    """What the use-cases have from the configuration."""

    limits: Limits
    tag_rules: TagRules
    quotas: Quotas
    allows_missing_references: bool
    retention: RetentionRules
    pulled_through: frozenset[str]
    endpoints: Endpoints


def limits_of(plan: Plan) -> RegistryLimits:
    """The part of the bundle that a reload changes."""
    return RegistryLimits(
        limits=plan.limits,
        tag_rules=plan.tag_rules,
        quotas=plan.quotas,
        allows_missing_references=plan.config.global_.allow_missing_manifest_references,
        retention=plan.retention,
        pulled_through=plan.mirrors.pulled_through,
        endpoints=plan.endpoints,
    )


def build_runtime(registry: Registry) -> Runtime:
    """What handlers work with."""
    metrics = Metrics()
    registry = replace(registry, webhook_metrics=metrics.webhooks)
    storage = registry.storage
    metrics.watch_jobs(lambda: _or_nothing(lambda: storage.read_from_thread(jobs.counts)))
    metrics.watch_services(lambda: services_up(_or_none(lambda: reports_of(storage))))
    metrics.watch_storage(
        StorageGauges(
            free_bytes=lambda: _or_unknown(lambda: storage.space().free_bytes),
            reserve_bytes=lambda: storage.settings.reserve_bytes,
            database_bytes=lambda: _or_unknown(storage.database_bytes),
            uploads_open=lambda: _or_unknown(storage.sessions.count_blocking),
            writes_waiting=lambda: storage.waiting_steps,
            is_writable=lambda: int(storage.broken is None),
            has_room=lambda: _or_unknown(lambda: int(storage.space().is_enough)),
            is_read_only=lambda: _or_unknown(
                lambda: int(storage.read_from_thread(switches.find_read_only) is not None)
            ),
        )
    )
    tasks = Tasks(storage.shared, registry.now)
    arriving = Memory(Fills(storage), Manifests(), Referrers(), metrics.upstreams)
    return Runtime(
        registry,
        metrics,
        readiness_of(storage),
        tasks,
        Feed(storage),
        arriving=arriving,
        told_pulls=ToldPulls(storage, metrics.webhooks, registry.now),
    )


async def run_beside(runtime: Runtime) -> None:
    """Let go on what requests leave to others, until cancelled: what comes from upstreams, and
    what webhooks are told of pulls."""
    async with trio.open_nursery() as nursery:
        if runtime.arriving is not None:
            nursery.start_soon(runtime.arriving.fills.run)
        if runtime.told_pulls is not None:
            nursery.start_soon(runtime.told_pulls.run)


def build_application(
    runtime: Runtime,
    gate: Gate,
    worker: str | None = None,
    ui: Ui | None = None,
    methods: Sequence[str] = (),
    stand_ins: Mapping[str, str] | None = None,
) -> Application:
    """The ASGI application behind a gate. A worker that is given is named in each answer; without
    `ui`, or with one that is off, there are no pages. `methods` say on these how callers are
    recognised. `stand_ins` as for `Application`."""
    routes = build_routes(runtime)
    if ui is not None and ui.enabled:
        registry = runtime.registry
        site = Site(
            name=ui.name,
            url_of=gate.url_of,
            needs_login=not gate.access.loopback_only,
            has_webhooks=gate.access.has_webhooks,
            now=registry.now,
            form_key=registry.storage.shared.secret,
            sign_in=runtime.sign_in,
            sources=lambda name: runtime.puller(name).sources,
            house=House(
                runtime.readiness,
                runtime.tasks,
                runtime.looks,
                tuple(methods),
                unpulled=runtime.unpulled,
            ),
        )
        fixed, pages = build_pages(registry, site)
        routes = RouteTable([*routes.routes, *fixed], pages)
    return Application(routes, gate, runtime.metrics, worker, stand_ins)


def build_health_application(runtime: Runtime, *, has_metrics: bool) -> Application:
    """What the second listener answers: probes, and metrics for those on this host."""
    routes = build_health_routes(runtime, has_metrics=has_metrics)
    nobody = Gate(Access(frozenset()), OperatorAuthenticator())
    return Application(routes, nobody, runtime.metrics)


def build_operator_application(
    runtime: Runtime, users: Callable[[], Collection[str]], hold: Hold
) -> Application:
    """The same for the operator, who may do everything and some things more: it is served on the
    control socket. `users` are the Basic users of the configuration in force."""
    return Application(
        build_operator_routes(runtime, users, hold), operator_gate(), runtime.metrics
    )


def users_of(config: Config) -> frozenset[str]:
    """The names of the Basic users."""
    return frozenset(user.username for user in config.auth.identity.values())


def _or_unknown(read: Callable[[], int]) -> float:
    """A gauge's value, or NaN when the disk does not answer: a scrape never fails for it."""
    try:
        return read()
    except (OciError, OSError):
        return math.nan


def readiness_of(storage: Storage) -> Callable[[], Readiness]:
    """Looks at the database's state and the disk; blocks, in a thread that the loop started."""

    def look() -> Readiness:
        problems: list[str] = []
        if storage.broken is not None:
            problems.append(f"the database cannot be written until a restart: {storage.broken}")
        switched = _read_only(storage)
        try:
            others, degraded = judge_reports(reports_of(storage), time.monotonic())
            problems += others
            space = storage.space()
        except OciError:
            return Readiness((*problems, "the data directory's file system does not answer"))
        if not space.is_enough:
            problems.append(
                f"{space.free_bytes} bytes are free, {space.reserve_bytes} must stay free"
            )
        for queue, count in _or_empty(storage, jobs.count_failed).items():
            degraded.append(f"jobs of {queue} have failed and wait for somebody to decide: {count}")
        clock = time_problem()
        if clock is not None:
            degraded.append(clock)
        if switched is not None:
            since = iso(switched.since)
            degraded.append(f"the registry is read-only since {since}, by {switched.by}")
        return Readiness(tuple(problems), tuple(degraded))

    return look


def _or_empty(storage: Storage, query: Query[dict[str, int]]) -> dict[str, int]:
    """Rows that cannot be read say nothing."""
    try:
        return storage.read_from_thread(query)
    except OciError:
        return {}


def _read_only(storage: Storage) -> Switched | None:
    """Whether the operator lets nothing be changed; rows that cannot be read say nothing."""
    try:
        return storage.read_from_thread(switches.find_read_only)
    except OciError:
        return None


def _or_nothing(read: Callable[[], dict[str, Count]]) -> dict[str, tuple[int, int]]:
    """Counts of jobs, or none when the disk does not answer."""
    try:
        return {queue: (count.waiting, count.failed) for queue, count in read().items()}
    except OciError:
        return {}


def _or_none(read: Callable[[], list[Report]]) -> list[Report]:
    try:
        return read()
    except OciError:
        return []


def reports_of(storage: Storage) -> list[Report]:
    """What the processes and services say of themselves; blocks."""
    return storage.shared.run_blocking(services.every)


def judge_reports(reports: Sequence[Report], now: float) -> tuple[list[str], list[str]]:
    """What is wrong with requests, and what with housework only; one sentence each."""
    problems: list[str] = []
    degraded: list[str] = []
    for report in reports:
        silent_secs = now - report.seen_at
        if report.name == CONFIGURATION:
            if report.problem is not None:
                degraded.append(f"{REFUSED_RELOAD}{report.problem}")
        elif report.name == CERTIFICATES:
            if report.problem is not None:
                degraded.append(f"certificates: {report.problem}")
        elif is_service(report.name):
            if report.problem is not None:
                degraded.append(f"{report.name} fails and is tried again: {report.problem}")
        elif silent_secs > REPORT_SECS_MAX:
            degraded.append(f"{report.name} has not been seen for {silent_secs:.0f} s")
        elif report.problem is not None:
            problems.append(f"{report.name} cannot write until a restart: {report.problem}")
    return problems, degraded


def services_up(reports: Sequence[Report]) -> dict[str, bool]:
    """Whether each process and service does its work."""
    now = time.monotonic()
    return {
        report.name: report.problem is None
        and (is_service(report.name) or now - report.seen_at <= REPORT_SECS_MAX)
        for report in reports
    }
