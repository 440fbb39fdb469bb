"""What the tests of `maintenance` share: a collector, and what a directory still holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from angos_trio.maintenance.collect import CollectionRules, Collector
from angos_trio.registry.context import Registry
from tests.registry.support import LEASE_SECS, Clock
from tests.storage.support import rows_of


@dataclass
class Rules:
    """The rules of a test, which may change on the way."""

    lease_secs: int = LEASE_SECS
    untagged_secs: int | None = None

    def __call__(self) -> CollectionRules:
        return CollectionRules(self.lease_secs, self.untagged_secs)


def collector_of(registry: Registry, clock: Clock, rules: Rules | None = None) -> Collector:
    """A collector whose two clocks go together: only `clock` is set."""
    return Collector(registry, rules or Rules(), monotonic=lambda: float(clock.now))


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
