"""`docs/openapi.json`: the routes of the code, the errors of `docs/api.md`, and what `operations`
and `pages` say each operation takes and answers, as one OpenAPI description."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from angos_trio import __version__
from angos_trio.api.context import Runtime
from angos_trio.api.routes import build_operator_routes, build_routes
from angos_trio.http.front import SAFE_METHODS
from angos_trio.http.routing import Admission, Operation
from angos_trio.telemetry.metrics import Metrics
from tests.docs.facts import pages_routes
from tests.docs.pages import REPOSITORY, code, tables
from tests.openapi.answers import SCHEMAS
from tests.openapi.operations import BY_GROUP
from tests.openapi.pages import PAGES, SAME
from tests.openapi.parts import (
    HEADERS,
    HTML,
    JSON,
    PATH_PARAMETERS,
    STRING,
    Answer,
    Described,
    Schema,
    ref,
    schema,
)

FILE: Final = REPOSITORY / "docs" / "openapi.json"
_API: Final = REPOSITORY / "docs" / "api.md"
_OF_EVERY_ROUTE: Final = "Errors of every route"
_PAGES: Final = "Web interface"
_ERROR_HEADERS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow?",),
    416: ("Content-Range?", "Location?", "Range?"),
    429: ("Retry-After",),
    503: ("Retry-After?",),
}
_BARE: Final = {
    408: "The head of the request does not come to its end. Without a body and a request id.",
    431: "The head of the request is too large. Without a body and a request id.",
    501: "A transfer encoding that is not `chunked`. Without a body and a request id.",
}
"""What the server answers to what never reaches a route."""
_ABOUT: Final = """An OCI container registry: the distribution API 1.1, an extension API to look
around with, a web interface, health and metrics. `docs/api.md` tells all of this in words.

`{name}` has as many slashes as it likes, which are written as they are: an encoded slash is 400.
What is not HTTP at all is 400 without a body, and the connection ends. Operations of the group
`Operator` are on the control socket only. `x-routes` are the routes of the code behind an
operation, each with its action and whether the access policies are asked about it. Objects may have
more keys than are described here."""
HEAD: Final = "head-"
PAGE: Final = "page-"
_WORDED: Final[Mapping[str, Mapping[str, Schema]]] = {
    "": {JSON: schema("Errors")},
    PAGE: {HTML: STRING},
    HEAD: {},
}
"""What refusals are worded in, by the beginning of the names of those that are shared."""
_OPTIONAL: Final = "optional-"
SWITCHING: Final = 101
_WIDTH: Final = 100
_WHERE_OFF: Final = (
    "`NAME_UNKNOWN`: There is no such name; or, in JSON, the web interface is switched off."
)
_CHANGES: Final = "`UNAVAILABLE`: The change cannot be committed."
Texts = dict[int, list[str]]


@dataclass(frozen=True)
class Place:
    """One method of one route of the code; `is_operators`: on the control socket only."""

    method: str
    template: str
    operation: Operation
    group: str
    is_operators: bool = False

    @property
    def key(self) -> str:
        """By which it is described."""
        return f"{self.method} {self.path}"

    @property
    def path(self) -> str:
        """The path in the description."""
        return SAME.get(self.template, self.template)

    @property
    def is_page(self) -> bool:
        """Whether its refusals are pages."""
        return self.group == _PAGES

    @property
    def policy(self) -> str:
        """As the tables of the docs have it."""
        asked = "asked" if self.operation.admission is Admission.POLICY else "outside"
        return "operator" if self.is_operators else asked


@cache
def descriptions() -> Mapping[str, tuple[str, Described]]:
    """Group and description by method and path."""
    found = {key: (group, each) for group, some in BY_GROUP.items() for key, each in some.items()}
    return {**found, **{key: (_PAGES, each) for key, each in PAGES.items()}}


@cache
def places() -> tuple[Place, ...]:
    """Every method of every route, those of the operator too."""
    runtime = Runtime(cast(Any, None), Metrics(), *[cast(Any, None)] * 3)
    everybodys = {route.template for route in build_routes(runtime).routes}
    api = build_operator_routes(runtime, set, cast(Any, None)).routes
    found = [
        Place(method, route.template, operation, group, route.template not in everybodys)
        for route in api
        for method, operation in route.operations.items()
        for group in [descriptions().get(f"{method} {route.template}", ("", None))[0]]
    ]
    return (
        *found,
        *(
            Place(method, route.template, operation, _PAGES)
            for route in pages_routes()
            for method, operation in route.operations.items()
        ),
    )


def document() -> Schema:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for key in dict.fromkeys(place.key for place in places()):
        some = [place for place in places() if place.key == key]
        methods = paths.setdefault(some[0].path, {})
        methods[some[0].method.lower()] = operation_of(some)
        if some[0].method == "GET":
            methods.setdefault("head", _headless(methods["get"]))
    return {
        "openapi": "3.1.0",
        "info": {"title": "angos-trio", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{}, {"basic": []}, {"bearer": []}, {"certificate": []}],
        "tags": [{"name": name} for name in (*BY_GROUP, _PAGES)],
        "paths": paths,
        "components": _components(),
    }


def text() -> str:
    """As it stands in the file."""
    return _lines(document()) + "\n"


def _lines(value: object, depth: int = 0) -> str:
    """JSON whose small values are on one line each: people read changes of it."""
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(short) + depth <= _WIDTH:
        return short
    if isinstance(value, list):
        first, last, items = "[", "]", [("", each) for each in value]
    else:
        first, last = "{", "}"
        items = [(f"{json.dumps(key)}: ", each) for key, each in value.items()]
    inner = [f"{' ' * (depth + 1)}{name}{_lines(each, depth + 1)}" for name, each in items]
    return f"{first}\n" + ",\n".join(inner) + f"\n{' ' * depth}{last}"


def _components() -> Schema:
    shared = {
        f"{kind}{status}": _refusal(Answer(" ".join(texts), content), status)
        for kind, content in _WORDED.items()
        for status, texts in errors()[""].items()
    }
    off = Answer(_WHERE_OFF, {**_WORDED[PAGE], **_WORDED[""]})
    shared[f"{PAGE}404"] = _refusal(off, 404)
    bare = {str(status): {"description": about} for status, about in _BARE.items()}
    required = {
        name: {"description": about, "required": True, "schema": kind}
        for name, (about, kind) in HEADERS.items()
    }
    optional = {
        f"{_OPTIONAL}{name}": {"description": about, "schema": kind}
        for name, (about, kind) in HEADERS.items()
    }
    return {
        "schemas": SCHEMAS,
        "headers": {**required, **optional},
        "parameters": {
            name: {
                "name": name,
                "in": "path",
                "required": True,
                "description": about,
                "schema": kind,
            }
            for name, (about, kind) in PATH_PARAMETERS.items()
        },
        "responses": {**shared, **bare},
        "securitySchemes": {
            "basic": {"type": "http", "scheme": "basic"},
            "bearer": {"type": "http", "scheme": "bearer"},
            "certificate": {"type": "mutualTLS"},
        },
    }


def operation_of(some: list[Place]) -> Schema:
    """One operation, of all the routes that have its path."""
    first = some[0]
    if first.key not in descriptions():
        raise LookupError(f"tests/openapi does not describe {first.key}")
    described = descriptions()[first.key][1]
    names = re.findall(r"\{(\w+)\}", first.path)
    found: Schema = {
        "operationId": _id(first.key),
        "tags": [first.group],
        "summary": described.about,
        "x-routes": [
            {
                "path": place.template,
                "action": str(place.operation.action),
                "policy": place.policy,
            }
            for place in some
        ],
        "parameters": [
            *(ref("parameters", name) for name in names),
            *(parameter.document() for parameter in described.takes),
        ],
        "responses": _responses(some, described),
    }
    if described.body is not None:
        found["requestBody"] = {
            "required": described.body.is_required,
            "content": {kind: {"schema": it} for kind, it in described.body.content.items()},
        }
    if all(place.operation.admission is Admission.PUBLIC for place in some):
        found["security"] = []
    return {key: value for key, value in found.items() if value != [] or key == "security"}


def _id(key: str) -> str:
    method, _, path = key.partition(" ")
    words = re.findall(r"\w+", path)
    end = ["slash"] if path.endswith("/") else []
    return "-".join([method.lower(), *(word.strip("_") for word in words), *end])


def _headless(get: Schema) -> Schema:
    """HEAD of what GET answers, which has no body."""
    answers: Schema = {}
    for status, answer in get["responses"].items():
        if "$ref" not in answer:
            answers[status] = {key: value for key, value in answer.items() if key != "content"}
        elif int(status) in _BARE:
            answers[status] = answer
        elif int(status) != SWITCHING:
            answers[status] = ref("responses", f"{HEAD}{status}")
    name = get["operationId"].partition("-")[2]
    return {**get, "operationId": f"head-{name}", "responses": answers}


def _responses(some: list[Place], described: Described) -> Schema:
    """By status. A refusal that says no more than that of every route is a reference to it."""
    first = some[0]
    own = _own_errors(first)
    for status, about in described.more.items():
        own.setdefault(status, []).append(about)
    statuses = {*own, *(status for place in some for status in _of_every_route(place))}
    kind = PAGE if _words_pages(first) else HEAD if first.method == "HEAD" else ""
    found: dict[int, Schema] = {}
    for status in statuses - set(described.answers):
        texts = [*errors()[""].get(status, []), *own.get(status, [])]
        found[status] = (
            _refusal(Answer(" ".join(dict.fromkeys(texts)), _WORDED[kind]), status)
            if status in own
            else ref("responses", f"{kind}{status}")
        )
    found |= {status: _answer(answer) for status, answer in described.answers.items()}
    found |= {status: ref("responses", str(status)) for status in _BARE}
    return {str(status): found[status] for status in sorted(found)}


def _words_pages(place: Place) -> bool:
    return place.is_page and not place.path.startswith("/_ui/static/")


def _own_errors(place: Place) -> Texts:
    """What its own table in the docs says; HEAD without one has that of GET."""
    found = errors().get(place.key) or {}
    if place.method == "HEAD":
        found = found or errors().get(place.key.replace("HEAD", "GET"), {})
    if place.method not in SAFE_METHODS and place.operation.admission is not Admission.PUBLIC:
        found = {503: [_CHANGES], 507: [_CHANGES], **found}
    return {status: list(texts) for status, texts in found.items()}


def _of_every_route(place: Place) -> Iterator[int]:
    """The statuses of every route that this one can answer with."""
    admission, is_changing = place.operation.admission, place.method not in SAFE_METHODS
    is_open = admission is Admission.PUBLIC
    has_values = "{" in place.path
    can = {
        400: has_values or not is_open,
        401: admission in (Admission.POLICY, Admission.IDENTITY),
        403: is_changing or not is_open,
        404: has_values or place.is_operators or place.is_page,
        405: is_changing and not is_open,
        429: admission in (Admission.POLICY, Admission.IDENTITY),
        503: not is_open,
    }
    return (status for status in errors()[""] if can.get(status, True))


def _answer(answer: Answer) -> Schema:
    found: Schema = {"description": answer.about}
    names = (*answer.headers, "X-Request-Id")
    found["headers"] = {name.rstrip("?"): _header(name) for name in names}
    if answer.content:
        found["content"] = {
            kind: {"schema": it} if it else {} for kind, it in answer.content.items()
        }
    return found


def _refusal(answer: Answer, status: int) -> Schema:
    return _answer(Answer(answer.about, answer.content, _ERROR_HEADERS.get(status, ())))


def _header(name: str) -> Schema:
    """A header that is always there, or one that may be."""
    return ref("headers", f"{_OPTIONAL}{name[:-1]}" if name.endswith("?") else name)


@cache
def errors() -> Mapping[str, Texts]:
    """Statuses and what they mean, by method and path; those of every route under no name."""
    found: dict[str, Texts] = {"": {}}
    for table in tables(_API.read_text(encoding="utf-8")):
        key = "" if table.heading == _OF_EVERY_ROUTE else code(table.heading)
        if table.head == ("Status", "Code", "When") and (not key or re.match("[A-Z]+ /", key)):
            texts = found.setdefault(key, {})
            for status, name, when in table.rows:
                texts.setdefault(int(status), []).append(f"{name}: {_plain(when)}")
    return found


def _plain(words: str) -> str:
    """Without links, which lead nowhere from another file."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", words)


def success_statuses() -> Mapping[str, set[int]]:
    """The statuses of success in the table of routes of `docs/api.md`, by method and path."""
    head = ("Method", "Path", "Action", "Policy", "Success")
    rows = [
        row
        for table in tables(_API.read_text(encoding="utf-8"))
        if table.head == head
        for row in table.rows
    ]
    return {f"{row[0]} {code(row[1])}": {int(each) for each in row[4].split(", ")} for row in rows}


def write(path: Path = FILE) -> None:
    """Write the file."""
    path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
