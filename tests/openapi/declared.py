"""Whether a status is one that the description has for what was asked: for the clients of tests,
which provoke more of them than any generator."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from angos_trio.oci.codes import OciError
from tests.openapi.document import FILE
from tests.openapi.judging import Served, path_of, routes_of_everybody

_NOWHERE: Final = frozenset({400, 404})
_NOT_ALLOWED: Final = 405


def undeclared(method: str, raw_path: bytes, status: int) -> str | None:
    """What is wrong with the status of an answer over TCP, or None."""
    try:
        match = _served().table.find(raw_path)
    except OciError:
        match = None
    if match is None:
        return None if status in _NOWHERE else f"{status} for a path without a route"
    path = path_of(match.route)
    if match.route.word is not None and status in _NOWHERE:
        return None  # the registry may be one without pages
    operation = _paths()[path].get(method.lower())
    if operation is None:
        return None if status == _NOT_ALLOWED else f"{status} for {method} {path}, which is not"
    if str(status) in operation["responses"]:
        return None
    return f"docs/openapi.json does not have {status} for {method} {path}"


@cache
def _served() -> Served:
    return routes_of_everybody()


@cache
def _paths() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["paths"]
    return found
