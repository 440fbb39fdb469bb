"""What the tests of `maintenance` share: a collector, and what a directory still holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from angos_trio.maintenance.collect import Collector
from angos_trio.records import replace
from angos_trio.registry.context import Registry
from tests.registry.support import Clock
from tests.storage.support import rows_of


@dataclass
class Rules:
    """How long untagged manifests are kept, which may change on the way."""

    untagged_secs: int | None = None


def collector_of(registry: Registry, clock: Clock, rules: Rules | None = None) -> Collector:
    """A collector whose two clocks go together: only `clock` is set."""
    given = rules or Rules()

    def current() -> Registry:
        limits = replace(registry.limits, untagged_secs=given.untagged_secs)
        return replace(registry, limits=limits)

    return Collector(current, monotonic=lambda: float(clock.now))


def held(root: Path) -> set[str]:
    """Every blob and manifest that a namespace holds, as `name@digest`."""
    return {
        f"{name}@{digest}"
        for table in ("namespace_blobs", "manifests")
        for name, digest in rows_of(
            root,
            f"SELECT n.name, h.digest FROM {table} h JOIN namespaces n ON n.id = h.namespace",
        )
    }


def in_trash(root: Path) -> list[str]:
    """What waits to be unlinked."""
    return sorted(path.name for path in (root / "trash").iterdir())
