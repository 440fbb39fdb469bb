"""What every use-case is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from angos_trio.policy.immutability import TagRules
from angos_trio.storage.store import Storage


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that the operator may set: sizes in bytes, times in seconds."""

    manifest_bytes_max: int
    blob_bytes_max: int
    uploads_per_caller_max: int
    lease_secs: int
    untagged_secs: int | None = None
    """How long a manifest without a tag is kept; None: until somebody deletes it."""


@dataclass(frozen=True, slots=True)
class Registry:
    """The collaborators of the use-cases."""

    storage: Storage
    limits: Limits
    tag_rules: TagRules
    allows_missing_references: bool
    now: Callable[[], int]
    """Epoch seconds."""

    def lease_until(self) -> int:
        """When a lease that begins now ends."""
        return self.now() + self.limits.lease_secs
