"""What every use-case is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from angos_trio.events.endpoints import NO_ENDPOINTS, Endpoints
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName, longest_prefix
from angos_trio.policy.immutability import TagRules
from angos_trio.policy.quota import Quotas
from angos_trio.policy.retention import RetentionRules
from angos_trio.records import Frozen
from angos_trio.storage.metadata import switches
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Outcome, Rows, Step, Transaction
from angos_trio.storage.writer import Settled

if TYPE_CHECKING:
    from angos_trio.telemetry.metrics import WebhookMetrics

NO_RETENTION: Final = RetentionRules()
"""Nothing goes."""


class Limits(Frozen):
    """Bounds that the operator may set: sizes in bytes, times in seconds."""

    manifest_bytes_max: int
    blob_bytes_max: int
    uploads_per_caller_max: int
    lease_secs: int
    untagged_secs: int | None = None
    """How long a manifest without a tag is kept; None: until somebody deletes it."""
    scrub_secs: int | None = None
    """From the end of a scheduled scrub to the next one; None: there is none."""
    scrub_bytes_per_sec: int | None = None
    """What a scheduled scrub reads; None: as fast as it goes."""
    prune_interval_secs: int = 3600
    """Between two runs of retention."""


class ReadOnlyError(OciError):
    """The operator has switched the registry to read-only (405), at a time in epoch seconds."""

    def __init__(self, since: int) -> None:
        super().__init__(
            Code.UNSUPPORTED,
            status=405,
            message="the registry is read-only",
            detail={"since": since},
        )


def require_changeable(rows: Rows) -> None:
    """Raise ReadOnlyError while the switch is on; one point query."""
    found = switches.find_read_only(rows)
    if found is not None:
        raise ReadOnlyError(found.since)


class Registry(Frozen):
    """The collaborators of the use-cases."""

    storage: Storage
    limits: Limits
    tag_rules: TagRules
    allows_missing_references: bool
    now: Callable[[], int]
    """Epoch seconds."""
    quotas: Quotas
    retention: RetentionRules = NO_RETENTION
    pulled_through: frozenset[str] = frozenset()
    """Repositories whose content comes from upstream alone."""
    endpoints: Endpoints = NO_ENDPOINTS
    """Webhooks, of which some are asked before something is done."""
    webhook_metrics: WebhookMetrics | None = None
    """Where it is counted what they say."""

    def lease_until(self) -> int:
        """When a lease that begins now ends."""
        return self.now() + self.limits.lease_secs

    def takes_pushes(self, name: str) -> bool:
        """Whether anything is pushed to a repository or namespace."""
        repository = longest_prefix(name, self.tag_rules.by_repository)
        return repository not in self.pulled_through

    def require_takes_pushes(self, name: RepositoryName) -> None:
        """Raise UNSUPPORTED (405) for a namespace whose content comes from upstream alone."""
        if not self.takes_pushes(name):
            raise OciError(
                Code.UNSUPPORTED,
                status=405,
                message="the repository is pulled through; nothing is pushed to it",
                detail=name,
            )

    async def require_changeable(self) -> None:
        """Raise ReadOnlyError (405) while the switch is on: before a body is read."""
        await self.storage.read_point(require_changeable)

    async def change(
        self, step: Step[Outcome], settled: Settled | None = None, *, makes_room: bool = False
    ) -> Outcome:
        """As `Storage.write`, for what somebody asks for: raises ReadOnlyError (405) while the
        registry is read-only, in whichever process it was switched."""

        def checked(transaction: Transaction) -> Outcome:
            require_changeable(transaction.rows)
            return step(transaction)

        return await self.storage.write(checked, settled, makes_room=makes_room)
