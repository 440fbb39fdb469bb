"""Whether an answer is one that the description allows for the operation that a request reached."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Final, cast

import jsonschema

from angos_trio.api.context import Runtime
from angos_trio.api.routes import build_operator_routes, build_routes
from angos_trio.http.routing import Route, RouteTable
from angos_trio.oci.codes import OciError
from angos_trio.telemetry.metrics import Metrics
from angos_trio.web.frame import Site
from angos_trio.web.routes import build_pages
from tests.openapi.asking import Answered, Wanted
from tests.openapi.pages import SAME
from tests.openapi.parts import JSON, LINES, PATH_PARAMETERS, Schema

_BARE: Final = frozenset({400, 408, 431, 501})
"""Statuses of what never reached a route, which come without a body and a request id."""
_NOWHERE: Final = frozenset({400, 404})
_SUCCESS_ENDS: Final = 400


@dataclass(frozen=True)
class Served:
    """What a listener serves: the way from a path to a route, and all the routes."""

    table: RouteTable
    routes: tuple[Route, ...]


def routes_of_everybody() -> Served:
    """As over TCP, with pages, whose paths depend on no repository here."""
    nothing = cast(Any, SimpleNamespace(tag_rules=SimpleNamespace(by_repository={})))
    fixed, pages = build_pages(nothing, Site("", lambda request: None))
    table = RouteTable([*build_routes(_runtime()).routes, *fixed], pages)
    return Served(table, (*table.routes, *pages.routes))


def routes_of_operator() -> Served:
    """As on the control socket."""
    table = build_operator_routes(_runtime(), set, cast(Any, None))
    return Served(table, table.routes)


def _runtime() -> Runtime:
    return Runtime(cast(Any, None), Metrics(), *[cast(Any, None)] * 3)


def closed(value: Any) -> Any:
    """A schema, or what has some in it, that allows no key which it does not name."""
    if isinstance(value, list):
        return [closed(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: closed(each) for key, each in value.items()}
    if found.get("type") == "object" and "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


@dataclass
class Judge:
    """Looks at answers. `findings` are what is wrong, each once, with the first request that shows
    it; `reached` counts the answers of each operation by status."""

    document: Schema
    operations: Any
    served: Served
    findings: dict[str, str] = field(default_factory=dict)
    reached: dict[str, Counter[int]] = field(default_factory=dict)

    def look(self, wanted: Wanted, answered: Answered) -> None:
        """Note what is wrong with an answer."""
        for problem in self._problems(wanted, answered):
            self.findings.setdefault(f"{problem}", f"{wanted.told()}\n    {_shown(answered)}")

    def note(self, problem: str, wanted: Wanted) -> None:
        """Note what is wrong where there was no answer."""
        self.findings.setdefault(problem, wanted.told())

    @property
    def successes(self) -> set[str]:
        """Operations that have succeeded."""
        return {
            key
            for key, statuses in self.reached.items()
            if any(status < _SUCCESS_ENDS for status in statuses)
        }

    def served_keys(self) -> list[str]:
        """Every operation that is served."""
        paths = {path_of(route) for route in self.served.routes}
        return [
            f"{method.upper()} {path}"
            for path, methods in self.document["paths"].items()
            for method in methods
            if path in paths
        ]

    def _problems(self, wanted: Wanted, answered: Answered) -> Iterator[str]:
        if answered.status in _BARE and "x-request-id" not in answered.headers:
            if answered.body:
                yield f"{answered.status} with a body and without a request id"
            return
        try:
            match = self.served.table.find(wanted.target.partition("?")[0].encode())
        except OciError:
            match = None
        if match is None:
            yield from _problems_of_nowhere(wanted, answered)
            return
        key = f"{wanted.method} {path_of(match.route)}"
        self.reached.setdefault(key, Counter())[answered.status] += 1
        if key in self.operations:
            yield from self._problems_of(key, wanted, answered)
        else:
            yield from _problems_of_method(key, match.route, answered)

    def _problems_of(self, key: str, wanted: Wanted, answered: Answered) -> Iterator[str]:
        from schemathesis import Response
        from schemathesis.core.failures import FailureGroup

        operation = self.operations[key]
        case = operation.Case(path_parameters=dict.fromkeys(PATH_PARAMETERS, "a"))
        response = Response(
            status_code=answered.status,
            headers=answered.headers,
            content=answered.body,
            request=_prepared(wanted),
            elapsed=answered.secs,
            verify=False,
        )
        has_lines = _is(answered, LINES)
        is_read = wanted.method != "HEAD" and not has_lines
        try:
            case.validate_response(response, checks=_checks(is_read=is_read))
        except FailureGroup as group:
            for failure in group.exceptions:
                said = " ".join(str(failure).split())
                yield f"{key}: {answered.status}: {type(failure).__name__}: {said[:600]}"
        if has_lines and wanted.method != "HEAD" and not wanted.is_endless:
            yield from self._problems_of_lines(key, answered)

    def _problems_of_lines(self, key: str, answered: Answered) -> Iterator[str]:
        """schemathesis does not know lines of JSON."""
        path = self.document["paths"][key.partition(" ")[2]]
        method = path[key.partition(" ")[0].lower()]
        kind = method["responses"]["200"]["content"][LINES]["schema"]
        whole = {**kind, "components": self.document["components"]}
        for line in answered.body.splitlines():
            for error in jsonschema.Draft202012Validator(whole).iter_errors(json.loads(line)):
                yield f"{key}: a line: {error.message[:200]}"


def path_of(route: Route) -> str:
    """The path of a route in the description."""
    return SAME.get(route.template, route.template)


def _is(answered: Answered, kind: str) -> bool:
    return any(value.startswith(kind) for value in answered.headers.get("content-type", ()))


def _checks(*, is_read: bool) -> list[Any]:
    from schemathesis.checks import load_all_checks, not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    load_all_checks()
    found = [not_a_server_error, openapi.status_code_conformance]
    found += [openapi.content_type_conformance, openapi.response_headers_conformance]
    return [*found, openapi.response_schema_conformance] if is_read else found


def _prepared(wanted: Wanted) -> Any:
    import requests

    return requests.Request(wanted.method, "http://registry.test/").prepare()


def _problems_of_nowhere(wanted: Wanted, answered: Answered) -> Iterator[str]:
    """A path that no route has."""
    if answered.status not in _NOWHERE:
        yield f"a path without a route: {answered.status}"
    if wanted.method != "HEAD":
        yield from _problems_of_words("a path without a route", answered)


def _problems_of_method(key: str, route: Route, answered: Answered) -> Iterator[str]:
    """A method that the route does not have."""
    implied = {"HEAD"} if "GET" in route.operations else set()
    allowed = ", ".join(sorted({*route.operations, *implied}))
    if answered.status != HTTPStatus.METHOD_NOT_ALLOWED:
        yield f"{key}: {answered.status} for a method that is not there"
    elif answered.headers.get("allow") != [allowed]:
        yield f"{key}: Allow is {answered.headers.get('allow')} instead of {allowed}"
    if route.word is None and not key.startswith("HEAD "):
        yield from _problems_of_words(key, answered)


def _problems_of_words(key: str, answered: Answered) -> Iterator[str]:
    """Whether it is an error as the distribution specification words it."""
    if not _is(answered, JSON):
        yield f"{key}: {answered.status} is not worded in JSON"
        return
    try:
        found = json.loads(answered.body)
    except ValueError:
        found = None
    if not isinstance(found, dict) or list(found) != ["errors"]:
        yield f"{key}: {answered.status} has other keys than errors"


def _shown(answered: Answered) -> str:
    headers = {name: values for name, values in answered.headers.items() if name != "date"}
    return f"{answered.status} {headers} {answered.body[:300]!r}"
