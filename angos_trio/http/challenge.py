"""What a caller who is not known is told: how to say who they are (RFC 7617, RFC 6750 and the
distribution specification's token flow)."""

from __future__ import annotations

from typing import Final

from angos_trio.identity import Action
from angos_trio.records import Frozen

BASIC: Final = 'Basic realm="angos-trio", charset="UTF-8"'
LOGIN: Final = 'Bearer realm="angos-trio"'
"""For browsers, which sign in on a page: they show it, where Basic makes them ask by themselves."""
SERVICE: Final = "angos-trio"
"""The `service` of the token flow, and the audience of registry tokens."""
_PULL: Final = frozenset(
    {Action.GET_BLOB, Action.GET_MANIFEST, Action.LIST_TAGS, Action.GET_REFERRERS}
)
_DELETE: Final = frozenset({Action.DELETE_BLOB, Action.DELETE_MANIFEST})


class Challenges(Frozen):
    """`has_tokens`: the token service is there; `realm` is its URL if the operator names one."""

    has_tokens: bool = False
    realm: str | None = None

    def header(
        self, own_url: str | None, action: Action, namespace: str | None, *, was_refused: bool
    ) -> str:
        """`WWW-Authenticate` for a request; `own_url` is where this client reaches the registry.

        `was_refused`: something was shown, and it was wrong. The scope says what would be needed; a
        token is of its bearer and is worth the same with any.
        """
        realm = self.realm or (None if own_url is None else f"{own_url}/token")
        if not self.has_tokens or realm is None or action is Action.GET_TOKEN:
            return BASIC
        parts = {"realm": realm, "service": SERVICE}
        scope = scope_of(action, namespace)
        if scope is not None:
            parts["scope"] = scope
        if was_refused:
            parts["error"] = "invalid_token"
        return "Bearer " + ",".join(f'{name}="{value}"' for name, value in parts.items())


def scope_of(action: Action, namespace: str | None) -> str | None:
    """What clients of the token flow call the right to do this."""
    if action is Action.LIST_CATALOG:
        return "registry:catalog:*"
    if namespace is None:
        return None
    if action in _PULL:
        return f"repository:{namespace}:pull"
    if action in _DELETE:
        return f"repository:{namespace}:delete"
    return f"repository:{namespace}:pull,push"
