"""One request as a handler sees it: parsed, authenticated and let through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Protocol, cast

from quart_trio.wrappers.request import TrioRequest

from angos_trio.http.body import BodyTooLargeError, RequestBody
from angos_trio.http.fields import parse_fields
from angos_trio.identity import Action, Caller, Decision, Identity
from angos_trio.limits.requests import QUERY_FIELDS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.pagination import Page, parse_page
from angos_trio.oci.ranges import parse_content_length
from angos_trio.records import Mutable


def is_socket(scope: Mapping[str, object]) -> bool:
    """Whether an ASGI scope is that of a WebSocket."""
    return scope["type"] == "websocket"


Request = TrioRequest
"""A request as it came."""
Identify = Callable[[str], Awaitable[Identity]]


class Standing(Protocol):
    """What a call that goes on for long asks anew, by the rules in force at that moment."""

    @property
    def is_outdated(self) -> bool:
        """Whether other rules are in force than those by which the caller was let pass."""

    def caller(self) -> Caller:
        """The same identity, bound to the rules in force."""

    async def renew(self) -> None:
        """Who calls and whether they may, once more. Raises as the gate does at the beginning."""


class Query:
    """A query string, decoded strictly. An empty value counts as absent."""

    def __init__(self, raw: bytes) -> None:
        try:
            self._values = parse_fields(raw, QUERY_FIELDS_MAX)
        except ValueError:
            raise OciError(
                Code.NAME_INVALID, message="query cannot be decoded", detail=repr(raw)
            ) from None

    def one(self, key: str, code: Code) -> str | None:
        """A value that may be given once; OciError with the code (400) when it is repeated."""
        values = self._values.get(key)
        if values is None:
            return None
        if len(values) > 1:
            raise OciError(code, status=400, message=f"{key} is given twice", detail=key)
        return values[0]

    def all(self, key: str) -> list[str]:
        """Every value of a key that may be repeated."""
        return self._values.get(key, [])

    def page(self, default: int, ceiling: int) -> Page:
        """The page that `n` and `last` ask for. Raises PAGINATION_NUMBER_INVALID (400)."""
        code = Code.PAGINATION_NUMBER_INVALID
        return parse_page(self.one("n", code), self.one("last", code), default, ceiling)


class Call(Mutable, dict=True):
    """What a handler works with. `values` are those of the route's template, decoded.

    `identify` says who somebody is that shows an `Authorization` of its own, as the gate does for
    the request's. `refuse` tells the audit log of a decision against an action of the caller, and
    gives what is to be raised for it. `decision` is what let the request pass, where a policy was
    asked. `standing` is there once the request has passed.
    """

    request: TrioRequest
    caller: Caller
    values: Mapping[str, str]
    request_id: str
    identify: Identify
    refuse: Callable[[Action, Decision], OciError]
    decision: Decision | None = None
    standing: Standing | None = None

    @property
    def is_socket(self) -> bool:
        """Whether this is the handshake of a WebSocket."""
        return is_socket(self.request.scope)

    @cached_property
    def name(self) -> RepositoryName:
        """The repository. Raises NAME_INVALID (400)."""
        return RepositoryName(self.values["name"])

    @cached_property
    def query(self) -> Query:
        """The query string. Raises NAME_INVALID (400) when it cannot be decoded."""
        return Query(self.request.query_string)

    @property
    def body(self) -> RequestBody:
        """The body, to be pulled."""
        return cast(RequestBody, self.request.body)

    def header(self, name: str) -> str | None:
        """A header's value."""
        value: str | None = self.request.headers.get(name)
        return value

    @property
    def content_length(self) -> int | None:
        """The announced length in bytes. Raises SIZE_INVALID (400)."""
        return parse_content_length(self.header("Content-Length"))

    async def read_body(self, bytes_max: int) -> bytes:
        """The whole body. Raises BodyTooLargeError, before a byte of it if its length is told."""
        if (self.content_length or 0) > bytes_max:
            raise BodyTooLargeError(bytes_max)
        return await self.body.read(bytes_max)

    @property
    def has_body(self) -> bool:
        """Whether the headers announce a body, an empty one included."""
        headers = self.request.headers
        return "Content-Length" in headers or "Transfer-Encoding" in headers
