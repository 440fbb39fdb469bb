"""The ASGI application: Quart-Trio with our routes, gate, bodies and answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers.request import TrioRequest

from angos_trio.http.body import BodyTooLargeError, ClientGoneError, RequestBody
from angos_trio.http.call import Call, Query
from angos_trio.http.gate import Gate
from angos_trio.http.reply import Reply, error_reply
from angos_trio.http.routing import Match, Operation, Route, RouteTable, Worder
from angos_trio.identity import Approach
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Mutable
from angos_trio.telemetry.log import logger
from angos_trio.telemetry.metrics import Metrics

_log = logger("http")
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
CANCELLED_STATUS = 499
"""Stands in logs and metrics for a request that was cancelled, or whose client left; never sent."""


class _Request(TrioRequest):
    body_class = RequestBody


class _Connection(TrioASGIHTTPConnection):
    """One request without background tasks: the handler pulls the body, then the reply is sent."""

    async def __call__(self, receive: Any, send: Any) -> None:
        request = self._create_request_from_scope(send)
        cast(RequestBody, request.body).attach(receive)
        await cast(Application, self.app).answer(cast(TrioRequest, request), send)


class _Handshake(_Connection):
    """A WebSocket's handshake: a GET like any other, until a handler accepts it (RFC 6455 4.1)."""

    def __init__(self, app: Any, scope: Any) -> None:
        scheme = _HTTP_SCHEMES.get(scope["scheme"], scope["scheme"])
        seen = cast(Any, {**scope, "method": "GET", "scheme": scheme})
        super().__init__(app, seen)

    async def __call__(self, receive: Any, send: Any) -> None:
        await super().__call__(receive, partial(_refusing, send))


async def _refusing(send: Any, message: Any) -> None:
    """Answers that do not accept go out as the WebSocket extension for them wants it."""
    kind = message["type"]
    if kind.startswith("http."):
        message = {**message, "type": f"websocket.{kind}"}
    await send(message)


class Application(QuartTrio):
    """Routes requests through the gate to the handlers."""

    asgi_http_class = _Connection
    asgi_websocket_class = cast(Any, _Handshake)  # Quart's has more to do
    request_class = _Request

    def __init__(
        self,
        routes: RouteTable,
        gate: Gate,
        metrics: Metrics,
        worker: str | None = None,
        stand_ins: Mapping[str, str] | None = None,
    ) -> None:
        """`worker`: what to name in a header of each answer, for those who look for a defect.

        `stand_ins`: which repository stands for a registry that a client names by `ns`.
        """
        super().__init__("angos_trio", static_folder=None, template_folder=None)
        self._routes = routes
        self._gate = gate
        self._metrics = metrics
        self._worker = worker
        self._stand_ins = stand_ins or {}

    async def answer(self, request: TrioRequest, send: Any) -> None:
        """Handle one request to the end of its answer. Errors become answers here, once."""
        approach = self._gate.approach(request)
        told = _Told(secrets.token_hex(8), approach.address)
        begun_at = time.perf_counter()
        self._metrics.request_begins()
        try:
            reply = await self._reply(request, approach, told)
            reply.headers["X-Request-Id"] = told.request_id
            if told.registry is not None:
                reply.headers["OCI-Namespace"] = told.registry
            if self._worker is not None:
                reply.headers["X-Angos-Worker"] = self._worker
            if not told.client_left:
                told.status = reply.status
            await reply.send(request.scope, send)
        finally:
            duration_ms = (time.perf_counter() - begun_at) * 1000
            self._metrics.request_ends(request.method, told.action, told.status, duration_ms)
            if request.method in _CHANGING or told.status >= 500:
                _log.info(
                    "request",
                    request_id=told.request_id,
                    method=request.method,
                    action=told.action,
                    path=request.scope["raw_path"][:512].decode("latin-1"),
                    status=told.status,
                    duration_ms=round(duration_ms, 1),
                    client=told.client,
                    identity=told.identity,
                    api_key=told.api_key,
                    rule=told.rule,
                )

    async def _reply(self, request: TrioRequest, approach: Approach, told: _Told) -> Reply:
        word: Worder = _word
        try:
            match = self._find(request)
            word = match.route.word or word
            operation = _operation(match.route, request.method)
            told.action = str(operation.action)
            values = match.values
            if not match.route.takes_session:  # of what clients of registries ask for
                values, told.registry = stood_in(values, request, self._stand_ins)
            call = await self._gate.admit(
                request,
                operation,
                values,
                approach,
                told.request_id,
                takes_session=match.route.takes_session,
            )
            told.note(call)
            return await operation.handler(call)
        except Exception as error:
            told.client_left = isinstance(error, ClientGoneError)
            refusal = _refusal(error, request)
            if refusal is None:
                _log.exception("request.crashed", request_id=told.request_id)
                refusal = OciError(Code.UNKNOWN)
            elif refusal.status >= 500:
                reason = str(refusal.__cause__ or refusal)
                _log.error("request.failed", request_id=told.request_id, error=reason)
            return word(request, refusal, told.request_id)

    def _find(self, request: TrioRequest) -> Match:
        raw_path = request.scope["raw_path"]
        match = self._routes.find(raw_path)
        if match is None:
            detail = raw_path.decode("latin-1")
            raise OciError(Code.NAME_UNKNOWN, message="no such path", detail=detail)
        return match


class _Told(Mutable):
    """What logs and metrics tell of a request."""

    request_id: str
    client: str
    action: str = "unknown"
    status: int = CANCELLED_STATUS
    client_left: bool = False
    identity: str | None = None
    api_key: str | None = None
    rule: str | None = None
    registry: str | None = None

    def note(self, call: Call) -> None:
        """The request was let pass: who sends it, and by which rule."""
        identity, decision = call.caller.identity, call.decision
        self.identity = identity.owner
        self.api_key = None if identity.grant is None else identity.grant.name
        self.rule = None if decision is None else decision.rule


def stood_in(
    values: Mapping[str, str], request: TrioRequest, stand_ins: Mapping[str, str]
) -> tuple[Mapping[str, str], str | None]:
    """What a path means where the client names the registry that it wants (`ns`, as containerd does
    of a mirror), and that registry: the name is then below the repository that stands for it, and
    everything that is decided is decided about that.

    Raises NAME_UNKNOWN (404) for a registry that nothing stands for. Where nothing stands for any,
    `ns` says nothing.
    """
    name = values.get("name")
    if not stand_ins or name is None or b"ns=" not in request.query_string:
        return values, None
    wanted = Query(request.query_string).one("ns", Code.NAME_INVALID)
    if wanted is None:
        return values, None
    repository = stand_ins.get(wanted)
    if repository is None:
        message = "nothing here stands for that registry"
        raise OciError(Code.NAME_UNKNOWN, message=message, detail=wanted)
    if name != repository and not name.startswith(f"{repository}/"):
        values = {**values, "name": f"{repository}/{name}"}
    return values, wanted


def _word(request: TrioRequest, refusal: OciError, request_id: str) -> Reply:
    """As the distribution specification words it."""
    return error_reply(refusal, request_id)


def _refusal(error: Exception, request: TrioRequest) -> OciError | None:
    """The answer that an error stands for; None for one that nobody foresaw."""
    if isinstance(error, OciError):
        return error
    if isinstance(error, BodyTooLargeError):
        return OciError(
            Code.MANIFEST_INVALID,
            status=413,
            message=str(error),
            detail={"limit": error.bytes_max},
        )
    if isinstance(error, ClientGoneError):
        return OciError(
            Code.SIZE_INVALID, message="the body broke off", detail=request.content_length
        )
    return None


def _operation(route: Route, method: str) -> Operation:
    operations = route.operations
    operation = operations.get(method)
    if operation is None and method == "HEAD":
        operation = operations.get("GET")
    if operation is None:
        implied = {"HEAD"} if "GET" in operations else set()
        allowed = ", ".join(sorted({*operations, *implied}))
        raise OciError(
            Code.UNSUPPORTED,
            status=405,
            message="method not allowed here",
            detail=method,
            headers={"Allow": allowed},
        )
    return operation
