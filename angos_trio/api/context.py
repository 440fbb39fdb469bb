"""What handlers work with: one frozen value, taken at a request's entry."""

from __future__ import annotations

from collections.abc import Callable

from angos_trio.auth.browser_sessions import SignIn
from angos_trio.browse.storage_use import StorageUse
from angos_trio.browse.unpulled import UnpulledLook
from angos_trio.events.feed import Feed
from angos_trio.events.pulls import ToldPulls
from angos_trio.identity import Identity, Origin
from angos_trio.maintenance.tasks import Tasks
from angos_trio.mirror.pull import Memory
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName
from angos_trio.records import Frozen, field
from angos_trio.registry.context import Registry
from angos_trio.registry.pull import LocalPuller, Puller
from angos_trio.registry.rested import Rested
from angos_trio.telemetry.health import Readiness
from angos_trio.telemetry.metrics import Metrics

NotePull = Callable[[RepositoryName, Reference, Digest, str, Origin], None]
"""Is told what was pulled, by which tag or digest, by whom, and from where."""


def note_nothing(
    name: RepositoryName, reference: Reference, digest: Digest, by: str, origin: Origin
) -> None:
    """For those whose pulls are nobody's use: the operator's."""


PullerOf = Callable[[Registry, RepositoryName], Puller | None]
"""How a namespace is pulled through; None where it is not."""


def nothing_is_pulled_through(registry: Registry, name: RepositoryName) -> Puller | None:
    """Where all content is pushed."""
    return None


def _give_none(identity: Identity) -> None:
    return None


class Runtime(Frozen):
    """The registry, what is told about it, what the steward is asked to do, what happens, who gives
    registry tokens (None: nobody does), and who is told of a pull."""

    registry: Registry
    metrics: Metrics
    readiness: Callable[[], Readiness]
    tasks: Tasks
    feed: Feed
    token_for: Callable[[Identity], tuple[str, int] | None] = _give_none
    note_pull: NotePull = note_nothing
    looks: Rested[StorageUse] = field(default_factory=Rested)
    """At what the disk holds, for the API and for pages."""
    unpulled: Rested[UnpulledLook] = field(default_factory=Rested)
    """At what nobody pulls, likewise."""
    sign_in: SignIn | None = None
    """What lets people sign in on a page; None: nothing does."""
    through: PullerOf = nothing_is_pulled_through
    arriving: Memory | None = None
    """What is under way from upstreams in this process; None where requests are not answered."""
    told_pulls: ToldPulls | None = None
    """Pulls that webhooks are told of; None where nobody gathers them."""

    def puller(self, name: RepositoryName) -> Puller:
        """How the content of a namespace is pulled."""
        return self.through(self.registry, name) or LocalPuller(self.registry)
