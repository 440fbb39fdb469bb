"""When tags and manifests were pulled, as far as that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from angos_trio.oci.codes import OciError
from angos_trio.records import Frozen, field
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import pulls
from angos_trio.storage.metadata.pulls import Pulls
from angos_trio.storage.transactions import Rows


class Pulled(Frozen):
    """When something was pulled last, in epoch seconds, and how often; None: nobody noted one."""

    last_at: int | None = None
    count: int | None = None


class Noted(Frozen):
    """What is known of some tags and digests; `is_on`: pulls are noted now."""

    is_on: bool = False
    by_reference: Mapping[str, Pulls] = field(default_factory=dict)

    def of(self, reference: str) -> Pulled:
        """Of one of them."""
        found = self.by_reference.get(reference)
        if found is None:
            return Pulled(None, 0 if self.is_on else None)
        return Pulled(found.last_at, found.count)


async def pulls_mark(registry: Registry, namespace: str) -> str:
    """Text that changes with each pull of a namespace that is noted."""
    try:
        return str(await registry.storage.stats.run(partial(pulls.mark_of, namespace=namespace)))
    except OciError:
        return ""


async def pulled_of(registry: Registry, namespace: str, references: Iterable[str]) -> Noted:
    """Of tags and digests of a namespace. Nothing is known while the file of pulls cannot be read:
    it can be lost, and no list is refused for it."""
    wanted = list(references)

    def query(rows: Rows) -> Noted:
        return Noted(pulls.began_at(rows) is not None, pulls.of(rows, namespace, wanted))

    try:
        return await registry.storage.stats.run(query)
    except OciError:
        return Noted()
