"""Metrics: the original's names, bounded labels, gauges read at each scrape."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from angos_trio.records import replace
from angos_trio.telemetry.health import Readiness
from angos_trio.telemetry.metrics import EXPOSITION_TYPE, Metrics, StorageGauges

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(metrics: Metrics) -> Samples:
    """What Prometheus reads: each sample by its name and labels."""
    text = metrics.exposition().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**named: str) -> frozenset[tuple[str, str]]:
    return frozenset(named.items())


def ended(metrics: Metrics, method: str, route: str, status: int, duration_ms: float = 1) -> None:
    metrics.request_begins()
    metrics.request_ends(method, route, status, duration_ms)


def gauges(read: Callable[[], float]) -> StorageGauges:
    return StorageGauges(*[read] * 8)


def test_requests_are_counted_by_method_route_and_status() -> None:
    metrics = Metrics()
    for method, route, status in (
        ("GET", "get-blob", 200),
        ("GET", "get-blob", 200),
        ("GET", "get-blob", 404),
        ("PUT", "put-manifest", 201),
    ):
        ended(metrics, method, route, status)
    found = scrape(metrics)

    key = "http_requests_total"
    assert found[key, labels(method="GET", route="get-blob", status="200")] == 2
    assert found[key, labels(method="GET", route="get-blob", status="404")] == 1
    assert found[key, labels(method="PUT", route="put-manifest", status="201")] == 1
    assert sum(value for (name, _), value in found.items() if name == key) == 4


@pytest.mark.parametrize("method", ["BREW", "get", "", "X" * 5000, "PROPFIND", 'a"\n'])
def test_unknown_methods_share_one_label(method: str) -> None:
    metrics = Metrics()
    ended(metrics, method, "unknown", 405)

    wanted = labels(method="OTHER", route="unknown", status="405")
    assert scrape(metrics)["http_requests_total", wanted] == 1


def test_requests_in_flight_go_up_and_down() -> None:
    metrics = Metrics()
    in_flight = ("http_requests_in_flight", labels())
    metrics.request_begins()
    metrics.request_begins()
    assert scrape(metrics)[in_flight] == 2

    metrics.request_ends("GET", "get-blob", 200, 5)
    metrics.request_ends("GET", "get-blob", 499, 5)
    assert scrape(metrics)[in_flight] == 0


@pytest.mark.parametrize(
    ("duration_ms", "first_bucket"),
    [(0, "1.0"), (0.5, "1.0"), (1, "1.0"), (1.1, "2.0"), (999, "1000.0"), (1e9, "+Inf")],
)
def test_durations_are_counted_in_buckets_of_milliseconds(
    duration_ms: float, first_bucket: str
) -> None:
    metrics = Metrics()
    ended(metrics, "GET", "get-blob", 200, duration_ms)
    found = scrape(metrics)

    filled = [
        dict(named)["le"]
        for (name, named), value in found.items()
        if name == "http_request_duration_ms_bucket" and value == 1
    ]
    assert min(filled, key=float) == first_bucket
    total = labels(method="GET", route="get-blob")
    assert found["http_request_duration_ms_sum", total] == duration_ms
    assert found["http_request_duration_ms_count", total] == 1


def test_gauges_of_storage_are_read_at_each_scrape() -> None:
    metrics = Metrics()
    values = iter([1.0, 2.0])
    metrics.watch_storage(replace(gauges(lambda: 7.0), free_bytes=lambda: next(values)))

    assert scrape(metrics)["storage_free_bytes", labels()] == 1
    assert scrape(metrics)["storage_free_bytes", labels()] == 2
    found = scrape_names(metrics_with(gauges(lambda: 7.0)))
    assert {name for name in found if name.startswith("storage_")} == {
        "storage_free_bytes",
        "storage_reserve_bytes",
        "storage_database_bytes",
        "storage_uploads_open",
        "storage_writes_waiting",
        "storage_writable",
        "storage_has_room",
        "storage_read_only",
    }


def metrics_with(storage: StorageGauges) -> Metrics:
    metrics = Metrics()
    metrics.watch_storage(storage)
    return metrics


def scrape_names(metrics: Metrics) -> set[str]:
    return {name for name, _ in scrape(metrics)}


def test_gauge_that_cannot_tell_does_not_hide_the_others() -> None:
    metrics = metrics_with(replace(gauges(lambda: 7.0), free_bytes=lambda: math.nan))
    found = scrape(metrics)

    assert math.isnan(found["storage_free_bytes", labels()])
    assert found["storage_reserve_bytes", labels()] == 7


def test_two_registries_do_not_share_metrics() -> None:
    first, second = Metrics(), Metrics()
    ended(first, "GET", "get-blob", 200)

    assert "http_requests_total" not in scrape_names(second)


def test_nothing_but_what_is_named_is_exposed() -> None:
    metrics = metrics_with(gauges(lambda: 0.0))
    ended(metrics, "GET", "get-blob", 200)
    own = ("http_requests_total", "http_request_duration_ms", "http_requests_in_flight")
    own += ("storage_", "gc_collected_")

    assert [name for name in scrape_names(metrics) if not name.startswith(own)] == []
    assert [name for name in scrape_names(metrics) if name.endswith("_created")] == []


def test_every_metric_has_a_help_and_a_type() -> None:
    metrics = metrics_with(gauges(lambda: 0.0))
    ended(metrics, "GET", "get-blob", 200)

    for family in text_string_to_metric_families(metrics.exposition().decode()):
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")


def test_exposition_is_the_plain_text_format() -> None:
    assert EXPOSITION_TYPE.startswith("text/plain; version=0.0.4")
    assert Metrics().exposition().decode().endswith("\n")


@pytest.mark.parametrize(("problems", "is_ready"), [((), True), (("the disk is full",), False)])
def test_registry_is_ready_when_it_has_no_problem(
    problems: tuple[str, ...], is_ready: bool
) -> None:
    assert Readiness(problems).is_ready is is_ready
