"""The gate: every request is identified and authorized here, by its route's declared action."""

from __future__ import annotations

import ipaddress
import re

from angos_trio.auth.access import Access
from angos_trio.http.call import Call
from angos_trio.http.routing import Operation
from angos_trio.identity import Action, Caller, Decision, Identity, Target, anonymous
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.telemetry.log import logger

_audit = logger("audit")
_HOST = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_-][A-Za-z0-9._-]*))(?::[0-9]{1,5})?",
    re.ASCII,
)


_QUERY_NAMES = {
    "digest": ("digest", "mount"),
    "from": ("from",),
    "n": ("n",),
    "last": ("last",),
    "artifact_type": ("artifactType",),
    "digest_algorithm": ("digest-algorithm",),
}


class Gate:
    """Holds the access rules in force."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def identify(self, address: str) -> Caller:
        """Who is calling. There are no credentials yet, so everybody is anonymous."""
        identity = anonymous(address)

        async def may(action: Action, target: Target) -> Decision:
            return await self._access.authorize(identity, action, target)

        def sees(namespace: str) -> bool:
            return self._access.visible(identity, namespace)

        return Caller(identity, may, sees)

    async def admit(self, call: Call, operation: Operation) -> None:
        """Let the request pass, or raise UNAUTHORIZED (401) or DENIED (403).

        A malformed repository name, or a query that cannot be decoded, is NAME_INVALID (400) before
        anything is asked about it.
        """
        caller, host = call.caller, call.header("Host")
        namespace = call.name if "name" in call.values else None
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
        decision = await caller.may(operation.action, target_of(call, operation.action))
        if not decision.allowed:
            _audit_denial(caller.identity, operation.action, namespace, decision)
            raise _refusal(caller.identity, operation.action)


def target_of(call: Call, action: Action) -> Target:
    """What a request is about, by the names that policies know; the older and the newer ones.

    A session is `uuid` and `session_id`. A push of a manifest has `reference`, `tags` with every
    tag that it would make, and `digest` where it is by digest.
    """
    query = call.query
    named: dict[str, str | list[str]] = {}
    for name, keys in _QUERY_NAMES.items():
        values = [value for key in keys for value in query.all(key)]
        if values:
            named[name] = values[0]
    for name in ("digest", "reference"):
        if name in call.values:
            named[name] = call.values[name]
    if "session" in call.values:
        named["uuid"] = named["session_id"] = call.values["session"]
    reference = call.values.get("reference")
    if reference is not None and ":" in reference:
        named["digest"] = reference
    if reference is not None and action is Action.PUT_MANIFEST:
        named["tags"] = query.all("tag") if ":" in reference else [reference]
    return Target(call.name if "name" in call.values else None, named)


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
