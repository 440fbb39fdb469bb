"""`angos-trio prune`: delete what no retention rule keeps, and say of each tag why it stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

from angos_trio.app.operator import Ask
from angos_trio.cli.asking import Place, document_of, plain, run, run_to_its_end
from angos_trio.net.control import Request

_PATH: Final = "/v2/_ext/_prune"
_WHY: Final = {
    "rule": "{rule}",
    "failure": "{rule}: {reason}",
    "no_rules": "no rule speaks of it",
    "immutable": "no rule keeps it, but its tag is immutable",
    "nothing": "no rule keeps it",
}


def prune(place: Place, *, dry_run: bool, as_json: bool) -> int:
    """Carry out retention. A dry run lists all that it looked at, a run what was to go."""
    show = _show_as_json if as_json else _show

    async def work(ask: Ask) -> dict[str, Any]:
        outcome = await run_to_its_end(ask, _PATH, {"dry_run": dry_run})
        await _list(ask, outcome["plan"], show, lists_all=dry_run or as_json)
        return outcome

    outcome = run(place, work)
    if as_json:
        print(json.dumps({"summary": outcome}))
    else:
        for line in _summary(outcome, dry_run=dry_run):
            print(line)
    return 0


async def _list(
    ask: Ask, plan: str, show: Callable[[dict[str, Any]], None], *, lists_all: bool
) -> None:
    offset: int | None = 0
    while offset is not None:
        query = urlencode({"plan": plan, "from": offset})
        page = document_of(await ask(Request("GET", f"{_PATH}?{query}")))
        for entry in page["entries"]:
            if lists_all or not entry["keep"]:
                show(entry)
        offset = page["next"]


def _show_as_json(entry: dict[str, Any]) -> None:
    print(json.dumps(entry))


def _show(entry: dict[str, Any]) -> None:
    verb = "keep  " if entry["keep"] else "delete"
    name, digest = entry["namespace"], entry["digest"]
    what = f"{name}@{digest}" if entry["tag"] is None else f"{name}:{entry['tag']}"
    print(f"{verb}  {what}  {plain(_WHY[entry['ground']].format(**entry))}")


def _summary(outcome: dict[str, Any], *, dry_run: bool) -> Iterator[str]:
    if dry_run:
        gone = f"would delete {outcome['tags_going']} tags and {outcome['manifests_going']}"
    else:
        gone = f"deleted {outcome['tags_deleted']} tags and {outcome['manifests_deleted']}"
    yield (
        f"{gone} manifests without a tag; keeps {outcome['tags_kept']} and "
        f"{outcome['manifests_kept']}"
    )
    if outcome["immutable"]:
        yield f"{outcome['immutable']} tags stay because they are immutable, not by a rule"
    if outcome["changed"]:
        yield f"{outcome['changed']} had changed when it was their turn, and stay"
    for problem in outcome["problems"]:
        yield plain(f"kept {problem['count']}: {problem['rule']}: {problem['reason']}")
