"""Event webhooks: who elsewhere is told of what happens, and who is asked before."""

from __future__ import annotations

import dataclasses
import re
import ssl
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from angos_trio.oci.names import longest_prefix
from angos_trio.records import Frozen, field

QUEUE: Final = "webhook."
"""What the queues of deliveries begin with; the name of the webhook follows."""


class Kind(StrEnum):
    """What a webhook can be told of; the names are those of the original."""

    MANIFEST_PUSH = "manifest.push"
    MANIFEST_PULL = "manifest.pull"
    MANIFEST_DELETE = "manifest.delete"
    BLOB_PUSH = "blob.push"
    BLOB_PULL = "blob.pull"
    BLOB_DELETE = "blob.delete"
    TAG_CREATE = "tag.create"
    TAG_DELETE = "tag.delete"


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook. `is_required`: it is asked before something is done, and can refuse it; others are
    told afterwards. `retries_max` of None is the default of its kind. One of `filters`
    is found in the name of a namespace; without any, all are told of."""

    name: str
    url: str
    kinds: frozenset[Kind]
    tls: ssl.SSLContext = dataclasses.field(repr=False, compare=False)
    is_required: bool = False
    token: str | None = dataclasses.field(default=None, repr=False)
    timeout_secs: float = 5.0
    retries_max: int | None = None
    filters: tuple[re.Pattern[str], ...] | None = None

    @property
    def queue(self) -> str:
        """The queue of its deliveries."""
        return f"{QUEUE}{self.name}"

    def wants(self, kind: Kind, namespace: str) -> bool:
        """Whether it is told of this."""
        if kind not in self.kinds:
            return False
        return self.filters is None or any(each.search(namespace) for each in self.filters)


class Endpoints(Frozen):
    """Every webhook of the configuration, and which of them a namespace has: those of its
    repository where that says something, else those of the registry."""

    by_name: Mapping[str, Endpoint] = field(default_factory=dict)
    everywhere: tuple[str, ...] = ()
    by_repository: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)

    @property
    def told(self) -> Mapping[str, Endpoint]:
        """Those that are told of what has happened."""
        return {name: each for name, each in self.by_name.items() if not each.is_required}

    def repository_of(self, namespace: str) -> str | None:
        """The configured repository that a namespace belongs to."""
        return longest_prefix(namespace, self.by_repository)

    def asked(self, kind: Kind, namespace: str) -> Sequence[Endpoint]:
        """Those that are asked before something of this kind is done."""
        return [each for each in self._of(kind, namespace) if each.is_required]

    def told_of(self, kind: Kind, namespace: str) -> Sequence[Endpoint]:
        """Those that are told of something of this kind."""
        return [each for each in self._of(kind, namespace) if not each.is_required]

    def _of(self, kind: Kind, namespace: str) -> list[Endpoint]:
        if not self.by_name:
            return []
        repository = self.repository_of(namespace)
        own = None if repository is None else self.by_repository[repository]
        names = self.everywhere if own is None else own
        found = (self.by_name[name] for name in names)
        return [each for each in found if each.wants(kind, namespace)]


NO_ENDPOINTS: Final = Endpoints()
"""Nobody is asked or told."""
