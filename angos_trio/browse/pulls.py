"""Who pulled a manifest lately, and how often it was pulled each day."""

from __future__ import annotations

from collections.abc import Sequence

from angos_trio.browse.pulled import Noted, Pulled
from angos_trio.identity import Action, Caller, Target
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import pull_history, pulls
from angos_trio.storage.metadata.pull_history import Line
from angos_trio.storage.transactions import Rows


class PullHistory(Frozen):
    """What is known of the pulls of a manifest, by whatever tag.

    `since` is the time since which none was missed, in epoch seconds; None: they are not recorded
    now. `lines` are the last ones, the latest first; `days` say when each day of UTC began and how
    many pulls it had, the last one being today. `has_addresses`: who looks may see from where.
    """

    pulled: Pulled
    since: int | None
    lines: Sequence[Line]
    days: Sequence[tuple[int, int]]
    has_addresses: bool

    @property
    def is_on(self) -> bool:
        """Whether pulls are recorded now."""
        return self.since is not None


async def may_see_pulls(caller: Caller, name: RepositoryName) -> bool:
    """Whether the caller may look at the pulls of a namespace."""
    return (await caller.may(Action.LIST_PULLS, Target(name))).allowed


async def pull_history_of(
    registry: Registry, caller: Caller, name: RepositoryName, digest: Digest
) -> PullHistory:
    """For somebody who may see pulls. From where they came is a right of its own: an address says
    where a person or a machine is, which nobody needs to know who looks after images.

    Raises UNAVAILABLE (503) while the file of pulls cannot be read.
    """
    now = registry.now()

    def query(
        rows: Rows,
    ) -> tuple[int | None, dict[str, pulls.Pulls], list[Line], list[tuple[int, int]]]:
        return (
            pulls.began_at(rows),
            pulls.of(rows, name, [digest]),
            pull_history.lines_of(rows, name, digest, now),
            pull_history.counts_of(rows, name, digest, now),
        )

    since, counted, lines, days = await registry.storage.stats.run(query)
    decision = await caller.may(Action.GET_PULL_ADDRESSES, Target(name))
    return PullHistory(
        Noted(since is not None, counted).of(digest), since, lines, days, decision.allowed
    )
