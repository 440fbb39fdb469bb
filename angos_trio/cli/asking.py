"""What commands have in common that ask the registry of a data directory for something."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import trio

from angos_trio.app.operator import Ask, as_operator
from angos_trio.app.plan import make_plan
from angos_trio.cli.serve import PRIVATE_UMASK
from angos_trio.config.overrides import load_with_overrides
from angos_trio.errors import OperatorError
from angos_trio.limits.housekeeping import TASK_LOOK_SECS
from angos_trio.net.control import Answer, Request
from angos_trio.telemetry import log

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the registry is: its configuration, and a data directory over the configuration's."""

    files: Sequence[str]
    data_dir: str | None


def run(place: Place, work: Callable[[Ask], Awaitable[Outcome]]) -> Outcome:
    """Ask the registry of a place, running or not."""
    config = load_with_overrides(place.files, None, place.data_dir, reads_files=False).config
    plan = make_plan(config, is_configured=bool(place.files))
    os.umask(PRIVATE_UMASK)
    log.configure("warning")
    return trio.run(as_operator, plan, work)


def document_of(answer: Answer) -> Any:
    """The JSON of an answer. Raises OperatorError with the registry's reason for a refusal."""
    try:
        document = json.loads(answer.body) if answer.body else {}
        if answer.status < 400:
            return document
        raise OperatorError(str(document["errors"][0]["message"]))
    except (ValueError, LookupError, TypeError):
        raise OperatorError(f"the registry answers {answer.status}, which says nothing") from None


async def run_to_its_end(ask: Ask, path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Ask for a run and wait for its end, however long it takes. Raises OperatorError."""
    run = document_of(await ask(Request("POST", path, json.dumps(options).encode())))["run"]
    number = run["number"]
    while run["state"] in ("wanted", "running"):
        await trio.sleep(TASK_LOOK_SECS / 4)
        run = document_of(await ask(Request("GET", f"{path}?only=run")))["run"]
        if run is None or run["number"] != number:
            raise OperatorError("the registry was started anew meanwhile; ask again")
    outcome: dict[str, Any] = run["outcome"]
    if run["state"] == "failed":
        raise OperatorError(str(outcome["error"]))
    return outcome


def time_of(at: int) -> str:
    """Epoch seconds as RFC 3339 without seconds, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%MZ}"


def size_of(count: int) -> str:
    """Bytes in the largest unit that keeps a digit before the point."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{count} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def plain(text: str) -> str:
    """Any text: what a terminal could take for more is shown spelled out."""
    return text if text.isprintable() else ascii(text)
