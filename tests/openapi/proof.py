"""That the judge finds what is wrong, each time before it is believed about a registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.openapi.asking import Answered, Wanted
from tests.openapi.judging import Judge, routes_of_everybody
from tests.openapi.parts import JSON, LINES, Schema

_TAGS: Final = "GET /v2/a/tags/list"
_GOOD: Final = b'{"name":"a","tags":["x"]}'
_REQUEST: Final = {"x-request-id": ["0" * 16]}
_SESSION: Final = "/v2/a/blobs/uploads/123e4567-e89b-12d3-a456-426614174000"
_ERROR: Final = b'{"errors":[{"code":"UNKNOWN","message":"x"}]}'
WRONG: Final = (
    (_TAGS, 418, JSON, _ERROR, "UndefinedStatusCode"),
    (_TAGS, 500, JSON, _ERROR, "ServerError"),
    (_TAGS, 200, JSON, b'{"name":"a","tags":["x"],"more":1}', "'more' was unexpected"),
    (_TAGS, 200, JSON, b'{"name":"a","tags":[1]}', "is not of type"),
    (_TAGS, 200, "text/html", b"<p>", "UndefinedContentType"),
    (f"GET {_SESSION}", 204, "", b"", "MissingHeaders"),
    ("GET /v2/_catalog", 401, JSON, _ERROR, "MissingHeaders"),
    ("GET /v2/_ext/_events?after=0", 200, LINES, b'{"v":1,"x":2}\n', "'x' was unexpected"),
    ("PUT /v2/", 200, JSON, b"", "a method that is not there"),
    ("PUT /v2/", 405, JSON, _ERROR, "Allow is"),
    ("GET /v2/nothing", 200, JSON, b"{}", "a path without a route"),
    ("GET /v2/nothing", 404, "text/html", b"", "not worded in JSON"),
)
"""A request, the answer to it, and words of what is wrong with that."""


def unfound(told: Schema, operations: Mapping[str, Any]) -> list[str]:
    """What is wrong and not found, or found and not wrong."""
    missed = []
    for asked, status, kind, body, words in WRONG:
        judge = _look(told, operations, asked, _answered(status, kind, body))
        if not any(words in problem for problem in judge.findings):
            missed.append(f"not found: {asked} {status}: {words}")
    judge = _look(told, operations, _TAGS, _answered(200, JSON, _GOOD))
    return [*missed, *(f"found without being there: {problem}" for problem in judge.findings)]


def _look(told: Schema, operations: Any, asked: str, answered: Answered) -> Judge:
    judge = Judge(told, operations, routes_of_everybody())
    method, _, target = asked.partition(" ")
    judge.look(Wanted(method, target), answered)
    return judge


def _answered(status: int, kind: str, body: bytes) -> Answered:
    headers = {**_REQUEST, **({"content-type": [kind]} if kind else {})}
    return Answered(status, headers, body, 0.1)
