"""What commands have in common that ask the registry of a data directory for something."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import trio

from angos_trio.app.operator import Ask, as_operator
from angos_trio.app.plan import make_plan
from angos_trio.cli.progress import Stage, beside
from angos_trio.cli.serve import PRIVATE_UMASK
from angos_trio.cli.telling import plain, size_of, time_of
from angos_trio.config.overrides import load_with_overrides
from angos_trio.errors import OperatorError
from angos_trio.limits.housekeeping import TASK_LOOK_SECS
from angos_trio.net.control import Answer, Request
from angos_trio.records import Frozen
from angos_trio.telemetry import log

Outcome = TypeVar("Outcome")

__all__ = [
    "Place",
    "document_of",
    "plain",
    "run",
    "run_to_its_end",
    "size_of",
    "time_of",
]


class Place(Frozen):
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


def _so_far(counts: dict[str, Any]) -> str:
    """What a run says of how far it is, in words: some say nothing."""
    return ", ".join(
        f"{size_of(count) if name == 'bytes' else f'{count} {name}'}"
        for name, count in counts.items()
        if isinstance(count, int) and (count or name != "failed")
    )


async def run_to_its_end(ask: Ask, path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Ask for a run and wait for its end, however long it takes, and say meanwhile on standard
    error what is known of it. Raises OperatorError."""
    stage = Stage("waiting for the registry")

    async def work() -> dict[str, Any]:
        nonlocal stage
        run = document_of(await ask(Request("POST", path, json.dumps(options).encode())))["run"]
        number = run["number"]
        while run["state"] in ("wanted", "running"):
            seen = _so_far(run["outcome"].get("so_far", {}))
            stage = Stage(f"{run['state']}{f'; looked at {seen}' if seen else ''}")
            await trio.sleep(TASK_LOOK_SECS / 4)
            run = document_of(await ask(Request("GET", f"{path}?only=run")))["run"]
            if run is None or run["number"] != number:
                raise OperatorError("the registry was started anew meanwhile; ask again")
        ended: dict[str, Any] = run
        return ended

    run = await beside(work, lambda: stage)
    outcome: dict[str, Any] = run["outcome"]
    if run["state"] == "failed":
        raise OperatorError(str(outcome["error"]))
    return outcome
