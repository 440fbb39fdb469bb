"""What handlers work with: one frozen value, taken at a request's entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from angos_trio.registry.context import Registry
from angos_trio.telemetry.health import Readiness
from angos_trio.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Runtime:
    """The registry and what is told about it."""

    registry: Registry
    metrics: Metrics
    readiness: Callable[[], Readiness]
