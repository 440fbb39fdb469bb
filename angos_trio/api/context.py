"""What handlers work with: one frozen value, taken at a request's entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from angos_trio.identity import Identity
from angos_trio.maintenance.tasks import Tasks
from angos_trio.registry.context import Registry
from angos_trio.telemetry.health import Readiness
from angos_trio.telemetry.metrics import Metrics


def _give_none(identity: Identity) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Runtime:
    """The registry, what is told about it, what the steward is asked to do, and who gives registry
    tokens (None: nobody does)."""

    registry: Registry
    metrics: Metrics
    readiness: Callable[[], Readiness]
    tasks: Tasks
    token_for: Callable[[Identity], tuple[str, int] | None] = _give_none
