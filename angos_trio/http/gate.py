"""The gate: every request is identified and authorized here, by its route's declared action."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

from quart_trio.wrappers.request import TrioRequest

from angos_trio.auth.access import Access
from angos_trio.auth.authenticate import Authenticator, NotAuthenticatedError, Shown
from angos_trio.http.call import Call, is_socket
from angos_trio.http.challenge import LOGIN, Challenges
from angos_trio.http.cookies import Cookie, secret_in
from angos_trio.http.front import Front, is_loopback_host, is_own_wish
from angos_trio.http.routing import Admission, Operation
from angos_trio.identity import (
    CERTIFICATE_EXTENSION,
    LOCAL_ADDRESS,
    Action,
    Approach,
    Caller,
    Certificate,
    Decision,
    Identity,
    Target,
    anonymous,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen, Mutable, field
from angos_trio.telemetry.log import logger

_audit = logger("audit")
_PAGE = {"n": ("n",), "last": ("last",)}
_QUERY_NAMES: Mapping[Action, Mapping[str, Sequence[str]]] = {
    Action.START_UPLOAD: {
        "digest": ("mount", "digest"),
        "from": ("from",),
        "digest_algorithm": ("digest-algorithm",),
    },
    Action.COMPLETE_UPLOAD: {"digest": ("digest",)},
    Action.LIST_TAGS: _PAGE,
    Action.LIST_CATALOG: _PAGE,
    Action.GET_REFERRERS: {"last": ("last",), "artifact_type": ("artifactType",)},
}
"""What the query of each action says, by the first key of these that is there. A key that a handler
does not look at is no fact: whoever adds it to an address must not satisfy a rule with it."""


class Gate(Frozen):
    """Rules: who is who, who may do what, and how the registry is reached. `in_force` is the gate
    that counts later on, after a reload; None is this one for ever."""

    access: Access
    authenticator: Authenticator
    front: Front = field(default_factory=Front)
    challenges: Challenges = field(default_factory=Challenges)
    in_force: Callable[[], Gate] | None = None

    async def admit(
        self,
        request: TrioRequest,
        operation: Operation,
        values: Mapping[str, str],
        approach: Approach,
        request_id: str,
        *,
        takes_session: bool = False,
    ) -> Call:
        """Identify the caller and let the request pass, or refuse it.

        `takes_session`: a browser that signed in may be known by its session here.

        Raises UNAUTHORIZED (401), DENIED (403), TOOMANYREQUESTS (429) or UNAVAILABLE (503). A
        malformed repository name, or a query that cannot be decoded, is NAME_INVALID (400) before
        anything is asked about it.
        """
        nobody = self.bind(anonymous(approach.address), approach)
        asked = _Asked(operation.action, approach, certificate_of(request), request_id)
        if takes_session:
            asked.session = self._session_of(request, approach)
        identify = partial(self._identify, asked)
        refuse = partial(self._refusal, asked, nobody.identity)
        call = Call(request, nobody, values, request_id, identify, refuse)
        asked.namespace = call.name if "name" in values else None
        self._refuse_other_sites(asked, is_socket=is_socket(request.scope))
        if operation.admission is Admission.PUBLIC:
            return call
        await self._pass(call, operation, asked)
        call.standing = _Standing(self, call, operation, asked)
        return call

    async def _pass(self, call: Call, operation: Operation, asked: _Asked) -> None:
        """Say who calls, and let them pass or refuse them."""
        self._refuse_other_hosts(asked)
        nobody = self.bind(anonymous(asked.approach.address), asked.approach)
        call.caller = await self._caller(operation, asked) or nobody
        call.refuse = partial(self._refusal, asked, call.caller.identity)
        if operation.admission is Admission.POLICY:
            call.decision = await self._authorize(call, asked)

    def _session_of(self, request: TrioRequest, approach: Approach) -> str | None:
        """The secret that the browser shows, where what it asks for is its own page's wish."""
        url = self.front.url(approach)
        if _authorization(approach.headers) is not None:
            return None  # who shows a credential is known by that
        if not is_own_wish(approach, url, is_socket=is_socket(request.scope)):
            return None
        return secret_in(request.cookies, Cookie.SESSION, url)

    def approach(self, request: TrioRequest) -> Approach:
        """How a request came, with what trusted proxies say of it."""
        scope = request.scope
        client = scope.get("client")
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        peer = str(client[0]) if client else LOCAL_ADDRESS
        uri = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            uri = f"{uri}?{scope['query_string'].decode('latin-1')}"
        return self.front.approach(request.method, scope["scheme"], uri, peer, headers)

    def url_of(self, request: TrioRequest) -> str | None:
        """Scheme and authority by which a client reaches the registry; None when it does not say.

        What is shown to people as an address is this and nothing else.
        """
        return self.front.url(self.approach(request))

    def bind(self, identity: Identity, approach: Approach) -> Caller:
        """The caller, with the access rules bound to them and to how they came."""
        access = self.access

        async def may(action: Action, target: Target) -> Decision:
            return await access.authorize(identity, action, target, approach)

        def sees(namespace: str) -> bool:
            return access.visible(identity, namespace, approach)

        async def learn(namespaces: Sequence[str], deadline: float) -> None:
            await access.learn(identity, namespaces, approach, deadline)

        def could(action: Action, target: Target) -> bool:
            return access.decide(identity, action, target).allowed

        sees_all = partial(access.sees_all, identity)
        client = approach.header("user-agent") or ""
        return Caller(identity, may, sees, learn, sees_all, could, client)

    async def _caller(self, operation: Operation, asked: _Asked) -> Caller | None:
        """Who calls; None where that is of no account and something wrong was shown."""
        authorization = _authorization(asked.approach.headers)
        try:
            identity = await self._identify(asked, authorization)
        except OciError:
            if operation.admission is Admission.OPTIONAL:
                return None
            raise
        # Clients of the token flow show credentials only after `/v2/` has asked for them, and bring
        # an anonymous token where they have none (docker, podman, containerd).
        is_unknown = authorization is None and identity.method == "anonymous"
        if is_unknown and self.challenges.has_tokens and asked.action is Action.GET_API_VERSION:
            raise self._challenge(asked, was_refused=False)
        return self.bind(identity, asked.approach)

    async def _identify(self, asked: _Asked, authorization: str | None) -> Identity:
        """Who shows this. Raises UNAUTHORIZED (401), or as the authenticator does."""
        shown = Shown(asked.approach.address, authorization, asked.certificate, asked.session)
        try:
            return await self.authenticator.authenticate(shown)
        except NotAuthenticatedError as error:
            asked.log_failed(401, error.reason, error.subject)
            raise self._challenge(asked, was_refused=True, message=error.told) from None
        except OciError as error:
            asked.log_failed(error.status, error.message)
            raise

    async def _authorize(self, call: Call, asked: _Asked) -> Decision:
        target = target_of(call, asked.action)
        decision = await call.caller.may(asked.action, target)
        for tag in more_tags(target):
            if decision.allowed:
                each = Target(target.namespace, {**target.named, "reference": tag})
                decision = await call.caller.may(asked.action, each)
        if decision.allowed:
            return decision
        raise call.refuse(asked.action, decision)

    def _refusal(
        self, request: _Asked, identity: Identity, action: Action, decision: Decision
    ) -> OciError:
        """The answer to who may not do this: 403, and 401 for who has not said who they are."""
        asked = dataclasses.replace(request, action=action)
        asked.log_denied(decision.rule, decision.reason, identity)
        if identity.subject:
            return OciError(Code.DENIED, status=403, detail=asked.action)
        return self._challenge(asked, was_refused=False)

    def _refuse_other_sites(self, asked: _Asked, *, is_socket: bool) -> None:
        problem = self.front.problem_of_origin(asked.approach, is_socket=is_socket)
        if problem is not None:
            asked.log_denied("origin", problem)
            raise OciError(Code.DENIED, status=403, message=problem, detail=asked.action)

    def _refuse_other_hosts(self, asked: _Asked) -> None:
        host = asked.approach.host
        if not self.access.loopback_only or is_loopback_host(host):
            return
        problem = "the Host header names no loopback host"
        asked.log_denied("loopback-host", problem)
        raise OciError(
            Code.DENIED,
            status=403,
            message="this registry is open to the local host only; ask for it by that name",
            detail=host,
        )

    def _challenge(
        self, asked: _Asked, *, was_refused: bool, message: str | None = None
    ) -> OciError:
        url = self.front.url(asked.approach)
        header = self.challenges.header(url, asked.action, asked.namespace, was_refused=was_refused)
        if asked.session is not None:
            header = LOGIN
        return OciError(
            Code.UNAUTHORIZED,
            message=message,
            detail=asked.action,
            headers={"WWW-Authenticate": header},
        )


@dataclasses.dataclass(slots=True)
class _Asked:
    """A request as the gate sees it, for decisions and the audit log."""

    action: Action
    approach: Approach
    certificate: Certificate | None
    request_id: str
    namespace: str | None = None
    session: str | None = dataclasses.field(default=None, repr=False)

    def log_denied(self, rule: str, reason: str, identity: Identity | None = None) -> None:
        """Somebody may not do this; by what rule, and why."""
        _audit.warning(
            "access.denied",
            request_id=self.request_id,
            action=self.action,
            namespace=self.namespace,
            address=self.approach.address,
            identity=None if identity is None else identity.owner,
            rule=rule,
            reason=reason,
        )

    def log_failed(self, status: int, reason: str, subject: str = "") -> None:
        """Nobody knows who this is; what they said they are, and what was wrong with it."""
        _audit.warning(
            "authentication.failed",
            request_id=self.request_id,
            action=self.action,
            namespace=self.namespace,
            address=self.approach.address,
            subject=subject,
            status=status,
            reason=reason,
        )


class _Standing(Mutable):
    """A request that `gate` let pass, for later looks. See `call.Standing`."""

    gate: Gate
    call: Call
    operation: Operation
    asked: _Asked

    @property
    def is_outdated(self) -> bool:
        """Whether another gate is in force."""
        return self._in_force() is not self.gate

    def caller(self) -> Caller:
        """The same identity, bound to the rules in force."""
        return self._in_force().bind(self.call.caller.identity, self.asked.approach)

    async def renew(self) -> None:
        """Identify and authorize anew."""
        gate = self._in_force()
        await gate._pass(self.call, self.operation, self.asked)
        self.gate = gate

    def _in_force(self) -> Gate:
        return self.gate if self.gate.in_force is None else self.gate.in_force()


def _authorization(headers: Sequence[tuple[str, str]]) -> str | None:
    """The `Authorization` header; several make one that nobody takes (RFC 9110 5.3)."""
    values = [value for name, value in headers if name == "authorization"]
    return ", ".join(values) if values else None


def certificate_of(request: TrioRequest) -> Certificate | None:
    """The client certificate that `server` hands on."""
    found = request.scope.get("extensions", {}).get(CERTIFICATE_EXTENSION)
    return cast(Certificate | None, found)


def target_of(call: Call, action: Action) -> Target:
    """What a request is about, by the names that policies know; the older and the newer ones.

    A session is `uuid` and `session_id`. A push of a manifest has `reference`, `tags` with every
    tag that it would make, and `digest` where it is by digest.
    """
    query = call.query
    named: dict[str, str | list[str]] = {}
    for name, keys in _QUERY_NAMES.get(action, {}).items():
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


def more_tags(target: Target) -> Sequence[str]:
    """The tags that a push by digest makes beside. Rules and webhooks may know a tag as
    `reference` only, so each is asked about as if it were pushed itself."""
    tags, reference = target.named.get("tags", ()), target.named.get("reference")
    return [tag for tag in dict.fromkeys(tags) if tag != reference]
