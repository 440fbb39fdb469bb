"""Every metric's name. Label values are bounded: actions, statuses and methods, never a path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MultiProcessValue

from angos_trio.records import Frozen

EXPOSITION_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_BUCKETS_MS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class StorageGauges(Frozen):
    """What storage is asked for at each scrape: bytes and counts, NaN where it cannot tell."""

    free_bytes: Callable[[], float]
    reserve_bytes: Callable[[], float]
    database_bytes: Callable[[], float]
    uploads_open: Callable[[], float]
    writes_waiting: Callable[[], float]
    is_writable: Callable[[], float]
    has_room: Callable[[], float]
    is_read_only: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Told(Collector):
    """A gauge that is asked for at each scrape, and not shared."""

    name: str
    text: str
    read: Callable[[], float]

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(self.name, self.text, self.read())


@dataclass(frozen=True, slots=True)
class _Services(Collector):
    """One sample for each process of the registry and each service of its steward."""

    read: Callable[[], Mapping[str, bool]]

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "service_up", "1 while a process or service does its work.", labels=["service"]
        )
        for name, is_up in self.read().items():
            family.add_metric([name], int(is_up))
        yield family


@dataclass(frozen=True, slots=True)
class _Jobs(Collector):
    """Two samples for each queue that has jobs."""

    read: Callable[[], Mapping[str, tuple[int, int]]]

    def collect(self) -> Iterable[Metric]:
        waiting = GaugeMetricFamily(
            "angos_job_queue_pending", "Jobs that wait to be done.", labels=["queue"]
        )
        failed = GaugeMetricFamily(
            "angos_job_queue_failed", "Jobs that nobody will try again.", labels=["queue"]
        )
        for queue, (waits, has_failed) in self.read().items():
            waiting.add_metric([queue], waits)
            failed.add_metric([queue], has_failed)
        yield waiting
        yield failed


# As many series again, which nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]


def shared_files(process: str) -> list[str]:
    """The names of the files in which a process counts for all to add up."""
    return [f"counter_{process}.db", f"histogram_{process}.db", in_flight_file(process)]


def in_flight_file(process: str) -> str:
    """The one that must be zeros when a process of this name starts anew."""
    return f"gauge_livesum_{process}.db"


def share(directory: Path, process: str) -> None:
    """Let the metrics that are made from now on go where the other processes add them up.

    To be called once in a process; one that is started anew goes on counting where it ended.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]


class UpstreamMetrics:
    """What comes from other registries; repositories are those of the configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pulled = Counter(
            "upstream_pulls",
            "Manifests and blobs that came from upstreams, by repository and kind.",
            ("repository", "kind"),
            registry=registry,
        )
        self._pulled_bytes = Counter(
            "upstream_bytes", "Bytes of these.", ("repository",), registry=registry
        )
        self._upstream_failures = Counter(
            "upstream_failures",
            "Requests that no upstream could say anything to, by repository.",
            ("repository",),
            registry=registry,
        )
        self._stale = Counter(
            "stale_answers",
            "Tags served as they were last known, since no upstream could be asked.",
            ("repository",),
            registry=registry,
        )

    def pulled_through(self, repository: str, kind: str, bytes_: int) -> None:
        """Count what came from an upstream: `manifest` or `blob`."""
        self._pulled.labels(repository, kind).inc()
        self._pulled_bytes.labels(repository).inc(bytes_)

    def upstream_failed(self, repository: str) -> None:
        """Count a request that no upstream could say anything to."""
        self._upstream_failures.labels(repository).inc()

    def served_stale(self, repository: str) -> None:
        """Count a tag that was served as it was last known."""
        self._stale.labels(repository).inc()


class WebhookMetrics:
    """What webhooks are asked and told; their names are those of the configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._deliveries = Counter(
            "event_webhook_deliveries",
            "Messages sent to webhooks, by webhook, kind of event, and what came of it.",
            ("webhook", "event", "result"),
            registry=registry,
        )
        self._seconds = Histogram(
            "event_webhook_delivery_duration_seconds",
            "Seconds from sending a message to the head of the answer.",
            ("webhook",),
            registry=registry,
        )
        self._missed = Counter(
            "event_webhook_missed_pulls",
            "Pulls that a webhook is not told of, since too many wait already.",
            ("webhook",),
            registry=registry,
        )

    def sent(self, webhook: str, event: str, result: str, secs: float) -> None:
        """Count a message: `taken`, `refused`, or `unavailable`."""
        self._deliveries.labels(webhook, event, result).inc()
        self._seconds.labels(webhook).observe(secs)

    def missed(self, webhook: str) -> None:
        """Count a pull that is not told."""
        self._missed.labels(webhook).inc()


class Metrics:
    """The registry's metrics, in a collector registry of their own."""

    def __init__(self) -> None:
        self._shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "http_requests",
            "Requests answered, by method, action of the route, and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "http_request_duration_ms",
            "Milliseconds from a request's headers to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS_MS,
            registry=self.registry,
        )
        self._collected = Counter(
            "gc_collected",
            "What the collection has given back, by kind: manifests, holds, blobs.",
            ("kind",),
            registry=self.registry,
        )
        self._collected_bytes = Counter(
            "gc_collected_bytes",
            "Bytes of blobs that the collection has given back.",
            registry=self.registry,
        )
        self._scrub_findings = Counter(
            "scrub_findings",
            "What scrubs have found and seen to, by kind.",
            ("kind",),
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "http_requests_in_flight",
            "Requests that are being answered.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._deletions = Counter(
            "retention_deletions",
            "Tags, and manifests without one, that retention has deleted.",
            ("kind",),
            registry=self.registry,
        )
        self.upstreams = UpstreamMetrics(self.registry)
        self.webhooks = WebhookMetrics(self.registry)
        self._own = self.registry
        """Where gauges are that each process can tell alone."""
        if self._shared is not None:
            self._own = CollectorRegistry(auto_describe=False)
            MultiProcessCollector(self._own, path=self._shared)  # type: ignore[no-untyped-call]

    def watch_storage(self, gauges: StorageGauges) -> None:
        """Add the storage gauges, read at each scrape."""
        for name, text, read in (
            ("storage_free_bytes", "Free bytes of the data file system.", gauges.free_bytes),
            (
                "storage_reserve_bytes",
                "Free bytes below which nothing is taken in.",
                gauges.reserve_bytes,
            ),
            (
                "storage_database_bytes",
                "Bytes of the metadata database with its log.",
                gauges.database_bytes,
            ),
            ("storage_uploads_open", "Open upload sessions.", gauges.uploads_open),
            ("storage_writes_waiting", "Changes that wait for the writer.", gauges.writes_waiting),
            ("storage_writable", "1 while changes can be committed.", gauges.is_writable),
            ("storage_has_room", "1 while new content is taken in.", gauges.has_room),
            (
                "storage_read_only",
                "1 while the operator lets nothing be changed.",
                gauges.is_read_only,
            ),
        ):
            self._own.register(_Told(name, text, read))

    def watch_services(self, read: Callable[[], Mapping[str, bool]]) -> None:
        """Add a gauge of what processes and services say of themselves, read at each scrape."""
        self._own.register(_Services(read))

    def watch_jobs(self, read: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        """Add gauges of jobs that wait and that have failed, by queue, read at each scrape."""
        self._own.register(_Jobs(read))

    def collected(self, manifests: int, holds: int, blobs: int, bytes_: int) -> None:
        """Count what a run of the collection has given back."""
        for kind, count in (("manifests", manifests), ("holds", holds), ("blobs", blobs)):
            self._collected.labels(kind).inc(count)
        self._collected_bytes.inc(bytes_)

    def request_begins(self) -> None:
        """Count a request as in flight."""
        self._in_flight.inc()

    def request_ends(self, method: str, route: str, status: int, duration_ms: float) -> None:
        """Count an answer; `status` 499: it was cancelled, or its client left."""
        known = method if method in _METHODS else "OTHER"
        self._in_flight.dec()
        self._requests.labels(known, route, str(status)).inc()
        self._duration.labels(known, route).observe(duration_ms)

    def scrub_finds(self, kind: str) -> None:
        """Count something that was wrong."""
        self._scrub_findings.labels(kind).inc()

    def retention_deletes(self, kind: str, count: int) -> None:
        """Count what retention deleted: `tag` or `manifest`."""
        self._deletions.labels(kind).inc(count)

    def exposition(self) -> bytes:
        """The text of a scrape."""
        return generate_latest(self._own)
