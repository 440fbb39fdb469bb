"""What the steward is there for: services that go on, and runs that somebody asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial

from angos_trio.api.context import Runtime
from angos_trio.app.services import Services, expire, forget, recover, refill, trim
from angos_trio.app.watching import Watch
from angos_trio.clock import behind
from angos_trio.events.delivering import Delivering
from angos_trio.maintenance.backup import held_snapshot
from angos_trio.maintenance.collect import Collector
from angos_trio.maintenance.copies import copy
from angos_trio.maintenance.describe import describe
from angos_trio.maintenance.prune import Pruner
from angos_trio.maintenance.runs import collect_on_request, prune_on_request, scrub_on_request
from angos_trio.maintenance.sample import sample
from angos_trio.maintenance.schedule import scrub_when_due, scrubber_of
from angos_trio.maintenance.scrub import Scrubber
from angos_trio.maintenance.tasks import Work
from angos_trio.mirror.prefetch import Prefetching
from angos_trio.oci.names import RepositoryName
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.registry.pull import Puller
from angos_trio.storage.snapshots import Snapshot


class Housekeeping(Frozen):
    """One for the instance. `current` gives the registry with the limits in force."""

    runtime: Runtime
    current: Callable[[], Registry]
    collector: Collector
    scrubber: Scrubber
    pruner: Pruner
    puller: Callable[[RepositoryName], Puller]
    """How a namespace is pulled, by the configuration in force."""

    @property
    def kinds(self) -> Mapping[str, Work]:
        """What can be asked for."""
        return {
            "gc": partial(collect_on_request, self.collector),
            "scrub": partial(scrub_on_request, self.scrubber),
            "prune": partial(prune_on_request, self.pruner),
        }

    async def carry_out(self) -> None:
        """Carry out what is asked for, until cancelled."""
        await self.runtime.tasks.run(self.kinds)

    async def _deliver(self) -> None:
        registry = self.runtime.registry
        delivering = Delivering(
            storage=registry.storage,
            feed=self.runtime.feed,
            metrics=self.runtime.metrics.webhooks,
            now=registry.now,
            instance=registry.storage.instance,
            current=lambda: self.current().endpoints,
        )
        await delivering.run()

    def hold(self) -> AbstractAsyncContextManager[Snapshot]:
        """Hold the collection up for a backup."""
        return held_snapshot(self.collector)

    def services(self, expiry_secs: Callable[[], int]) -> Services:
        """All that goes on by itself."""
        registry = self.runtime.registry
        return {
            "collect": self.collector.run,
            "tasks": self.carry_out,
            "expire": partial(expire, registry, expiry_secs),
            "recover": partial(recover, registry),
            "scrub": partial(scrub_when_due, self.scrubber),
            "prune": partial(self.pruner.run, lambda: self.current().limits.prune_interval_secs),
            "trim": partial(trim, registry),
            "forget": partial(forget, registry),
            "refill": partial(refill, registry),
            "copy": partial(copy, registry),
            "describe": partial(describe, self.current),
            "sample": partial(sample, self.current),
            "watch": Watch(registry).run,
            "webhooks": self._deliver,
            "prefetch": Prefetching(registry.storage, self.puller, registry.now).run,
        }


def housekeeping_of(
    runtime: Runtime, current: Callable[[], Registry], puller: Callable[[RepositoryName], Puller]
) -> Housekeeping:
    """The housekeeping of an instance."""
    collector = Collector(current, count=runtime.metrics.collected)
    pruner = Pruner(
        current, deleted=runtime.metrics.retention_deletes, is_time_known=lambda: behind() is None
    )
    scrubber = scrubber_of(collector, runtime.metrics)
    return Housekeeping(runtime, current, collector, scrubber, pruner, puller)
