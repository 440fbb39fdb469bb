"""The gate: every request is identified and authorized here, by its route's declared action."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from angos_trio.auth.access import Access
from angos_trio.http.routing import Operation
from angos_trio.identity import Action, Caller, Decision, Identity, anonymous
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.telemetry.log import logger

_audit = logger("audit")
_HOST = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_-][A-Za-z0-9._-]*))(?::[0-9]{1,5})?",
    re.ASCII,
)


class Gate:
    """Holds the access rules in force."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def identify(self, address: str) -> Caller:
        """Who is calling. There are no credentials yet, so everybody is anonymous."""
        identity = anonymous(address)

        async def may(action: Action, namespace: str | None) -> Decision:
            return await self._access.authorize(identity, action, namespace)

        def sees(namespace: str) -> bool:
            return self._access.visible(identity, namespace)

        return Caller(identity, may, sees)

    async def admit(
        self,
        caller: Caller,
        operation: Operation,
        values: Mapping[str, str],
        host: str | None,
    ) -> None:
        """Let the request pass, or raise UNAUTHORIZED (401) or DENIED (403).

        A malformed repository name is NAME_INVALID (400) before anything is asked about it.
        """
        namespace = RepositoryName(values["name"]) if "name" in values else None
        if operation.is_public:
            return
        if self._access.loopback_only and not is_loopback_host(host):
            foreign = Decision(False, "loopback-host", "the Host header names no loopback host")
            _audit_denial(caller.identity, operation.action, namespace, foreign)
            raise OciError(
                Code.DENIED,
                status=403,
                message="this registry is open to the local host only; ask for it by that name",
                detail=host,
            )
        decision = await caller.may(operation.action, namespace)
        if not decision.allowed:
            _audit_denial(caller.identity, operation.action, namespace, decision)
            raise _refusal(caller.identity, operation.action)


def _audit_denial(
    identity: Identity, action: Action, namespace: RepositoryName | None, decision: Decision
) -> None:
    _audit.warning(
        "access.denied",
        action=action,
        namespace=namespace,
        address=identity.address,
        rule=decision.rule,
        reason=decision.reason,
    )


def _refusal(identity: Identity, action: Action) -> OciError:
    """A known caller is refused; a stranger is asked who they are."""
    if identity.subject:
        return OciError(Code.DENIED, status=403, detail=action)
    return OciError(
        Code.UNAUTHORIZED,
        detail=action,
        headers={"WWW-Authenticate": 'Basic realm="angos-trio", charset="UTF-8"'},
    )


def is_loopback_host(host: str | None) -> bool:
    """Whether a `Host` header names this machine by a loopback name or address.

    RFC 9110 7.2: host [ ":" port ]; what is not of that form is never loopback.
    """
    match = _HOST.fullmatch(host or "")
    if match is None:
        return False
    if match["v6"] is not None:
        return is_loopback_address(match["v6"])
    name = match["name"].lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or is_loopback_address(name)


def is_loopback_address(address: str) -> bool:
    """Whether an IP address, as text, is this machine's own; a name is not."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
