"""What pages tell of the registry as a whole, beside what its rows say."""

from __future__ import annotations

from collections.abc import Callable

from angos_trio.browse.storage_use import StorageUse
from angos_trio.browse.unpulled import UnpulledLook
from angos_trio.maintenance.preview import Preview
from angos_trio.maintenance.tasks import Tasks
from angos_trio.records import Frozen, field
from angos_trio.registry.rested import Rested
from angos_trio.telemetry.health import Readiness


class House(Frozen):
    """How the instance is (`readiness` blocks), the runs that can be asked for, how callers are
    recognised in a phrase each, and the last looks at what the disk holds, at what would go, and at
    what nobody pulls."""

    readiness: Callable[[], Readiness]
    tasks: Tasks
    looks: Rested[StorageUse]
    methods: tuple[str, ...] = ()
    previews: Rested[Preview] = field(default_factory=Rested)
    unpulled: Rested[UnpulledLook] = field(default_factory=Rested)
