"""The only decisions about access. The gate asks for every request; use-cases ask for a mount."""

from __future__ import annotations

from dataclasses import dataclass

from angos_trio.identity import Action, Decision, Identity


@dataclass(frozen=True, slots=True)
class Access:
    """The rule in force: everybody may do everything, or nobody anything.

    `is_open` comes from `global.access_policy.default = "allow"`, or from a registry that is bound
    to a loopback address and has no policy; in the latter case requests must name a loopback host
    as well (`loopback_only`), so that a web page cannot reach it under another name.
    """

    is_open: bool
    loopback_only: bool

    async def authorize(
        self, identity: Identity, action: Action, namespace: str | None
    ) -> Decision:
        """Whether the identity may do this to the namespace (None: to the registry itself)."""
        if self.is_open:
            return Decision(True, "open")
        return Decision(False, "default", f"{action} on {namespace or 'the registry'}")

    def visible(self, identity: Identity, namespace: str) -> bool:
        """Whether a listing shows the namespace to the identity."""
        return self.is_open
