"""Asking the webhooks that decide before something is done, and what is said of a pull."""

from __future__ import annotations

from angos_trio.events.asking import ask
from angos_trio.events.endpoints import Kind
from angos_trio.events.messages import DONE, REQUESTED, Happening, is_ours, new_id
from angos_trio.identity import Caller
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry


class About(Frozen):
    """Something that is to be done in a namespace, or was: `reference` is what a manifest was named
    by."""

    kind: Kind
    name: RepositoryName
    digest: Digest | None = None
    reference: Reference | None = None

    def happening(self, registry: Registry, caller: Caller, phase: str) -> Happening:
        """As webhooks are told it."""
        return Happening(
            id=new_id(),
            at=registry.now(),
            kind=self.kind,
            phase=phase,
            namespace=self.name,
            repository=registry.endpoints.repository_of(self.name),
            actor=caller.identity.owner,
            address=caller.origin.address,
            digest=self.digest,
            reference=self.reference,
            tag=self.reference if isinstance(self.reference, Tag) else None,
        )


async def require_allowed(registry: Registry, caller: Caller, *abouts: About) -> None:
    """Return when every webhook that decides has said yes to each of these. Raises DENIED (403) or
    UNAVAILABLE (503). What the registry does by itself is asked of nobody."""
    if is_ours(caller.identity.owner):
        return
    for about in abouts:
        for endpoint in registry.endpoints.asked(about.kind, about.name):
            happening = about.happening(registry, caller, REQUESTED)
            await ask(endpoint, registry.webhook_metrics, happening)


def told_pull(registry: Registry, caller: Caller, about: About) -> Happening | None:
    """What webhooks are told of a pull; None where none is told."""
    if not registry.endpoints.told_of(about.kind, about.name):
        return None
    return about.happening(registry, caller, DONE)
