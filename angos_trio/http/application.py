"""The ASGI application: Quart-Trio with our routes, gate, bodies and answers."""

from __future__ import annotations

import secrets
import time
from typing import Any, cast

from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers.request import TrioRequest

from angos_trio.http.body import BodyTooLargeError, ClientGoneError, RequestBody
from angos_trio.http.call import Call
from angos_trio.http.gate import Gate
from angos_trio.http.reply import Reply, error_reply
from angos_trio.http.routing import Match, Operation, RouteTable
from angos_trio.oci.codes import Code, OciError
from angos_trio.telemetry.log import logger
from angos_trio.telemetry.metrics import Metrics

_log = logger("http")
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CANCELLED_STATUS = 499
"""Stands in logs and metrics for a request that was cancelled before its answer; never sent."""


class _Request(TrioRequest):
    body_class = RequestBody


class _Connection(TrioASGIHTTPConnection):
    """One request without background tasks: the handler pulls the body, then the reply is sent."""

    async def __call__(self, receive: Any, send: Any) -> None:
        request = self._create_request_from_scope(send)
        cast(RequestBody, request.body).attach(receive)
        await cast(Application, self.app).answer(cast(TrioRequest, request), send)


class Application(QuartTrio):
    """Routes requests through the gate to the handlers."""

    asgi_http_class = _Connection
    request_class = _Request

    def __init__(self, routes: RouteTable, gate: Gate, metrics: Metrics) -> None:
        super().__init__("angos_trio", static_folder=None, template_folder=None)
        self._routes = routes
        self._gate = gate
        self._metrics = metrics

    async def answer(self, request: TrioRequest, send: Any) -> None:
        """Handle one request to the end of its answer. Errors become answers here, once."""
        request_id = secrets.token_hex(8)
        begun_at = time.perf_counter()
        self._metrics.request_begins()
        status, route = CANCELLED_STATUS, "unknown"
        try:
            reply, route = await self._reply(request, request_id)
            reply.headers["X-Request-Id"] = request_id
            status = reply.status
            await reply.send(request.scope, send)
        finally:
            duration_ms = (time.perf_counter() - begun_at) * 1000
            self._metrics.request_ends(request.method, route, status, duration_ms)
            if request.method in _CHANGING or status >= 500:
                _log.info(
                    "request",
                    request_id=request_id,
                    method=request.method,
                    action=route,
                    path=request.scope["raw_path"][:512].decode("latin-1"),
                    status=status,
                    duration_ms=round(duration_ms, 1),
                    client=_address(request),
                )

    async def _reply(self, request: TrioRequest, request_id: str) -> tuple[Reply, str]:
        """The reply, and the action's name for metrics."""
        route = "unknown"
        try:
            match = self._routes.find(request.scope["raw_path"])
            operation = _operation(match, request.method, request.scope["raw_path"])
            route = str(operation.action)
            return await self._handle(request, match, operation, request_id), route
        except OciError as error:
            if error.status >= 500:
                reason = str(error.__cause__ or error)
                _log.error("request.failed", request_id=request_id, error=reason)
            return error_reply(error, request_id), route
        except BodyTooLargeError:
            too_large = OciError(Code.MANIFEST_INVALID, status=413, message="manifest is too large")
            return error_reply(too_large, request_id), route
        except ClientGoneError:
            broken_off = OciError(Code.SIZE_INVALID, message="the body broke off")
            return error_reply(broken_off, request_id), route
        except Exception:
            _log.exception("request.crashed", request_id=request_id)
            return error_reply(OciError(Code.UNKNOWN), request_id), route

    async def _handle(
        self, request: TrioRequest, match: Match | None, operation: Operation, request_id: str
    ) -> Reply:
        values = match.values if match is not None else {}
        caller = self._gate.identify(_address(request))
        await self._gate.admit(caller, operation, values, request.headers.get("Host"))
        return await operation.handler(Call(request, caller, values, request_id))


def _operation(match: Match | None, method: str, path: bytes) -> Operation:
    if match is None:
        raise OciError(Code.NAME_UNKNOWN, message="no such path", detail=path.decode("latin-1"))
    operations = match.route.operations
    operation = operations.get(method)
    if operation is None and method == "HEAD":
        operation = operations.get("GET")
    if operation is None:
        allowed = ", ".join(sorted(operations))
        raise OciError(
            Code.UNSUPPORTED,
            status=405,
            message="method not allowed here",
            detail=method,
            headers={"Allow": allowed},
        )
    return operation


def _address(request: TrioRequest) -> str:
    client = request.scope.get("client")
    return str(client[0]) if client else "local"
