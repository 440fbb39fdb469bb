"""`angos-trio read-only on`, `read-only off` and `read-only status`."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

from angos_trio.app.operator import Ask
from angos_trio.cli.asking import Place, document_of, run, time_of
from angos_trio.net.control import Request

_PATH: Final = "/v2/_ext/_read_only"
Found = dict[str, Any]


def switch(place: Place, *, is_on: bool) -> int:
    """Let nothing be changed, or let changes be made again; prints what is so then."""
    body = json.dumps({"read_only": is_on}).encode()
    return _print(run(place, partial(_ask, Request("PUT", _PATH, body))))


def status(place: Place) -> int:
    """Print which it is."""
    return _print(run(place, partial(_ask, Request("GET", _PATH))))


async def _ask(request: Request, ask: Ask) -> Found:
    found: Found = document_of(await ask(request))
    return found


def _print(found: Found) -> int:
    if found["read_only"]:
        print(f"read-only since {time_of(found['since'])}")
    else:
        print("changes are taken")
    return 0
