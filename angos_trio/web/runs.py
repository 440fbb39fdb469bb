"""Runs of housekeeping in words: what can be asked for, and what came of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from angos_trio.identity import Action
from angos_trio.limits.housekeeping import COLLECT_SECS
from angos_trio.maintenance.tasks import Document
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata.tasks import Task
from angos_trio.web.words import counted, number, size, span, visible


class Run(Frozen):
    """A kind of run: its name, the heading of its part, and the rights to see and to begin one.
    `does` says what it is for."""

    kind: str
    title: str
    does: str
    sees: Action
    starts: Action


RUNS: Final = (
    Run(
        "gc",
        "Collection",
        "Gives back what nothing refers to any more.",
        Action.GET_COLLECTION,
        Action.RUN_COLLECTION,
    ),
    Run(
        "scrub",
        "Scrub",
        "Looks at every row and every byte, and sets aside what is corrupt.",
        Action.GET_SCRUB,
        Action.RUN_SCRUB,
    ),
    Run(
        "prune",
        "Retention",
        "Deletes the tags and manifests that no rule keeps.",
        Action.GET_RETENTION,
        Action.RUN_RETENTION,
    ),
)


class Told(Frozen):
    """The last run of a kind that somebody asked for. `state` is waiting, running, done or failed;
    `lines` say what came of it, or how far it has come; `plan` is the name of its list."""

    state: str
    is_dry: bool
    wanted_at: int
    ended_at: int | None
    lines: list[str]
    plan: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has come to an end."""
        return self.ended_at is not None


def tell_run(task: Task) -> Told:
    """A run as the page says it; what cannot be read says nothing."""
    options, outcome = _document(task.options), _document(task.outcome)
    is_dry = bool(options.get("dry_run"))
    plan = outcome.get("plan")
    return Told(
        state="waiting" if task.state == "wanted" else task.state,
        is_dry=is_dry,
        wanted_at=task.wanted_at,
        ended_at=task.ended_at,
        lines=lines_of(task.name, outcome, is_dry=is_dry),
        plan=plan if isinstance(plan, str) else "",
    )


def _document(text: str) -> Document:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def lines_of(kind: str, outcome: Mapping[str, Any], *, is_dry: bool) -> list[str]:
    """An outcome in sentences; nothing where there is none yet."""
    if "error" in outcome:
        return [visible(f"It failed: {outcome['error']}.")]
    words = {"gc": _collected, "scrub": _scrubbed, "prune": _pruned}
    try:
        return words[kind](outcome, is_dry) if outcome else []
    except (KeyError, TypeError, AttributeError):
        return []


def _collected(outcome: Mapping[str, Any], is_dry: bool) -> list[str]:
    verb = "It would give back" if is_dry else "It gave back"
    least = "" if outcome.get("is_whole", True) else "at least "
    manifests, holds = counted(outcome["manifests"], "manifest"), counted(outcome["holds"], "hold")
    what = (
        f"{counted(outcome['blobs'], 'blob')}, and in namespaces {manifests} and {holds} on blobs"
    )
    return [f"{verb} {least}{size(outcome['bytes'])}: {what}."]


def _scrubbed(outcome: Mapping[str, Any], is_dry: bool) -> list[str]:
    looked = (
        f"{counted(outcome['blobs'], 'blob')} in {size(outcome['bytes'])}, "
        f"{counted(outcome['manifests'], 'manifest')} and {counted(outcome['files'], 'file')}"
    )
    lines = [f"It looked at {looked}."]
    findings = outcome["findings"]
    if findings:
        verb = "It would see to" if is_dry else "It found"
        found = ", ".join(
            f"{number(count)} {visible(flaw.replace('_', ' '), 40)}"
            for flaw, count in findings.items()
        )
        lines.append(f"{verb}: {found}.")
    else:
        lines.append("It found nothing wrong.")
    if outcome["failed"]:
        lines.append(f"{counted(outcome['failed'], 'thing')} could not be looked at.")
    return lines


def _pruned(outcome: Mapping[str, Any], is_dry: bool) -> list[str]:
    verb, key = ("It would delete", "going") if is_dry else ("It deleted", "deleted")
    gone = (
        f"{counted(outcome[f'tags_{key}'], 'tag')} and "
        f"{counted(outcome[f'manifests_{key}'], 'manifest')} without one"
    )
    lines = [f"{verb} {gone}; it keeps {counted(outcome['tags_kept'], 'tag')}."]
    if outcome["immutable"]:
        lines.append(f"{counted(outcome['immutable'], 'tag')} stay because they are immutable.")
    lines += [
        visible(f"Kept {problem['count']}: {problem['rule']}: {problem['reason']}.")
        for problem in outcome["problems"]
    ]
    return lines


def schedule_of(kind: str, registry: Registry) -> str:
    """When a run comes by itself."""
    limits = registry.limits
    if kind == "gc":
        return f"Goes on by itself: what is due goes within {COLLECT_SECS:.0f} seconds."
    if kind == "prune":
        return f"Goes by itself {_every(limits.prune_interval_secs)}, where there are rules."
    if limits.scrub_secs is None:
        return "Does not come by itself: global.scrub_interval is not set."
    return f"Comes by itself, {span(limits.scrub_secs)} after the last pass."


def _every(secs: int) -> str:
    return f"every {span(secs).removeprefix('1 ')}"
