"""Quotas: how many bytes a repository may hold."""

from __future__ import annotations

from collections.abc import Mapping

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName, longest_prefix
from angos_trio.records import Frozen, field


class Quota(Frozen):
    """The bound of one repository, in bytes.

    `inner` are the configured repositories right below it, whose namespaces are not its own.
    """

    repository: str
    bytes_max: int
    inner: tuple[str, ...] = ()

    def require(self, used: int, size: int) -> None:
        """Raise DENIED (413) when so many more bytes do not fit beside those that are used."""
        if size > 0 and used + size > self.bytes_max:
            raise OciError(
                Code.DENIED,
                status=413,
                message=f"the quota of {self.repository} is exceeded",
                detail={"quota": self.bytes_max, "used": used, "size": size},
            )


class Quotas(Frozen):
    """The quota of each configured repository, if it has one."""

    by_repository: Mapping[str, Quota | None] = field(default_factory=dict)

    def quota_for(self, namespace: RepositoryName) -> Quota | None:
        """The quota that a namespace counts against: that of the longest name that fits."""
        name = longest_prefix(namespace, self.by_repository)
        return None if name is None else self.by_repository[name]


def quotas_of(bytes_max: Mapping[str, int | None]) -> Quotas:
    """The quotas of the configured repositories, None for those without a bound."""
    found: dict[str, Quota | None] = dict.fromkeys(bytes_max)
    for name, size in bytes_max.items():
        if size is not None:
            inner = tuple(sorted(each for each in bytes_max if _outer(each, bytes_max) == name))
            found[name] = Quota(name, size, inner)
    return Quotas(found)


def _outer(name: str, repositories: Mapping[str, object]) -> str | None:
    """The configured repository that a configured one would belong to if it were not there."""
    return longest_prefix(name.rpartition("/")[0], repositories)
