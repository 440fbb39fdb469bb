"""Every metric's name. Label values are bounded: actions, statuses and methods, never a path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

EXPOSITION_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_BUCKETS_MS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class StorageGauges:
    """What storage is asked for at each scrape: bytes and counts, NaN where it cannot tell."""

    free_bytes: Callable[[], float]
    reserve_bytes: Callable[[], float]
    database_bytes: Callable[[], float]
    uploads_open: Callable[[], float]
    writes_waiting: Callable[[], float]
    is_writable: Callable[[], float]


# As many series again, which nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The registry's metrics, in a collector registry of their own."""

    def __init__(self) -> None:
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
        self._in_flight = Gauge(
            "http_requests_in_flight",
            "Requests that are being answered.",
            registry=self.registry,
        )

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
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def request_begins(self) -> None:
        """Count a request as in flight."""
        self._in_flight.inc()

    def request_ends(self, method: str, route: str, status: int, duration_ms: float) -> None:
        """Count an answer; `status` 499: it was cancelled, or its client left."""
        known = method if method in _METHODS else "OTHER"
        self._in_flight.dec()
        self._requests.labels(known, route, str(status)).inc()
        self._duration.labels(known, route).observe(duration_ms)

    def exposition(self) -> bytes:
        """The text of a scrape."""
        return generate_latest(self.registry)
