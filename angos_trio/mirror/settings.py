"""What the configuration says of repositories that are pulled through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from angos_trio.mirror.upstream import Upstream
from angos_trio.oci.names import RepositoryName, longest_prefix
from angos_trio.records import Frozen, field


class Mirrored(Frozen):
    """A repository that is pulled through. Its upstreams are asked in order.

    `tag_check_secs` is how long a tag counts as it was found; 0 asks each time, None never again.
    `prefetches`: the parts of what was pulled come by themselves, of an index those of `platforms`,
    or all. `serves_stale`: what is here is given while no upstream can say. `is_offline`: none is
    asked.
    """

    repository: str
    upstreams: Sequence[Upstream]
    tag_check_secs: int | None = 60
    serves_stale: bool = True
    is_offline: bool = False
    prefetches: bool = False
    platforms: tuple[str, ...] = ()

    @property
    def hosts(self) -> list[str]:
        """Of the upstreams, in order."""
        return [upstream.settings.host for upstream in self.upstreams]

    def remote_name(self, namespace: RepositoryName) -> str:
        """What a namespace is called there; empty for the repository itself."""
        return namespace.removeprefix(self.repository).lstrip("/")


class Mirrors(Frozen):
    """Every configured repository, with None for those that are not pulled through; and which
    repository stands for a registry that a client names (`?ns=`)."""

    by_repository: Mapping[str, Mirrored | None] = field(default_factory=dict)
    by_registry: Mapping[str, str] = field(default_factory=dict)

    @property
    def pulled_through(self) -> frozenset[str]:
        """The repositories that are."""
        return frozenset(name for name, found in self.by_repository.items() if found is not None)

    def of(self, namespace: RepositoryName) -> Mirrored | None:
        """How a namespace is pulled through; None where it is not."""
        name = longest_prefix(namespace, self.by_repository)
        return None if name is None else self.by_repository[name]
