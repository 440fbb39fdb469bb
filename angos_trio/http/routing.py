"""From a raw path to a route. Repository names have slashes and may contain the endpoints' words,
so the right-most endpoint decides, and everything before it is the name. A template without a name
is the path itself, with a value for a segment in braces. Pages take what is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from angos_trio.identity import Action
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen

if TYPE_CHECKING:
    from quart_trio.wrappers.request import TrioRequest

    from angos_trio.http.call import Call
    from angos_trio.http.reply import Reply

Handler = Callable[["Call"], Awaitable["Reply"]]
Worder = Callable[["TrioRequest", OciError, str], "Reply"]
"""Words the refusal of a request, with the id of the request."""
NAME: Final = "{name}"


class Admission(Enum):
    """What the gate wants of a request: to pass the policies; only to know who calls, and that
    nothing wrong was shown; to know it if it can; or nothing."""

    POLICY = "policy"
    IDENTITY = "identity"
    OPTIONAL = "optional"
    PUBLIC = "public"


class Operation(Frozen):
    """What a method of a route does: the action that the gate asks about, and the handler."""

    action: Action
    handler: Handler
    admission: Admission = Admission.POLICY


class Route(Frozen):
    """A path template such as `/v2/{name}/manifests/{reference}`, and its operations by method.

    `word` is how its refusals are worded, where that is not JSON.
    """

    template: str
    operations: Mapping[str, Operation]
    word: Worder | None = None

    @property
    def takes_session(self) -> bool:
        """Whether a browser's session counts: on pages, and for what pages ask of the extension
        API. Nothing that clients of registries use is done by a cookie."""
        return self.word is not None or self.template.startswith("/v2/_ext/")


class Match(Frozen):
    """A route with the decoded values of its template."""

    route: Route
    values: Mapping[str, str]


class Pages(Frozen):
    """What is for browsers, at paths that begin with names of people's own choice.

    `find` says which route a path means, by its decoded segments, or by None where it cannot be
    decoded; None is returned for what is no page. It is asked last, and never about `/v2`.
    """

    routes: tuple[Route, ...]
    find: Callable[[Sequence[str] | None], Match | None]


class RouteTable:
    """Finds the route of a path."""

    def __init__(self, routes: Sequence[Route], pages: Pages | None = None) -> None:
        """Raises TypeError for a route without an action: what nobody decides on is not served."""
        self.routes = tuple(routes)
        self._pages = pages
        for route in (*routes, *(pages.routes if pages is not None else ())):
            for method, operation in route.operations.items():
                if not isinstance(getattr(operation, "action", None), Action):
                    raise TypeError(f"{method} {route.template} declares no action")
        self._fixed = {route.template: route for route in routes if "{" not in route.template}
        named = [_Named.of(route) for route in routes if NAME in route.template]
        self._filled = [
            (route.template.strip("/").split("/"), route)
            for route in routes
            if "{" in route.template and NAME not in route.template
        ]
        # The shorter tail begins further to the right; of two equal ones the more literal is meant.
        self._named = sorted(named, key=_Named.precedence)

    def find(self, raw_path: bytes) -> Match | None:
        """The route of a request's raw path, None when there is none.

        Raises NAME_INVALID (400) for a path that cannot be decoded to plain segments.
        """
        try:
            segments = _segments(raw_path)
        except OciError:
            if self._pages is None or raw_path.startswith(b"/v2"):
                raise
            return self._pages.find(None)
        path = "/" + "/".join(segments)
        fixed = self._fixed.get(path) or self._fixed.get(path.rstrip("/"))
        if fixed is not None and segments:
            return Match(fixed, {})
        for parts, route in self._filled:
            values = _fill(parts, segments)
            if values is not None:
                return Match(route, values)
        if segments and segments[0] == "v2":
            return self._find_named(segments)
        return self._pages.find(segments) if self._pages is not None and segments else None

    def _find_named(self, segments: list[str]) -> Match | None:
        for named in self._named:
            values = named.match(segments)
            if values is not None:
                return Match(named.route, values)
        return None


class _Named(Frozen):
    """A route with a name: what stands before the name, and what after it."""

    head: tuple[str, ...]
    tail: tuple[str, ...]
    route: Route

    @classmethod
    def of(cls, route: Route) -> _Named:
        head, _, tail = route.template.partition(f"/{NAME}/")
        return cls(tuple(head.split("/")[1:]), tuple(tail.split("/")), route)

    def precedence(self) -> tuple[int, int]:
        parts = self.tail
        return len([part for part in parts if part]), sum(part.startswith("{") for part in parts)

    def match(self, segments: list[str]) -> Mapping[str, str] | None:
        """Values of the template where head and tail are those of the path; an empty last segment
        may be left out."""
        if tuple(segments[: len(self.head)]) != self.head:
            return None
        rest, tail = segments[len(self.head) :], self.tail
        if tail[-1] == "" and rest and rest[-1] != "":
            tail = tail[:-1]
        if len(rest) <= len(tail):
            return None
        name, end = rest[: -len(tail)], rest[-len(tail) :]
        values = _fill(tail, end)
        return None if values is None else {"name": "/".join(name), **values}


def _fill(parts: Sequence[str], segments: list[str]) -> Mapping[str, str] | None:
    """Values of the parts in braces, where all others are the same; a value is never empty."""
    if len(parts) != len(segments):
        return None
    values: dict[str, str] = {}
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            if segment == "":
                return None
            values[part[1:-1]] = segment
        elif part != segment:
            return None
    return values


def _segments(raw_path: bytes) -> list[str]:
    """The path's segments, decoded one by one, so that an encoded slash never splits."""
    try:
        text = raw_path.decode("ascii")
        first, *parts = text.split("/")
        segments = [unquote(part, errors="strict") for part in parts] if not first else []
    except UnicodeDecodeError:
        raise OciError(
            Code.NAME_INVALID, message="path is not UTF-8", detail=repr(raw_path)
        ) from None
    if any("/" in segment or "\x00" in segment for segment in segments):
        raise OciError(Code.NAME_INVALID, message="path has an encoded slash or NUL", detail=text)
    return segments
